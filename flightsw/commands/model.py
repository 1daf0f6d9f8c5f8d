"""``flightsw model``: what a model package is, and that it is intact."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import msgspec

from flightsw.commands.options import Check, add_json_option, file_settings

_HELP = "verify a model package and print its description"


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("model", help=_HELP, description=f"{_HELP.capitalize()}.")
    parser.set_defaults(run=run)
    parser.add_argument(
        "package",
        type=Path,
        nargs="?",
        help="package folder (default: that of the settings, else the one that ships)",
    )
    parser.add_argument("--settings", type=Path, help="TOML file that names the package")
    add_json_option(parser)


def run(arguments: argparse.Namespace, check: Check) -> int:
    """Verify the package and print its description."""
    from flightsw.model.package import load_package  # noqa: PLC0415

    check()
    package = load_package(arguments.package or file_settings(arguments).model)
    if arguments.json:
        record = msgspec.to_builtins(package, enc_hook=str)
        print(json.dumps({"id": record.pop("model_id"), "folder": record.pop("folder")} | record))
    else:
        print(f"{package.model_id}, intact in {package.folder}")
        print(package.as_text())
    return 0
