"""The live table: housekeeping with its limits, events, running jobs, telecommands, losses."""

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
from telecommands.ground.readable import duration, pairs, size, utc, value_text
from telecommands.ground.telemetry_state import TelemetryState

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


def live_table(situation: TelemetryState, lost: Mapping[str, int], now: float) -> RenderableType:
    """The situation at ``now`` (monotonic seconds)."""
    parts: list[RenderableType] = [
        Panel(_housekeeping(situation, now), title=_headline(situation, now)),
        *(_job(progress.scene, progress.rows_done, progress.rows, progress.elapsed_s)
          for progress in situation.jobs(now)),
    ]  # fmt: skip
    if situation.cloud is not None:
        cloud = situation.cloud
        parts.append(Text(f"{cloud.scene}: {cloud.contaminated:.1%} contaminated"))
    parts += [
        Panel(_events(situation), title="events"),
        Panel(_telecommands(situation), title="telecommands"),
        _footer(situation, lost),
    ]
    return Group(*parts)


def _headline(situation: TelemetryState, now: float) -> Text:
    housekeeping = situation.housekeeping
    if housekeeping is None:
        return Text("waiting for housekeeping", style=_STALE)
    head = Text.assemble(
        (housekeeping.mode.value, _MODES[housekeeping.mode]),
        f"  boot {situation.boot}  up {duration(housekeeping.uptime_s)}",
    )
    if situation.is_stale(now):
        head.append(f"  STALE for {duration(now - situation.housekeeping_at)}", style=_STALE)
    return head


def _housekeeping(situation: TelemetryState, now: float) -> RenderableType:
    housekeeping = situation.housekeeping
    if housekeeping is None:
        return Text("nothing came yet")
    stale = situation.is_stale(now)
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
    if isinstance(value, (int, float)) and unit == "byte":
        return size(value)
    if isinstance(value, float) and unit == "s":
        return duration(value)
    return " ".join(filter(None, [value_text(name, value), unit if value is not None else ""]))


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


def _events(situation: TelemetryState) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    for t, event in reversed(situation.events):
        left_out = f" (+{event.squelched} left out)" if event.squelched else ""
        style = _SEVERITIES[event.severity]
        grid.add_row(
            Text(utc(t), style="dim"),
            Text(event.severity.value, style=style),
            Text(event.event, style=style),
            Text(event.message + left_out),
        )
    return grid


def _telecommands(situation: TelemetryState) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    for one in reversed(situation.telecommands.values()):
        bad = one.stage.closes and one.stage is not Stage.COMPLETED
        step = f"{one.step} of {one.of}" if one.stage is Stage.PROGRESS else ""
        code = one.code.value if one.code is not None else ""
        grid.add_row(
            Text(utc(one.at), style="dim"),
            Text(one.name),
            Text(one.stage.value, style="yellow" if bad else ""),
            Text(" ".join(filter(None, [step, code, one.cause]))),
            Text(one.id, style="dim"),
        )
    return grid


def _footer(situation: TelemetryState, lost: Mapping[str, int]) -> Text:
    count = sum(lost.values())
    text = Text("packets " + " ".join(f"{k} {v}" for k, v in sorted(situation.packets.items())))
    missing = " ".join(f"{topic} {number}" for topic, number in sorted(lost.items()) if number)
    text.append(f"   lost {missing or 0}", style="bold yellow" if count else "dim")
    return text
