"""``groundsim gateway``: the link to a mission-control system, and the databases that it needs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Final

from telecommands.command_line import address, whole_number
from telecommands.ground.errors import UsageError, product_error
from telecommands.ground.station import add_station_options, station_of
from telecommands.groundsim.signals import stopped_by_signals
from telecommands.whole_file import write_whole

_APID: Final = 100
_LISTEN: Final = "127.0.0.1:5710"
_LAST_APID: Final = 2046  # 2047 is that of idle packets
_EPILOG: Final = (
    "Speaks CCSDS space packets with PUS-C services 1, 3, 5, 8, 11, 17 and 20.  Anyone who can "
    "connect to it sends telecommands with the telecommand key of --as: listen on the loopback "
    "interface, or on a network that only mission control reaches.  docs/mission-control.md says "
    "how to connect Yamcs and COSMOS."
)


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "gateway",
        help="connect a mission-control system by CCSDS space packets",
        description="Telemetry and telecommands as CCSDS space packets with PUS-C services.",
        epilog=_EPILOG,
    )
    parser.set_defaults(command=_run)
    database = parser.add_mutually_exclusive_group()
    database.add_argument(
        "--xtce", type=Path, metavar="FILE", help="write the database in XTCE, and exit"
    )
    database.add_argument(
        "--cosmos", type=Path, metavar="FOLDER", help="write the target for COSMOS, and exit"
    )
    parser.add_argument(
        "--xtce-version", choices=("1.2", "1.3"), default="1.2", help="of that file (%(default)s)"
    )
    parser.add_argument(
        "--listen",
        type=address,
        default=_LISTEN,
        metavar="ADDRESS:PORT",
        help="where mission control connects; port 0: any free port (%(default)s)",
    )
    parser.add_argument(
        "--apid",
        type=whole_number(1, _LAST_APID, "an APID"),
        default=_APID,
        help="application process of the unit (%(default)s)",
    )
    parser.add_argument(
        "--counts",
        type=Path,
        metavar="FILE",
        help="sequence counts, kept over restarts (NAME.packet_counts beside the keys)",
    )
    parser.add_argument(
        "--hazardous", action="store_true", help="send hazardous telecommands too: arm, then send"
    )
    add_station_options(parser)


def _run(arguments: argparse.Namespace) -> int:
    try:
        import spacepackets  # noqa: F401, PLC0415 - an extra

        from telecommands.gateway.gateway import Gateway, GatewaySettings  # noqa: PLC0415
    except ImportError as error:
        cure = "Install the extra: pip install 'flightsw[gateway]'"
        raise UsageError("groundsim gateway", f"needs {error.name}", cure) from error
    if arguments.xtce is not None or arguments.cosmos is not None:
        return _write_database(arguments)
    counts = arguments.counts or arguments.keys / f"{arguments.key_name}.packet_counts"
    settings = GatewaySettings(
        listen=arguments.listen,
        apid=arguments.apid,
        counts=counts,
        hazardous=arguments.hazardous,
    )
    with (
        Gateway(settings, lambda: station_of(arguments), _log) as gateway,
        stopped_by_signals(gateway.stop),
    ):
        host, port = gateway.address
        print(f"{host}:{port}  (APID {arguments.apid}, as {arguments.key_name})", flush=True)
        gateway.run()
    return 0


def _write_database(arguments: argparse.Namespace) -> int:
    from telecommands.gateway.cosmos import cosmos  # noqa: PLC0415 - only for this
    from telecommands.gateway.xtce import xtce  # noqa: PLC0415 - lxml is not needed otherwise

    if arguments.xtce is not None:
        _write(arguments.xtce, xtce(arguments.xtce_version, arguments.apid))
        print(arguments.xtce)
        return 0
    for name, content in cosmos(arguments.apid).items():
        _write(arguments.cosmos / name, content.encode())
    print(arguments.cosmos)
    return 0


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        raise product_error(path, error) from error


def _log(sentence: str) -> None:
    print(f"groundsim gateway: {sentence}", file=sys.stderr, flush=True)
