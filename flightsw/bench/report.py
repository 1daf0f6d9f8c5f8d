"""The reference's tables with ours beside them, as rows, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final

import msgspec

from flightsw.bench.reference import REFERENCE, ReferenceFigure
from flightsw.bench.results import BenchResult, EngineResult

_PARTIAL: Final = "**PARTIAL: the benchmark is not complete; these are its figures so far.**"


def rows_of(engines: Sequence[EngineResult]) -> list[dict[str, Any]]:
    """Every figure of the report, for every engine that was measured, beside the reference's."""
    return [
        {
            "section": figure.section,
            "key": figure.key,
            "quantity": figure.quantity,
            "unit": figure.unit,
            "title": engine.title,
            "reference": figure.of(engine.engine),
            "ours": engine.figures.get(figure.key),
            "ratio": _ratio(figure, engine),
        }
        for figure in REFERENCE
        for engine in engines
        if engine.absent is None
    ]


def as_json(result: BenchResult) -> bytes:
    """The result with its rows, ratios among them; ``BenchResult`` reads it back."""
    content = msgspec.to_builtins(result) | {"rows": rows_of(result.engines)}
    return msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n"


def as_markdown(result: BenchResult) -> str:
    """The whole report."""
    blocks = [
        "# flightsw bench",
        *([_PARTIAL] if result.partial else []),
        _introduction(result),
        _engines(result),
        *_sections(result.engines),
        *(f"Note: {note}." for note in result.notes),
    ]
    return "\n\n".join(blocks) + "\n"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, without a line break at its end."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _introduction(result: BenchResult) -> str:
    protocol = result.protocol
    return (
        f"{result.started_at}, flightsw {result.software_version}, model {result.model_id},"
        f" on {result.machine}. Scene: {result.scene}. Protocol:"
        f" {protocol.warm_up} warm-up tiles, then {protocol.tiles:,} steady tiles,"
        f" {protocol.soak_seconds:g} s of soak. In brackets: ours over the reference (the D-IMC's"
        " figures for the D-IMC and its twin, TensorRT's for every other engine)."
    )


def _engines(result: BenchResult) -> str:
    engines = result.engines
    rows = [
        [
            engine.title,
            engine.settings,
            engine.absent
            or f"{engine.device}, {engine.precision}, batch {engine.batch},"
            f" {engine.tiles:,} tiles of {engine.tile_size}",
        ]
        for engine in engines
    ]
    measured = {engine.title for engine in engines}
    rows += [[title, "", "not measured yet"] for title in result.planned if title not in measured]
    notes = [f"- {engine.title}: {note}" for engine in engines for note in engine.notes]
    found = table(["engine", "settings", "device, or why it is absent"], rows)
    return "\n\n".join([found, *(["\n".join(notes)] if notes else [])])


def _sections(engines: Sequence[EngineResult]) -> list[str]:
    present = [engine for engine in engines if engine.absent is None]
    if not present:
        return []
    header = ["quantity", "unit", "reference D-IMC", "reference TensorRT"]
    header += [engine.title for engine in present]
    blocks = []
    for section, figures in groupby(REFERENCE, key=lambda figure: figure.section):
        lines = [_line(figure, present) for figure in figures]
        blocks.append(f"## {section}\n\n{table(header, lines)}")
    return blocks


def _line(figure: ReferenceFigure, engines: Sequence[EngineResult]) -> list[str]:
    reference = [number(figure.dimc), number(figure.tensorrt)]
    cells = [_cell(figure, engine) for engine in engines]
    return [figure.quantity, figure.unit, *reference, *cells]


def _cell(figure: ReferenceFigure, engine: EngineResult) -> str:
    ours, ratio = number(engine.figures.get(figure.key)), _ratio(figure, engine)
    return ours if ratio is None else f"{ours} ({number(ratio)} x)"


def _ratio(figure: ReferenceFigure, engine: EngineResult) -> float | None:
    """Ours over the reference's; None if either is missing."""
    ours, reference = engine.figures.get(figure.key), figure.of(engine.engine)
    return None if ours is None or not reference else ours / reference


def number(value: float | None) -> str:
    """Two to four digits; a dash for None."""
    if value is None:
        return "-"
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 20 else 2 if abs(value) >= 0.1 else 3
    return f"{value:,.{digits}f}"
