"""The archive's data of a point between two times, reduced to the requested number."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from telecommands.codec import decoder_of
from telecommands.dashboard.archive.reader import ArchiveReader, StoredBody
from telecommands.dashboard.archive.writer import LEVELS_NS
from telecommands.dashboard.points.data import NS_PER_MS, gap_datum, row_datum, value_datum
from telecommands.dashboard.points.point import LINK_DROPPED, LINK_STATE, Point
from telecommands.dashboard.points.reduction import Gap, Sample, merged, minmax
from telecommands.dictionary import PACKETS, Record, Verification
from telecommands.ground.errors import UsageError

Strategy: TypeAlias = Literal["latest", "minmax"]

MOST: Final = 50_000
"""Data in one answer at most."""

MOST_READ: Final = 30_000
"""Packets read for a plot (about 0.15 s); for more, roll-ups are used."""

MOST_GAPS: Final = 1000
LATEST_MS: Final = 4_102_444_800_000.0
"""2100-01-01: later times are refused."""

_DEFAULT_SIZE: Final = 2000
_DATUM_SPANS: Final = 2  # lowest and highest value of a span


class Range(msgspec.Struct, frozen=True):
    """A checked request; times are UTC nanoseconds, both ends included."""

    start: int
    end: int
    size: int | None = None
    strategy: Strategy | None = None


class _Query(msgspec.Struct):
    """The request as the page sends it: times are UTC milliseconds."""

    start: Annotated[float, Meta(ge=0, le=LATEST_MS)] = 0.0
    end: Annotated[float, Meta(ge=0, le=LATEST_MS)] = LATEST_MS
    size: Annotated[int, Meta(ge=1, le=MOST)] | None = None
    strategy: Strategy | None = None


def read_range(query: Mapping[str, str]) -> Range:
    """``start``, ``end`` (UTC milliseconds), ``size``, ``strategy``; each may be absent.

    Raises :class:`UsageError` for an invalid value.
    """
    given = {name: text for name, text in query.items() if text}
    try:
        asked = msgspec.convert(given, _Query, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError("the range of the history", f"is invalid: {error}") from error
    if asked.start > asked.end:
        raise UsageError("start", "is later than end", "Swap the two times")
    start, end = round(asked.start * NS_PER_MS), round(asked.end * NS_PER_MS)
    return Range(start, end, asked.size, asked.strategy)


def history(reader: ArchiveReader, point: Point, query: Range) -> list[dict[str, Any]]:
    """Data of the point, ascending, with the gaps between them.

    ``latest``: the last ``size`` (1).  ``minmax``: at most ``size`` (2,000) that keep the peaks.
    Neither: all data, or as minmax if there are more than 50,000 (of texts: the newest 50,000).
    """
    if point.topic == "link":
        return _link_history(reader, point, query)
    if query.strategy == "latest":
        return _latest(reader, point, query)
    if point.type in ("number", "state"):
        most = MOST_READ if query.strategy == "minmax" else MOST
        few = reader.count(point.topic, query.start, query.end, most + 1) <= most
        if query.strategy == "minmax" or not few:
            return _peaks(reader, point, query, few=few)
    bodies = list(reader.bodies(point.topic, query.start, query.end, MOST, newest=True))[::-1]
    return _with_gaps(_data(reader, point, bodies), _gaps(reader, point, bodies))


def _latest(reader: ArchiveReader, point: Point, query: Range) -> list[dict[str, Any]]:
    most = query.size or 1
    bodies = list(reader.bodies(point.topic, query.start, query.end, most, newest=True))[::-1]
    gaps = _gaps(reader, point, bodies) if most > 1 else ()
    return _with_gaps(_data(reader, point, bodies), gaps)[-most:]


def _peaks(reader: ArchiveReader, point: Point, query: Range, *, few: bool) -> list[dict[str, Any]]:
    size = query.size or (_DEFAULT_SIZE if query.strategy == "minmax" else MOST)
    start, end = _narrowed(reader, point.topic, query)
    if few:
        samples: Iterable[Sample] = samples_of(point, reader.bodies(point.topic, start, end))
        found = list(samples)
        if len(found) > size:
            found = minmax(found, start, end, size)
    else:
        level = _level((end - start) * _DATUM_SPANS // max(1, size))
        rolled = reader.rollups(point.key, level, start, end)
        found = minmax((one for one in rolled if start <= one.t <= end), start, end, size)
    gaps = merged(reader.gaps(point.topic, start, end), start, end, min(MOST_GAPS, size))
    return _with_gaps((value_datum(one) for one in found), gaps)


def _narrowed(reader: ArchiveReader, topic: str, query: Range) -> tuple[int, int]:
    """The requested span without empty ends: ``0`` to ``2100`` is a valid request."""
    first = next(reader.bodies(topic, query.start, query.end, 1), None)
    last = next(reader.bodies(topic, query.start, query.end, 1, newest=True), None)
    if first is None or last is None:
        return query.start, query.end
    return first.t, last.t


def _level(span: int) -> int:
    """The coarsest roll-up of which two fit into a span of the answer; otherwise the finest."""
    fitting = [level for level in LEVELS_NS if 2 * level <= span]
    return max(fitting, default=min(LEVELS_NS))


def _gaps(reader: ArchiveReader, point: Point, bodies: list[StoredBody]) -> list[Gap]:
    """Gaps between the first and the last of these packets."""
    if not bodies:
        return []
    start, end = bodies[0].t, bodies[-1].t
    inside = (gap for gap in reader.gaps(point.topic, start, end) if start <= gap.t <= end)
    return merged(inside, start, end, MOST_GAPS)


def _data(
    reader: ArchiveReader, point: Point, bodies: Iterable[StoredBody]
) -> Iterator[dict[str, Any]]:
    if point.type == "table":
        for t, boot, seq, record in records_of(point, bodies):
            datum = row_datum(t, seq, boot, record)
            if isinstance(record, Verification):
                datum["args"] = reader.arguments_of(record.id)
            yield datum
    else:
        for sample in samples_of(point, bodies):
            yield value_datum(sample)


def link_samples(reader: ArchiveReader, point: Point, start: int, end: int) -> Iterator[Sample]:
    """Samples of a point of the link itself, ascending."""
    if point.key == LINK_STATE:
        yield from reader.link(start, end)
        return
    for sample in reader.dropped(None if point.key == LINK_DROPPED else point.path[0]):
        if start <= sample.t <= end:
            yield sample


def records_of(
    point: Point, bodies: Iterable[StoredBody]
) -> Iterator[tuple[int, int, int, Record]]:
    """Time, boot, number and body of each packet of a table."""
    decoder = decoder_of(PACKETS[point.topic])  # type: ignore[index]
    for t, boot, seq, body in bodies:
        yield t, boot, seq, decoder.decode(body)


def samples_of(point: Point, bodies: Iterable[StoredBody]) -> Iterator[Sample]:
    """The point's value in each packet that has one."""
    path = ("job",) if point.type == "tile_map" else point.path
    decode = decoder_of(_only(path)).decode
    for t, boot, seq, body in bodies:
        value: Any = decode(body)
        for _ in path:
            if value is msgspec.UNSET:
                break
            value = value.inner
        if value is not msgspec.UNSET:
            yield Sample(t, point.coded(value), seq, boot)


