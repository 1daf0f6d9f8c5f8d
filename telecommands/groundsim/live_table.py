"""The live table: housekeeping with limits, running jobs, events, telecommands, lost packets."""

from __future__ import annotations

from collections.abc import Mapping
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

_LEVELS: Final = {
    Level.NOMINAL: "",
    Level.WARNING: "yellow",
    Level.CRITICAL: "bold white on red",
}
_SEVERITIES: Final = {
    Severity.DIAGNOSTIC: "dim",
    Severity.ACTIVITY: "",
    Severity.WARNING_LOW: "yellow",
    Severity.WARNING_HIGH: "bold yellow",
    Severity.CRITICAL: "bold white on red",
}
_MODES: Final = {
    Mode.BOOT: "cyan",
    Mode.STANDBY: "cyan",
    Mode.OPERATIONAL: "green",
    Mode.SAFE: "bold white on red",
}
_STALE: Final = "magenta"


def live_table(state: TelemetryState, lost: Mapping[str, int], now: float) -> RenderableType:
    """The telemetry state at ``now`` (monotonic seconds); ``lost`` counts packets by topic."""
    parts: list[RenderableType] = [
        Panel(_housekeeping(state, now), title=_headline(state, now)),
        *(_job(progress.scene, progress.rows_done, progress.rows, progress.elapsed_s)
          for progress in state.jobs(now)),
    ]  # fmt: skip
    if state.cloud is not None:
        cloud = state.cloud
        parts.append(Text(f"{cloud.scene}: {cloud.contaminated:.1%} contaminated"))
    parts += [
        Panel(_events(state), title="events"),
        Panel(_telecommands(state), title="telecommands"),
        _footer(state, lost),
    ]
    return Group(*parts)


def _headline(state: TelemetryState, now: float) -> Text:
    housekeeping = state.housekeeping
    if housekeeping is None:
        return Text("waiting for housekeeping", style=_STALE)
    head = Text.assemble(
        (housekeeping.mode.value, _MODES[housekeeping.mode]),
        f"  boot {state.boot}  up {duration(housekeeping.uptime_s)}",
    )
    if state.is_stale(now):
        head.append(f"  STALE for {duration(now - state.housekeeping_at)}", style=_STALE)
    return head


def _housekeeping(state: TelemetryState, now: float) -> RenderableType:
    housekeeping = state.housekeeping
    if housekeeping is None:
        return Text("no housekeeping received yet")
    stale = state.is_stale(now)
    grid = Table.grid(padding=(0, 2), expand=True)
    for _ in range(2):
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold", ratio=1)
    cells: list[Text] = []
    for field in fields_of(Housekeeping):
        value = getattr(housekeeping, field.name)
        style = _STALE if stale else _LEVELS[level_of(field, value)]
        cells += [Text(field.name), Text(_value(field.name, value, extra_of(field.type)), style)]
    cells += [Text()] * (-len(cells) % 4)
    for start in range(0, len(cells), 4):
        grid.add_row(*cells[start : start + 4])
    return grid


def _value(name: str, value: Any, extra: Mapping[str, Any]) -> str:
    value = msgspec.to_builtins(value)
    if isinstance(value, Mapping):
        return pairs(value) or "-"
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


def _events(state: TelemetryState) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    for t, event in reversed(state.events):
        suppressed = f" (+{event.squelched} suppressed)" if event.squelched else ""
        style = _SEVERITIES[event.severity]
        grid.add_row(
            Text(utc(t), style="dim"),
            Text(event.severity.value, style=style),
            Text(event.event, style=style),
            Text(event.message + suppressed),
        )
    return grid


def _telecommands(state: TelemetryState) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    for sent in reversed(state.telecommands.values()):
        bad = sent.stage.closes and sent.stage is not Stage.COMPLETED
        step = f"{sent.step} of {sent.of}" if sent.stage is Stage.PROGRESS else ""
        code = sent.code.value if sent.code is not None else ""
        grid.add_row(
            Text(utc(sent.at), style="dim"),
            Text(sent.name),
            Text(sent.stage.value, style="yellow" if bad else ""),
            Text(" ".join(filter(None, [step, code, sent.cause]))),
            Text(sent.id, style="dim"),
        )
    return grid


def _footer(state: TelemetryState, lost: Mapping[str, int]) -> Text:
    count = sum(lost.values())
    text = Text("packets " + " ".join(f"{k} {v}" for k, v in sorted(state.packets.items())))
    missing = " ".join(f"{topic} {number}" for topic, number in sorted(lost.items()) if number)
    text.append(f"   lost {missing or 0}", style="bold yellow" if count else "dim")
    return text
