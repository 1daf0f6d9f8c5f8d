"""``groundsim dashboard``: the bridge and its page in a browser."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from telecommands.command_line import port_number
from telecommands.dashboard.address import LIFETIME_S, PORT, PageToken, address_of, issuer_of
from telecommands.dashboard.unit_settings import UnitSettings
from telecommands.ground.errors import UsageError
from telecommands.ground.station import (
    add_station_options,
    keys_of,
    station_of,
    unit_options,
)
from telecommands.groundsim.signals import stopped_by_signals

_NEEDED: Final = ("starlette", "uvicorn", "websockets")
_EPILOG: Final = (
    "Listens on the loopback interface only.  Reconnects when the service restarts; Ctrl-C ends "
    "it.  With the token in the printed address the page can send telecommands, signed with the "
    "telecommand key of --as; without it, it is read-only.  The token expires after 12 hours, and "
    "is printed on a terminal only, because others may read logs; --address prints a new one at "
    "any time."
)


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "dashboard",
        help="serve telemetry and commanding to a browser",
        description="Archive telemetry, and serve the dashboard to browsers on this machine.",
        epilog=_EPILOG,
    )
    parser.set_defaults(command=_run)
    parser.add_argument(
        "--port", type=port_number, default=PORT, help="TCP port; 0: any free port (%(default)s)"
    )
    parser.add_argument("--address", action="store_true", help="print address and token, and exit")
    parser.add_argument(
        "--archive",
        type=Path,
        default=Path("telemetry.sqlite"),
        metavar="FILE",
        help="archive of all packets (%(default)s)",
    )
    parser.add_argument(
        "--received",
        type=Path,
        default=Path("received"),
        metavar="FOLDER",
        help="downlinked products, as groundsim fetch stores them (%(default)s)",
    )
    parser.add_argument(
        "--fetch",
        action="store_true",
        help="receive products into that folder whenever a contact is open",
    )
    parser.add_argument(
        "--openmct",
        type=Path,
        metavar="FOLDER",
        help="Open MCT's dist folder (node_modules/openmct/dist)",
    )
    add_station_options(parser, several=True)


def _run(arguments: argparse.Namespace) -> int:
    units = tuple(
        _unit(unit, options, arguments.archive) for unit, options in unit_options(arguments).items()
    )
    if not arguments.address:
        return _serve(arguments, units)
    if arguments.port == 0:
        raise UsageError("--port 0", "has no fixed address", "Give the port in use")
    print(address_of(arguments.port, _token(units, arguments.port)))
    return 0


def _unit(name: str, options: argparse.Namespace, common: Path) -> UnitSettings:
    """The unit of these options; with several, one without an archive gets that of its name."""
    archive: Path = options.archive
    if name and archive == common:
        archive = archive.with_name(f"{archive.stem}-{name}{archive.suffix}")
    return UnitSettings(
        name=name,
        archive=archive,
        station=lambda: station_of(options),
        operator=keys_of(options).telecommand,
    )


def _token(units: Sequence[UnitSettings], port: int) -> PageToken | None:
    """A new token for the bridge that writes the units' archives; None without a key."""
    if all(unit.operator is None for unit in units):
        return None
    issuer = issuer_of([(unit.operator, _bridge_of(unit.archive)) for unit in units], port)
    return issuer.token(int(time.time()) + LIFETIME_S)


def _bridge_of(path: Path) -> str:
    from telecommands.dashboard.archive.reader import ArchiveReader  # noqa: PLC0415 - not for --help

    with ArchiveReader(path) as archive:
        bridge = archive.bridge()
    if not bridge:
        cure = "Start groundsim dashboard with this archive first"
        raise UsageError(path, "has not been used by a dashboard of this release yet", cure)
    return bridge


def _serve(arguments: argparse.Namespace, units: Sequence[UnitSettings]) -> int:
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        cause = f"needs {', '.join(missing)}"
        raise UsageError("dashboard", cause, "Install the extra: pip install 'flightsw[ground]'")
    from telecommands.dashboard.bridge import (  # noqa: PLC0415 - an extra
        Dashboard,
        DashboardSettings,
        find_openmct,
    )

    archive: Path = arguments.archive
    settings = DashboardSettings(
        log=archive.with_name(f"{archive.stem}.log{archive.suffix}"),
        openmct=find_openmct(arguments.openmct),
        port=arguments.port,
        received=arguments.received,
        fetch=arguments.fetch,
    )
    with Dashboard(settings, *units) as dashboard, stopped_by_signals(dashboard.stop):
        token = dashboard.token(time.time())
        print(_greeting(dashboard.port, token, arguments.key_name), flush=True)
        dashboard.serve()
    return 0


def _greeting(port: int, token: PageToken | None, name: str) -> str:
    """The address and how to command; the token on a terminal only, as others may read logs."""
    if token is None:
        return f"{address_of(port, None)}  (read-only, as {name})"
    if sys.stdout.isatty():
        return f"{address_of(port, token)}  (can send telecommands as {name})"
    return f"{address_of(port, None)}  (read-only; --address prints the one for {name})"
