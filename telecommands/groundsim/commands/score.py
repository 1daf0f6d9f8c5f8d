"""``groundsim score``: compare a mask with the truth of a simulated scene."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "score",
        help="compare a mask with the truth",
        description="Compare a mask (.npy, uint8: 0 clear, 1 contaminated, 255 no data) with a "
        "scene's truth, over the pixels valid in both.",
        epilog="Truth classes 1 to 3 count as contaminated.  A mask of half or a quarter of the "
        "truth's size is compared with every second or fourth pixel.",
    )
    parser.set_defaults(command=_run)
    parser.add_argument("mask", type=Path, metavar="MASK", help="processed mask")
    parser.add_argument("truth", type=Path, metavar="TRUTH", help="truth of the simulated scene")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _run(arguments: argparse.Namespace) -> int:
    # OpenCV loads slowly: a telecommand must not wait for it.
    from telecommands.groundsim.scenes.score import score_files  # noqa: PLC0415

    record = score_files(arguments.mask, arguments.truth).as_record()
    if arguments.json:
        print(json.dumps(record))
        return 0
    for name, value in record.items():
        shown = f"{value:.4f}" if isinstance(value, float) else value
        print(f"{name:20} {'undefined' if shown is None else shown}")
    return 0
