"""The live table: housekeeping with limits, running jobs, events, telecommands, lost packets."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

import msgspec
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from telecommands.dictionary import Housekeeping, Mode, Severity, Stage
from telecommands.ground.arguments import fields_of
from telecommands.ground.limits import Level, extra_of, level_of
from telecommands.ground.readable import pairs, utc, value_text
from telecommands.ground.telemetry_state import TelemetryState
from telecommands.units import duration

LEVELS: Final = {
    Level.NOMINAL: "",
    Level.WARNING: "yellow",
    Level.CRITICAL: "bold white on red",
}
SEVERITIES: Final = {
    Severity.DIAGNOSTIC: "dim",
    Severity.ACTIVITY: "",
    Severity.WARNING_LOW: "yellow",
    Severity.WARNING_HIGH: "bold yellow",
    Severity.CRITICAL: "bold white on red",
}
MODES: Final = {
    Mode.BOOT: "cyan",
    Mode.STANDBY: "cyan",
    Mode.OPERATIONAL: "green",
    Mode.SAFE: "bold white on red",
}
STALE: Final = "magenta"
_FIELD_WIDTH: Final = 40  # of a field's name and value
_FRAME_LINES: Final = 3  # the panel's border and the footer


def live_table(
    state: TelemetryState, lost: Mapping[str, int], now: float, width: int = 160, height: int = 60
) -> RenderableType:
    """The telemetry state at ``now`` (monotonic seconds); ``lost`` counts packets by topic.

    Housekeeping, jobs and the footer are whole; the newest events and telecommands fill the rest
    of ``height`` lines.  From 80 x 24 characters on, it fits.
    """
    fields, lines = _housekeeping(state, now, max(2, width // _FIELD_WIDTH))
    jobs = [
        _job(progress.scene, progress.rows_done, progress.rows, progress.elapsed_s)
        for progress in state.jobs(now)
    ]
    cloud = state.cloud
    if cloud is not None:
        jobs.append(Text(f"{cloud.scene}: {cloud.contaminated:.1%} contaminated", no_wrap=True))
    left = max(2, height - lines - len(jobs) - _FRAME_LINES)
    telecommands = min(left // 2, len(state.telecommands))
    return Group(
        Panel(fields, title=_headline(state, now)),
        *jobs,
        _events(state, left - telecommands),
        _telecommands(state, telecommands),
        _footer(state, lost),
    )


def _headline(state: TelemetryState, now: float) -> Text:
    housekeeping = state.housekeeping
    if housekeeping is None:
        return Text("waiting for housekeeping", style=STALE)
    head = Text.assemble(
        (housekeeping.mode.value, MODES[housekeeping.mode]),
        f"  boot {state.boot}  up {duration(housekeeping.uptime_s)}",
    )
    if state.is_stale(now):
        head.append(f"  STALE for {duration(now - state.housekeeping_at)}", style=STALE)
    return head


def _housekeeping(state: TelemetryState, now: float, across: int) -> tuple[RenderableType, int]:
    """The fields, so many side by side, and the lines that they take."""
    housekeeping = state.housekeeping
    if housekeeping is None:
        return Text("no housekeeping received yet"), 1
    stale = state.is_stale(now)
    grid = Table.grid(padding=(0, 1), expand=True)
    for _ in range(across):
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    cells: list[Text] = []
    for field in fields_of(Housekeeping):
        value = getattr(housekeeping, field.name)
        style = STALE if stale else LEVELS[level_of(field, value, state.parameters)]
        cells += [Text(field.name), Text(_value(field.name, value, extra_of(field.type)), style)]
    cells += [Text()] * (-len(cells) % (2 * across))
    for start in range(0, len(cells), 2 * across):
        grid.add_row(*cells[start : start + 2 * across])
    return grid, grid.row_count


def _value(name: str, value: Any, extra: Mapping[str, Any]) -> str:
    value = msgspec.to_builtins(value)
    if name == "heartbeats" and value:
        oldest = max(value, key=value.__getitem__)
        return f"{oldest} {value[oldest]:.1f} s"
    if isinstance(value, Mapping):
        return pairs({key: one for key, one in value.items() if one}) or "-"
    unit = extra.get("unit", "")
    shown = value_text(name, value)
    return shown if value is None or unit in ("", "byte", "s", "ns") else f"{shown} {unit}"


def _job(scene: str, done: int, rows: int, elapsed_s: float) -> RenderableType:
    row = Table.grid(padding=(0, 2), expand=True)
    row.add_column(ratio=2, no_wrap=True)
    row.add_column(ratio=2)
    row.add_column(no_wrap=True)
    row.add_row(
        Text(scene),
        ProgressBar(total=rows or 1, completed=done),
        Text(f"{done} of {rows} rows, {duration(elapsed_s)}"),
    )
    return row


def _events(state: TelemetryState, most: int) -> RenderableType:
    grid = _lines()
    for t, event in islice(reversed(state.events), most):
        suppressed = f" (+{event.squelched} suppressed)" if event.squelched else ""
        style = SEVERITIES[event.severity]
        grid.add_row(
            Text(_time(t), style="dim"),
            Text(event.severity.value, style=style),
            Text(event.event, style=style),
            Text(event.message + suppressed),
        )
    return grid


def _telecommands(state: TelemetryState, most: int) -> RenderableType:
    grid = _lines()
    for sent in islice(reversed(state.telecommands.values()), most):
        bad = sent.stage.closes and sent.stage is not Stage.COMPLETED
        step = f"{sent.step} of {sent.of}" if sent.stage is Stage.PROGRESS else ""
        code = sent.code.value if sent.code is not None else ""
        grid.add_row(
            Text(_time(sent.at), style="dim"),
            Text(sent.stage.value, style="yellow" if bad else ""),
            Text(sent.name),
            Text(" ".join(filter(None, [step, code, sent.cause])) or sent.id),
        )
    return grid


def _lines() -> Table:
    """A grid of four columns, each row on one line; the last one is cut."""
    grid = Table.grid(padding=(0, 1), expand=True)
    for _ in range(3):
        grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    return grid


def _time(t: int) -> str:
    """The time of day, UTC."""
    return utc(t)[11:19]


def _footer(state: TelemetryState, lost: Mapping[str, int]) -> Text:
    count = sum(lost.values())
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append("packets " + " ".join(f"{k} {v}" for k, v in sorted(state.packets.items())))
    missing = " ".join(f"{topic} {number}" for topic, number in sorted(lost.items()) if number)
    text.append(f"   lost {missing or 0}", style="bold yellow" if count else "dim")
    return text
