"""``groundsim cfdp``: products to a mission-control system by CFDP, and packages from it."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from telecommands.command_line import address
from telecommands.ground.arguments import fields_of
from telecommands.ground.errors import LinkError, UsageError
from telecommands.ground.station import add_station_options, station_of
from telecommands.groundsim.signals import stopped_by_signals
from telecommands.value_types import valid_values

if TYPE_CHECKING:
    from telecommands.gateway.files.settings import CfdpSettings

_OPTIONS: Final = {
    "local": "entity", "peer": "peer_entity", "pdu_bytes": "pdu_bytes", "checksum": "checksum",
    "bytes_per_second": "rate", "silence_s": "silence",
}  # fmt: skip
_TICK_S: Final = 0.5
_EPILOG: Final = (
    "Products come as UNIT_JOB_NAME, and each is confirmed to the service after the peer reported "
    "it complete.  A file from the peer is the archive of a model package (tar, ustar; made by tar "
    "--format=ustar -cf NAME.tar -C PACKAGE .); STAGE_MODEL then puts it to use.  docs/files.md."
)


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "cfdp",
        help="exchange files with a mission-control system by CFDP",
        description="Hand products to a CFDP entity (class 2), and uplink packages from it.",
        epilog=_EPILOG,
    )
    parser.set_defaults(command=_run)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder for the products")
    parser.add_argument(
        "--listen", type=address, default="127.0.0.1:7001", metavar="ADDRESS:PORT",
        help="where the peer's PDUs arrive (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--peer", type=address, default="127.0.0.1:7002", metavar="ADDRESS:PORT",
        help="where the peer listens (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--tcp", action="store_true", help="the peer connects to --listen, in place of UDP"
    )
    parser.add_argument("--entity", type=int, default=1, metavar="ID", help="own id (%(default)d)")
    parser.add_argument(
        "--peer-entity", type=int, default=2, metavar="ID", help="id of the peer (%(default)d)"
    )
    parser.add_argument(
        "--pdu-bytes", type=int, default=8192, metavar="N", help="longest PDU (%(default)d)"
    )
    parser.add_argument(
        "--checksum", default="modular", choices=("modular", "crc32", "crc32c"),
        help="checksum of sent products (%(default)s, which every CFDP entity supports)",
    )  # fmt: skip
    parser.add_argument(
        "--rate", type=float, default=20e6, metavar="BYTES", help="bytes per second (%(default)g)"
    )
    parser.add_argument(
        "--silence", type=float, default=30.0, metavar="SECONDS",
        help="a transaction ends when the peer was silent for this long (%(default)g)",
    )  # fmt: skip
    parser.add_argument("--only", choices=("down", "up"), help="products only, or packages only")
    add_station_options(parser)


def _run(arguments: argparse.Namespace) -> int:
    try:
        # An extra, so loaded only if the command is used.
        from telecommands.gateway.files.gateway import FileGateway  # noqa: PLC0415
    except ImportError as error:
        cure = "Install the extra: pip install 'flightsw[gateway]'"
        raise UsageError("groundsim cfdp", "needs cfdp-py", cure) from error
    settings = _settings(arguments)
    ended = threading.Event()
    gateway = FileGateway(
        station_of(arguments),
        arguments.folder,
        settings,
        arguments.listen,
        None if arguments.tcp else arguments.peer,
        said=lambda line: print(line, flush=True),
        failed=lambda error: print(f"groundsim: {error}", file=sys.stderr, flush=True),
        down=arguments.only != "up",
        up=arguments.only != "down",
    )
    with stopped_by_signals(ended.set), closing(gateway):
        host, port = gateway.address
        print(f"cfdp  entity {settings.local} at {host}:{port}", flush=True)
        while gateway.alive and not ended.is_set():
            time.sleep(_TICK_S)  # a handler must not set what is waited for in the same thread
        if not gateway.alive:
            raise LinkError("the CFDP entity", "ended by an internal error", "Start it again")
    for what, count in sorted(gateway.counts.items()):
        print(f"groundsim: {count} PDUs {what}", file=sys.stderr)
    return 0


def _settings(arguments: argparse.Namespace) -> CfdpSettings:
    """Raises :class:`UsageError` that names the option and its valid values."""
    from telecommands.gateway.files.settings import CfdpSettings  # noqa: PLC0415

    given: dict[str, object] = {
        field: getattr(arguments, option) for field, option in _OPTIONS.items()
    }
    try:
        return msgspec.convert(given, CfdpSettings)
    except msgspec.ValidationError as error:
        field = str(error).rpartition("$.")[2].rstrip("`")
        (kind,) = (one.type for one in fields_of(CfdpSettings) if one.name == field)
        option = f"--{_OPTIONS[field].replace('_', '-')}"
        cause = f"must be {valid_values(kind)}, got {given[field]}"
        raise UsageError(option, cause, "Give another value") from error
