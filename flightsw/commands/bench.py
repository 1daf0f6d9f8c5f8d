"""``flightsw bench``: every engine measured."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from flightsw.commands.options import Check, add_engine_options, engine_settings


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "bench", help="measure the engines beside the reference benchmark (docs/bench.md)"
    )
    parser.set_defaults(run=run)
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--engines", help="comma-separated (default: those of the settings)")
    parser.add_argument("--tiles", type=int, default=2809, help="measured tiles (%(default)s)")
    parser.add_argument("--warm-up", type=int, default=50, help="tiles before them (%(default)s)")
    parser.add_argument(
        "--soak-seconds", type=float, default=0.0, help="seconds under load before them"
    )
    parser.add_argument(
        "--scene", type=Path, help="measure with its tiles, and the whole chain on it"
    )
    parser.add_argument("--truth", type=Path, help="the scene's true mask, for F2")
    parser.add_argument(
        "--baseline",
        action="store_true",
        help="with torch-cpu, also measure its windows of 2,048 pixels",
    )
    add_engine_options(parser)


def run(arguments: argparse.Namespace, check: Check) -> int:
    """Measure and print the report."""
    from flightsw.bench.command import bench  # noqa: PLC0415

    check()
    return bench(arguments, engine_settings(arguments), check)
