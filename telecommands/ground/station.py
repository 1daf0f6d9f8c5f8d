"""The ground station that a command line describes: where the service listens, which keys."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Final

import msgspec
import zmq

from telecommands.dictionary import DOWNLINK_PORT, TELECOMMAND_PORT, TELEMETRY_PORT
from telecommands.ground.commanding import SequenceFile, TelecommandClient, TelemetryClient
from telecommands.ground.connection import Connection, GroundKeys, read_ground_keys
from telecommands.ground.downlink import DownlinkReceiver, Progress
from telecommands.ground.errors import UsageError

KEYS_VARIABLE: Final = "FLIGHTSW_GROUND_KEYS"
_PORTS: Final = (TELECOMMAND_PORT, TELEMETRY_PORT, DOWNLINK_PORT)


class Endpoints(msgspec.Struct, frozen=True):
    """ZeroMQ endpoints of the service's three links, as it writes them to endpoints.json."""

    telecommand: str
    telemetry: str
    downlink: str


class Station(msgspec.Struct, frozen=True):
    """Opens links to the service; the caller closes them."""

    endpoints: Endpoints
    keys: GroundKeys
    sequence: Path

    def commanding(self) -> TelecommandClient:
        """Raises :class:`~telecommands.ground.errors.UnusableKey` without a telecommand key."""
        return TelecommandClient(self.endpoints.telecommand, self.keys, SequenceFile(self.sequence))

    def raw_commanding(self) -> Connection:
        """The telecommand link without any client's care, for frames that are none."""
        return Connection(zmq.DEALER, self.endpoints.telecommand, self.keys)

    def telemetry(
        self, topics: tuple[str, ...] = ("",), *, monitored: bool = False
    ) -> TelemetryClient:
        """Topics that begin with one of these; ``""`` is all."""
        return TelemetryClient(self.endpoints.telemetry, self.keys, topics, monitored=monitored)

    def downlink(self, folder: Path, progress: Progress | None = None) -> DownlinkReceiver:
        """Products go below ``folder``."""
        return DownlinkReceiver(self.endpoints.downlink, self.keys, folder, progress=progress)


def add_key_folder_option(parser: argparse._ActionsContainer) -> None:
    """``--keys``."""
    parser.add_argument(
        "--keys",
        type=Path,
        default=Path(os.environ.get(KEYS_VARIABLE) or "keys"),
        metavar="FOLDER",
        help=f"ground keys (default: ${KEYS_VARIABLE}, else ./keys)",
    )


def add_station_options(parser: argparse.ArgumentParser) -> None:
    """What every command that talks to the service takes."""
    group = parser.add_argument_group("connection")
    group.add_argument(
        "--as", dest="key_name", default="operator", metavar="NAME", help="whose keys (operator)"
    )
    where = group.add_mutually_exclusive_group()
    where.add_argument(
        "--endpoints", type=Path, metavar="FILE", help="endpoints.json, which the service writes"
    )
    where.add_argument(
        "--ports",
        type=_ports,
        default=_PORTS,
        metavar="TC,TM,DOWNLINK",
        help=f"three ports ({','.join(map(str, _PORTS))})",
    )
    group.add_argument("--host", default="127.0.0.1", help="of the ports (%(default)s)")
    group.add_argument(
        "--no-curve", dest="curve", action="store_false", help="plain links, for trials"
    )
    add_key_folder_option(group)


def station_of(arguments: argparse.Namespace) -> Station:
    """The station of these options; reads the keys."""
    if arguments.endpoints is None:
        links = (f"tcp://{arguments.host}:{port}" for port in arguments.ports)
        endpoints = Endpoints(*links)
    else:
        endpoints = _read_endpoints(arguments.endpoints)
    return Station(
        endpoints=endpoints,
        keys=keys_of(arguments),
        sequence=arguments.keys / f"{arguments.key_name}.sequence",
    )


def keys_of(arguments: argparse.Namespace) -> GroundKeys:
    """The keys of these options."""
    return read_ground_keys(arguments.keys, arguments.key_name, curve=arguments.curve)


def _read_endpoints(path: Path) -> Endpoints:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Endpoints)
    except OSError as error:
        cause = f"cannot be read ({error.strerror})"
        raise UsageError(path, cause, "Start the service, or give --ports") from error
    except msgspec.DecodeError as error:
        cure = "Give the endpoints.json of the service's state_dir"
        raise UsageError(path, str(error), cure) from error


def _ports(text: str) -> tuple[int, ...]:
    ports = tuple(int(word) for word in text.split(",") if word.isdigit())
    if len(ports) != 3 or not all(0 < port <= 65_535 for port in ports):
        raise argparse.ArgumentTypeError(f"{text!r} is not three ports, as in 5701,5702,5703")
    return ports
