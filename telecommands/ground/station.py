"""The ground station that a command line describes: endpoints of the service, and keys."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

import msgspec
import zmq

from telecommands.command_line import whole_number
from telecommands.dictionary import DOWNLINK_PORT, TELECOMMAND_PORT, TELEMETRY_PORT
from telecommands.failure import UNDECODABLE
from telecommands.ground.commanding import TelecommandClient
from telecommands.ground.connection import (
    KEYS_VARIABLE,
    Connection,
    GroundKeys,
    absent_keys,
    default_key_folder,
    read_ground_keys,
)
from telecommands.ground.downlink import DownlinkReceiver, HandOn, ProgressCallback
from telecommands.ground.errors import UsageError
from telecommands.ground.sequence import SequenceFile
from telecommands.ground.stations_file import StationEntry, read_stations
from telecommands.ground.telemetry import TelemetryClient
from telecommands.keys import TELECOMMAND_SUFFIX, KeyRefused, check_unit

_PORT: Final = whole_number(1, 65_535, "a port")
_PORTS: Final = (TELECOMMAND_PORT, TELEMETRY_PORT, DOWNLINK_PORT)


class StationEndpoints(msgspec.Struct, frozen=True):
    """ZeroMQ endpoints of the service's three links, and the name of its unit ("": unknown).

    The service writes them to endpoints.json.
    """

    telecommand: str
    telemetry: str
    downlink: str
    unit: str = ""


class Station(msgspec.Struct, frozen=True):
    """Opens links to the service; the caller closes them."""

    endpoints: StationEndpoints
    keys: GroundKeys
    sequence: Path

    def commanding(self) -> TelecommandClient:
        """Raises :class:`~telecommands.ground.errors.UnusableKey` without a telecommand key."""
        if self.keys.telecommand is None:
            raise absent_keys(self.sequence.with_suffix(TELECOMMAND_SUFFIX))
        return TelecommandClient(self.endpoints.telecommand, self.keys, SequenceFile(self.sequence))

    def raw_commanding(self) -> Connection:
        """The bare telecommand link, for frames that are not telecommands."""
        return Connection(zmq.DEALER, self.endpoints.telecommand, self.keys)

    def telemetry(
        self, topics: tuple[str, ...] = ("",), *, monitored: bool = False
    ) -> TelemetryClient:
        """Telemetry of the topics that begin with one of these; ``""`` is all."""
        return TelemetryClient(self.endpoints.telemetry, self.keys, topics, monitored=monitored)

    def downlink(
        self,
        folder: Path,
        progress: ProgressCallback | None = None,
        hand_on: HandOn | None = None,
    ) -> DownlinkReceiver:
        """A receiver that stores products below ``folder``."""
        return DownlinkReceiver(
            self.endpoints.downlink, self.keys, folder, progress=progress, hand_on=hand_on
        )


def add_key_folder_option(parser: argparse._ActionsContainer) -> None:
    """Add ``--keys``."""
    parser.add_argument(
        "--keys",
        type=Path,
        default=default_key_folder(),
        metavar="FOLDER",
        help=f"ground keys (default: ${KEYS_VARIABLE}, else ./keys)",
    )


def add_station_options(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """Add the options of every command that connects to the service.

    With ``several`` there is ``--stations`` too, which :func:`unit_options` reads.
    """
    group = parser.add_argument_group("connection")
    group.add_argument(
        "--as", dest="key_name", default="operator", metavar="NAME", help="keys to use (operator)"
    )
    group.add_argument(
        "--unit", type=_unit, metavar="NAME", help="unit to command (that of the keys)"
    )
    endpoints = group.add_mutually_exclusive_group()
    endpoints.add_argument(
        "--endpoints", type=Path, metavar="FILE", help="endpoints.json, which the service writes"
    )
    endpoints.add_argument(
        "--ports",
        type=_ports,
        default=_PORTS,
        metavar="TC,TM,DOWNLINK",
        help=f"three ports ({','.join(map(str, _PORTS))})",
    )
    if several:
        endpoints.add_argument(
            "--stations", type=Path, metavar="FILE", help="several units, from a TOML file"
        )
    group.add_argument("--host", default="127.0.0.1", help="host of the ports (%(default)s)")
    group.add_argument(
        "--no-curve", dest="curve", action="store_false", help="unencrypted links, for tests"
    )
    add_key_folder_option(group)


def unit_options(arguments: argparse.Namespace) -> dict[str, argparse.Namespace]:
    """The options of each unit in ``--stations``, by name; without it, of one unit named ""."""
    if arguments.stations is None:
        return {"": arguments}
    given = vars(arguments)
    return {
        unit: argparse.Namespace(
            **given
            | {name: value for name, value in _options_of(entry).items() if value is not None}
            | {"unit": unit}
        )
        for unit, entry in read_stations(arguments.stations).items()
    }


def _options_of(entry: StationEntry) -> dict[str, object]:
    options = msgspec.structs.asdict(entry)
    return {**options, "key_name": options.pop("name")}


def station_of(arguments: argparse.Namespace) -> Station:
    """The station of these options; reads the keys."""
    if arguments.endpoints is None:
        links = (f"tcp://{arguments.host}:{port}" for port in arguments.ports)
        endpoints = StationEndpoints(*links)
    else:
        endpoints = _read_endpoints(arguments.endpoints)
    keys = keys_of(arguments)
    unit = arguments.unit or keys.unit or endpoints.unit
    return Station(
        endpoints=endpoints,
        keys=msgspec.structs.replace(keys, unit=unit),
        sequence=arguments.keys / f"{arguments.key_name}.sequence",
    )


def keys_of(arguments: argparse.Namespace) -> GroundKeys:
    """The keys of these options."""
    return read_ground_keys(arguments.keys, arguments.key_name, curve=arguments.curve)


def _read_endpoints(path: Path) -> StationEndpoints:
    try:
        return msgspec.json.decode(path.read_bytes(), type=StationEndpoints)
    except OSError as error:
        cause = f"cannot be read ({error.strerror})"
        raise UsageError(path, cause, "Start the service, or give --ports") from error
    except UNDECODABLE as error:
        cure = "Give the endpoints.json of the service's state_dir"
        raise UsageError(path, f"is not a list of endpoints: {error}", cure) from error


def _unit(text: str) -> str:
    try:
        return check_unit(text)
    except KeyRefused as refused:
        raise argparse.ArgumentTypeError(str(refused)) from refused


def _ports(text: str) -> tuple[int, ...]:
    words = text.split(",")
    if len(words) != 3:
        raise argparse.ArgumentTypeError(f"{text!r} is not three ports, as in 5701,5702,5703")
    return tuple(map(_PORT, words))
