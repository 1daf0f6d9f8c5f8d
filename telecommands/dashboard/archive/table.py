"""The archive as rows of a table, for programs that do not read packets."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from telecommands.dashboard.archive.history import link_samples, records_of, samples_of
from telecommands.dashboard.archive.reader import ArchiveReader
from telecommands.dashboard.points.data import row_datum
from telecommands.dashboard.points.point import Point
from telecommands.dashboard.points.reduction import Sample
from telecommands.ground.readable import utc


class ExportRow(NamedTuple):
    """A value, or a gap.  ``t`` is UTC nanoseconds; ``value`` of a state is its number."""

    key: str
    t: int
    utc: str
    boot: int | None
    seq: int | None
    value: float | None
    text: str | None
    gap: int | None


def rows_of(reader: ArchiveReader, point: Point, start: int, end: int) -> Iterator[ExportRow]:
    """All rows of a point in that time, ascending."""
    if point.topic == "link":
        yield from (_row(point, sample) for sample in link_samples(reader, point, start, end))
        return
    bodies = reader.bodies(point.topic, start, end)
    if point.type == "table":
        values = (
            _row(point, Sample(t, _json(t, seq, boot, record), seq, boot))
            for t, boot, seq, record in records_of(point, bodies)
        )
    else:
        values = (_row(point, sample) for sample in samples_of(point, bodies))
    gaps = (
        ExportRow(point.key, gap.t, utc(gap.t), None, None, None, None, gap.missing)
        for gap in reader.gaps(point.topic, start, end)
    )
    yield from heapq.merge(values, gaps, key=lambda row: row.t)


def _row(point: Point, sample: Sample) -> ExportRow:
    t, value, seq, boot = sample
    number = float(value) if isinstance(value, (int, float)) else None
    text = value if isinstance(value, str) else None
    if point.states is not None and value is not None:
        text = next((one.text for one in point.states if one.value == value), None)
    return ExportRow(point.key, t, utc(t), boot, seq, number, text, None)


def _json(t: int, seq: int, boot: int, record: Any) -> str:
    return msgspec.json.encode(row_datum(t, seq, boot, record)).decode()
