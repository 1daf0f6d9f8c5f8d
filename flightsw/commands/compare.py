"""``flightsw compare``: where two masks of a scene differ."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from flightsw.commands.options import Check, add_json_option
from flightsw.errors import UsageError


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "compare", help="show where two masks of a scene differ (docs/comparing.md)"
    )
    parser.set_defaults(run=run)
    parser.add_argument("a", type=Path, metavar="A", help="the reference: mask or product folder")
    parser.add_argument("b", type=Path, metavar="B", help="the mask to compare with it")
    parser.add_argument(
        "-o", "--out", type=Path, metavar="MAP", help="map of the differences, .png or .tif"
    )
    parser.add_argument(
        "--least-agreement",
        type=float,
        default=0.0,
        help="exit with status 1 below this agreement, 0 to 1",
    )
    add_json_option(parser)


def run(arguments: argparse.Namespace, check: Check) -> int:
    """Compare and print the figures; 1 if the masks agree less than asked."""
    from flightsw.comparison.files import compare_files  # noqa: PLC0415

    check()
    least: float = arguments.least_agreement
    if not 0 <= least <= 1:
        raise UsageError("--least-agreement", f"must be between 0 and 1, got {least}")
    compared = compare_files(arguments.a, arguments.b, arguments.out)
    print(json.dumps(compared.as_record()) if arguments.json else compared.as_text())
    return 0 if compared.comparison.agreement >= least else 1
