"""``groundsim watch``: telemetry as a live table, or as JSON lines."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Final, TypeAlias

import msgspec
from rich.console import Console
from rich.live import Live

from telecommands.command_line import waiting_time, whole_number
from telecommands.dictionary import PACKETS, Packet, Record
from telecommands.ground.errors import LinkError
from telecommands.ground.handshake import GONE
from telecommands.ground.station import add_station_options, station_of, unit_options
from telecommands.ground.telemetry import TelemetryClient
from telecommands.ground.telemetry_state import TelemetryState
from telecommands.groundsim.fleet import WatchedUnit, watched
from telecommands.groundsim.live_table import live_table
from telecommands.groundsim.units_table import units_table

Show: TypeAlias = Callable[[str, Packet, Record], None]
Refresh: TypeAlias = Callable[[], None]
Packets: TypeAlias = Iterator[tuple[str, Packet, Record]]

_TICK_S: Final = 0.25
_COUNT: Final = whole_number(1, 10**9, "a number of packets")
_NO_ANSWER: Final = 4
_EPILOG: Final = (
    "Reconnects when the service restarts, and ends if the service refuses this key.  Exit status: "
    "0 after --count packets, after --for, or on Ctrl-C; 4 if no packets, or fewer than --count, "
    "were received."
)


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "watch",
        help="show telemetry live",
        description="Show telemetry as a live table, or as JSON lines without a terminal.",
        epilog=_EPILOG,
    )
    parser.set_defaults(command=_run)
    parser.add_argument(
        "--topics",
        type=lambda text: tuple(text.split(",")),
        default=("",),
        help=f"comma-separated prefixes of {', '.join(PACKETS)} (all)",
    )
    parser.add_argument(
        "--for", dest="seconds", type=waiting_time, metavar="SECONDS", help="duration"
    )
    parser.add_argument("--count", type=_COUNT, metavar="N", help="end after N packets")
    parser.add_argument("--json", action="store_true", help="print JSON lines on a terminal too")
    add_station_options(parser, several=True)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.stations is not None:
        return _run_fleet(arguments)
    station = station_of(arguments)
    with station.telemetry(arguments.topics, monitored=True) as client:
        live = Console().is_terminal and not arguments.json
        lines = _lines(lambda: sum(client.lost.values()))
        with _table(client) if live else lines as (show, update):

            def refresh() -> None:
                _require_admission(client, station.endpoints.telemetry)
                update()

            try:
                count = _watch(client.packets, show, refresh, arguments.seconds, arguments.count)
            except KeyboardInterrupt:  # the usual way to end it
                return 0
    return 0 if count >= (arguments.count or 1) else _NO_ANSWER


def _run_fleet(arguments: argparse.Namespace) -> int:
    """Several units: one that is down is shown as such, and the others go on."""
    stations = {
        unit: partial(station_of, options) for unit, options in unit_options(arguments).items()
    }
    live = Console().is_terminal and not arguments.json
    with ExitStack() as opened:
        units = watched(stations, arguments.topics, opened)
        with _units_table(units) if live else _lines(lambda: _lost(units)) as (show, refresh):
            try:
                count = _watch(
                    lambda timeout: _packets(units, timeout),
                    show,
                    refresh,
                    arguments.seconds,
                    arguments.count,
                )
            except KeyboardInterrupt:
                return 0
    return 0 if count >= (arguments.count or 1) else _NO_ANSWER


def _packets(units: Sequence[WatchedUnit], timeout_s: float) -> Packets:
    """The packets of all units in turn."""
    started = time.monotonic()
    for unit in units:
        yield from unit.packets(timeout_s / len(units))
    if not any(unit.is_open for unit in units):  # none of them waited
        time.sleep(max(0.0, started + timeout_s - time.monotonic()))


def _lost(units: Sequence[WatchedUnit]) -> int:
    return sum(unit.lost for unit in units)


def _watch(
    packets: Callable[[float], Packets],
    show: Show,
    refresh: Refresh,
    seconds: float | None,
    most: int | None,
) -> int:
    """Show packets until the time is over or ``most`` were shown; return how many were shown."""
    deadline = time.monotonic() + seconds if seconds is not None else float("inf")
    refresh_at = 0.0
    count = 0
    while (left := deadline - time.monotonic()) > 0:
        for topic, packet, record in packets(min(_TICK_S, left)):
            show(topic, packet, record)
            count += 1
            if count == most:
                return count
            if time.monotonic() >= refresh_at:  # telemetry may be continuous
                break
        refresh()
        refresh_at = time.monotonic() + _TICK_S
    return count


def _require_admission(client: TelemetryClient, endpoint: str) -> None:
    """Raise :class:`LinkError` if the link cannot be established by waiting."""
    finding = client.finding
    if finding is not None and finding.is_final and finding is not GONE:
        raise LinkError(endpoint, finding.predicate, finding.cure)


@contextmanager
def _lines(lost: Callable[[], int]) -> Iterator[tuple[Show, Refresh]]:
    reported = 0

    def show(topic: str, packet: Packet, record: Record) -> None:
        line = {
            "unit": packet.unit,
            "topic": topic,
            "boot": packet.boot,
            "seq": packet.seq,
            "t": packet.t,
            "kind": packet.kind,
            "body": record,
        }
        print(msgspec.json.encode(line).decode(), flush=True)

    def refresh() -> None:
        nonlocal reported
        if lost() > reported:
            reported = lost()
            print(f"groundsim: {reported} packets lost on the link so far", file=sys.stderr)

    yield show, refresh


@contextmanager
def _table(client: TelemetryClient) -> Iterator[tuple[Show, Refresh]]:
    state = TelemetryState()

    def picture() -> Any:
        size = live.console.size
        return live_table(state, client.lost, time.monotonic(), size.width, size.height)

    with Live(screen=True, auto_refresh=False) as live:
        live.update(picture(), refresh=True)

        def show(topic: str, packet: Packet, record: Record) -> None:
            state.take(topic, packet, record, time.monotonic())

        yield show, lambda: live.update(picture(), refresh=True)


@contextmanager
def _units_table(units: Sequence[WatchedUnit]) -> Iterator[tuple[Show, Refresh]]:
    def picture() -> Any:
        return units_table(units, time.monotonic(), time.time_ns(), live.console.size.height)

    with Live(screen=True, auto_refresh=False) as live:
        live.update(picture(), refresh=True)
        yield lambda *_: None, lambda: live.update(picture(), refresh=True)
