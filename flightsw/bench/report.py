"""The reference's tables beside ours, as rows, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import msgspec

from flightsw.bench.peers import OURS
from flightsw.bench.reference import REFERENCE, ReferenceFigure
from flightsw.bench.results import BenchResult, EngineResult, PeerResult

_PARTIAL: Final = "**PARTIAL: the benchmark has not run to its end; these are its figures so far.**"
_PEERS_HEADING: Final = "## The same scene, JP2 to mask, by others"
_NOTHING: Final = "-"
_MEGABYTE: Final = 1e6


@dataclass(frozen=True)
class Row:
    """One figure of one engine beside the reference's; ``ratio`` is ours over the reference's."""

    section: str
    key: str
    quantity: str
    unit: str
    title: str
    reference: float | None
    ours: float | None

    @property
    def ratio(self) -> float | None:
        """Ours over the reference's; None where either is missing."""
        if self.ours is None or not self.reference:
            return None
        return self.ours / self.reference


def rows_of(engines: Sequence[EngineResult]) -> list[Row]:
    """Every figure of the report, for every engine that was measured."""
    return [
        Row(
            figure.section,
            figure.key,
            figure.quantity,
            figure.unit,
            engine.title,
            figure.of(engine.engine),
            engine.figures.get(figure.key),
        )
        for figure in REFERENCE
        for engine in engines
        if engine.absent is None
    ]


def as_json(result: BenchResult) -> bytes:
    """The result with its rows, ratios among them; ``BenchResult`` reads it back."""
    rows = [msgspec.to_builtins(row) | {"ratio": row.ratio} for row in rows_of(result.engines)]
    content = msgspec.to_builtins(result) | {"rows": rows}
    return msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n"


def as_markdown(result: BenchResult) -> str:
    """The whole report."""
    blocks = [
        "# flightsw bench",
        *([_PARTIAL] if result.partial else []),
        _introduction(result),
        _engines(result),
        *_sections(result.engines),
        *([f"{_PEERS_HEADING}\n\n{peers_table(result.peers)}"] if result.peers else []),
        *(f"Note: {note}." for note in result.notes),
    ]
    return "\n\n".join(blocks) + "\n"


def peers_table(peers: Sequence[PeerResult]) -> str:
    """Wall time, its ratio to ours at the same distance, and peak memory of each."""
    ours = {
        peer.ground_sample_distance: peer.usage.seconds
        for peer in peers
        if peer.name == OURS and peer.usage
    }
    rows = [_peer(peer, ours.get(peer.ground_sample_distance)) for peer in peers]
    header = ["software", "licence", "at", "wall", "over flightsw, simulator", "peak memory"]
    return table(header, rows)


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
    found = table(["engine", "settings", "what answered, or why it is absent"], rows)
    return "\n\n".join([found, *(["\n".join(notes)] if notes else [])])


def _sections(engines: Sequence[EngineResult]) -> list[str]:
    present = [engine for engine in engines if engine.absent is None]
    if not present:
        return []
    found = {(row.key, row.title): row for row in rows_of(present)}
    header = ["quantity", "unit", "reference D-IMC", "reference TensorRT"]
    header += [engine.title for engine in present]
    blocks = []
    for section, figures in groupby(REFERENCE, key=lambda figure: figure.section):
        lines = [
            _line(figure, [found[figure.key, one.title] for one in present]) for figure in figures
        ]
        blocks.append(f"## {section}\n\n{table(header, lines)}")
    return blocks


def _line(figure: ReferenceFigure, rows: Sequence[Row]) -> list[str]:
    reference = [_number(figure.dimc), _number(figure.tensorrt)]
    return [figure.quantity, figure.unit, *reference, *(_cell(row) for row in rows)]


def _cell(row: Row) -> str:
    if row.ratio is None:
        return _number(row.ours)
    return f"{_number(row.ours)} ({_number(row.ratio)} x)"


def _peer(peer: PeerResult, ours: float | None) -> list[str]:
    start = [peer.title, peer.licence, f"{peer.ground_sample_distance} m"]
    if peer.usage is None:
        return [*start, f"absent: {peer.absent}", _NOTHING, _NOTHING]
    ratio = f"{_number(peer.usage.seconds / ours)} x" if ours else _NOTHING
    return [
        *start,
        f"{peer.usage.seconds:.1f} s",
        ratio,
        f"{peer.usage.peak_bytes / _MEGABYTE:,.0f} MB",
    ]


def _number(value: float | None) -> str:
    if value is None:
        return _NOTHING
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 20 else 2 if abs(value) >= 0.1 else 3
    return f"{value:,.{digits}f}"
