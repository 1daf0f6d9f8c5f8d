"""The live table of several units: a row for each, then the newest events of all."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from itertools import islice

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from telecommands.dictionary import Housekeeping
from telecommands.ground.arguments import fields_of
from telecommands.ground.limits import Level, level_of
from telecommands.ground.readable import utc
from telecommands.groundsim.fleet import WatchedUnit
from telecommands.groundsim.live_table import LEVELS, MODES, SEVERITIES, STALE
from telecommands.units import duration

_HEADINGS = ("unit", "mode", "link", "last", "limits", "contact", "cloud")
_FRAME_LINES = 2  # the headings and the footer


def units_table(
    units: Sequence[WatchedUnit], now: float, now_ns: int, height: int = 60
) -> RenderableType:
    """The units at ``now`` (monotonic seconds; ``now_ns`` in UTC nanoseconds).

    Every row is one line; units that do not fit into ``height`` lines are counted in the footer.
    From 80 x 24 characters on, 22 units fit.
    """
    room = max(1, height - _FRAME_LINES)
    table = Table(box=None, padding=(0, 1, 0, 0), expand=True, header_style="dim", pad_edge=False)
    for heading in _HEADINGS:
        rest = 1 if heading == "link" else None
        table.add_column(heading, no_wrap=True, overflow="ellipsis", ratio=rest)
    for unit in islice(units, room):
        table.add_row(*_row(unit, now, now_ns))
    return Group(table, _events(units, room - min(room, len(units))), _footer(units, room))


def _row(unit: WatchedUnit, now: float, now_ns: int) -> list[Text]:
    state, trouble = unit.state, unit.trouble
    housekeeping, cloud = state.housekeeping, state.cloud
    link = Text(trouble, "yellow") if trouble else Text("up")
    if housekeeping is None:
        return [Text(unit.name), Text("…"), link]
    stale = state.is_stale(now)
    age = Text(duration(now - state.housekeeping_at), STALE if stale else "")
    mode = Text(housekeeping.mode.value, STALE if stale else MODES[housekeeping.mode])
    planned = next((at for at in state.contacts if at > now_ns), None)
    contact = "-" if planned is None else f"in {duration((planned - now_ns) / 1e9)}"
    if housekeeping.contact.open and not stale:
        contact = f"open {duration(housekeeping.contact.seconds_left)}"
    share = "-" if cloud is None else f"{cloud.contaminated:.1%}"
    return [
        Text(unit.name),
        mode,
        link,
        age,
        _limits(housekeeping, state.parameters),
        Text(contact),
        Text(share),
    ]


def _limits(housekeeping: Housekeeping, parameters: Mapping[str, float]) -> Text:
    levels = [
        level_of(one, getattr(housekeeping, one.name), parameters)
        for one in fields_of(Housekeeping)
    ]
    for level in (Level.CRITICAL, Level.WARNING):
        if level in levels:
            return Text(f"{levels.count(level)} {level.value}", LEVELS[level])
    return Text("ok")


def _events(units: Sequence[WatchedUnit], most: int) -> RenderableType:
    grid = Table.grid(padding=(0, 1), expand=True)
    for _ in range(3):
        grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    found = [(t, unit.name, event) for unit in units for t, event in unit.state.events]
    for t, name, event in heapq.nlargest(most, found, key=lambda one: one[0]):
        style = SEVERITIES[event.severity]
        time_of_day = Text(utc(t)[11:19], style="dim")
        grid.add_row(time_of_day, Text(name), Text(event.event, style), Text(event.message))
    return grid


def _footer(units: Sequence[WatchedUnit], room: int) -> Text:
    down = sum(bool(unit.trouble) for unit in units)
    lost = sum(unit.lost for unit in units)
    text = Text(f"{len(units)} units, {down} down", no_wrap=True, overflow="ellipsis")
    if len(units) > room:
        text.append(f", {len(units) - room} not shown")
    text.append(f"   lost {lost}", style="bold yellow" if lost else "dim")
    return text
