"""``groundsim uplink``: carry a model package into the inbox on board."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from telecommands.command_line import whole_number
from telecommands.dictionary import LONGEST_UPLINK_CHUNK
from telecommands.ground.package_archive import PackageArchive, open_package
from telecommands.ground.station import add_station_options, station_of
from telecommands.ground.uplink import uplink
from telecommands.groundsim.transfer_bar import transfer_bar
from telecommands.units import size

_EPILOG: Final = (
    "An interrupted uplink is resumed.  STAGE_MODEL and ACTIVATE_MODEL then put the package to use."
    "  Exit status: 0 if the package is in the inbox, 1 if the service refused it, 4 if there was "
    "no answer."
)


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "uplink",
        help="carry a model package into the inbox on board",
        description="Uplink PACKAGE, the folder of a model package or its archive (tar, ustar).",
        epilog=_EPILOG,
    )
    parser.set_defaults(command=_run, after_interrupt="Run uplink again to resume the transfer")
    parser.add_argument("package", type=Path, metavar="PACKAGE", help="folder or archive")
    parser.add_argument(
        "--name", default="", metavar="NAME", help="folder of the package on board (its own name)"
    )
    parser.add_argument(
        "--chunk-bytes",
        type=whole_number(1, LONGEST_UPLINK_CHUNK, "a number of bytes"),
        default=LONGEST_UPLINK_CHUNK,
        metavar="N",
        help="bytes of a telecommand; fewer for a slow link (%(default)d)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_station_options(parser)


def _run(arguments: argparse.Namespace) -> int:
    station = station_of(arguments)
    with (
        open_package(arguments.package, arguments.name) as package,
        station.commanding() as client,
        transfer_bar() as show,
    ):
        sent = uplink(
            client,
            package,
            lambda stored, total: show(package.name, stored, total),
            chunk_bytes=arguments.chunk_bytes,
        )
    _report(package, sent=sent, json=arguments.json)
    return 0


def _report(package: PackageArchive, *, sent: bool, json: bool) -> None:
    if json:
        record = {
            "package": package.name,
            "size": package.size,
            "sha256": package.checksums,
            "sent": sent,
        }
        print(msgspec.json.encode(record).decode())
        return
    how = size(package.size) if sent else "was there already"
    print(f"{package.name}  {how}")
    stage = f"groundsim send STAGE_MODEL package={package.name} sha256={package.checksums}"
    print(f"Next: {stage}", file=sys.stderr)