@lru_cache(maxsize=1024)
def _only(path: tuple[str, ...]) -> Any:
    """A type that decodes only the field at this path."""
    kind: Any = Any
    for name in reversed(path):
        field = ("inner", kind | msgspec.UnsetType if kind is not Any else kind, msgspec.UNSET)
        kind = msgspec.defstruct("Only", [field], rename={"inner": name})
    return kind


def _with_gaps(data: Iterable[dict[str, Any]], gaps: Iterable[Gap]) -> list[dict[str, Any]]:
    gap_data = [gap_datum(gap) for gap in gaps]
    if not gap_data:
        return list(data)
    return list(heapq.merge(data, gap_data, key=lambda datum: float(datum["timestamp"])))


def _link_history(reader: ArchiveReader, point: Point, query: Range) -> list[dict[str, Any]]:
    if query.strategy == "latest":
        samples = _latest_of_link(reader, point, query.end)[-(query.size or 1) :]
        return [value_datum(sample) for sample in samples]
    samples = list(link_samples(reader, point, query.start, query.end))
    if len(samples) > (query.size or MOST):
        samples = minmax(samples, query.start, query.end, query.size or MOST)
    return [value_datum(sample) for sample in samples]


def _latest_of_link(reader: ArchiveReader, point: Point, end: int) -> list[Sample]:
    """All samples up to ``end``: only changes are recorded, and each holds until the next.

    No packets were missing when the archive began, with the first state of the link.
    """
    samples = list(link_samples(reader, point, 0, end))
    if not samples and point.key != LINK_STATE:
        began = next(reader.link(0, end), None)
        return [] if began is None else [Sample(began.t, 0)]
    return samples
