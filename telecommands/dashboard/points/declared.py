"""Points from the dictionary's declarations: name, unit, limits, states, columns."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final

import msgspec
from msgspec import inspect

from telecommands.dashboard.points.point import (
    LINK_DROPPED,
    LINK_STATE,
    Choice,
    Column,
    Kind,
    Point,
)
from telecommands.dictionary import PACKETS, Record
from telecommands.ground.arguments import choices_of, fields_of, is_time, unwrap_type
from telecommands.ground.limits import extra_of
from telecommands.ground.telemetry_state import STALE_AFTER_S

LIMITS: Final = ("warning_low", "critical_low", "warning_high", "critical_high")
_SUFFIXES: Final = ("_c", "_w", "_j", "_s", "_ms")
_UPPER: Final = {"cpu": "CPU"}
_HEADINGS: Final = {"name": "Telecommand", "key_id": "Sender", "at": "Stage time"}
_FIRST: Final = ("name", "args", "key_id", "stage", "at", "code", "cause", "cure")


def declared_names(pattern: Point) -> Iterator[tuple[str, ...]]:
    """The declared names in a map."""
    for field in fields_of(PACKETS[pattern.topic]):  # type: ignore[index]
        names = extra_of(field.type).get("names")
        if (field.encode_name,) == pattern.path and names:
            yield from product(*names)


def within(pattern: Point, path: tuple[str, ...]) -> Point:
    """A point of a map."""
    name = " ".join((*pattern.path[1:], *path[len(pattern.path) :]))
    return msgspec.structs.replace(
        pattern, key=".".join((pattern.topic, *path)), path=path, name=name
    )


def point_of(
    topic: str, path: tuple[str, ...], kind: inspect.Type, type_: Kind | None = None
) -> Point:
    """The point of a field at ``path`` in the packet's body."""
    extra, (inner, facts) = extra_of(kind), unwrap_type(kind)
    states = _states(inner)
    limits = {name: float(extra[name]) for name in LIMITS if extra.get(name) is not None}
    if type_ is None:
        type_ = "state" if states else "text" if isinstance(inner, inspect.StrType) else "number"
        type_ = "tile_map" if isinstance(inner, inspect.BytesType) else type_
    return Point(
        key=".".join((topic, *path)),
        topic=topic,
        name=_words(path),
        doc=facts.get("description", ""),
        unit=extra.get("unit"),
        type=type_,
        states=states,
        limits=limits or None,
        stale_after_s=STALE_AFTER_S if topic == "hk" else None,
        path=path,
    )


def table(topic: str, kind: type[Record]) -> Point:
    """All packets of a topic as one table."""
    columns = [
        Column(name, _HEADINGS.get(name, _words((name,))), _column_type(field.type), None)
        for field in fields_of(kind)
        for name in [field.encode_name]
    ]
    if topic == "ver":  # telecommand, arguments and sender first
        columns.append(Column("args", "Arguments", "text", None))
        columns.sort(key=lambda one: (*_FIRST, one.key).index(one.key))
    doc = (kind.__doc__ or "").partition("\n")[0].replace("``", "")
    name = "Events" if topic == "evt" else "Verification of telecommands"
    return Point(key=topic, topic=topic, name=name, doc=doc, type="table", fields=tuple(columns))


def link_points() -> Iterator[Point]:
    """The bridge's own points: the state and losses of the link."""
    states = (Choice(0, "down"), Choice(1, "up"))
    yield Point(key=LINK_STATE, topic="link", name="Link", type="state", states=states,
                doc="whether the telemetry link to the service is up")  # fmt: skip
    doc = "packets missing by their sequence numbers, since the archive began"
    yield Point(key=LINK_DROPPED, topic="link", name="Packets dropped", doc=doc)
    for topic in PACKETS:
        name = f"Packets dropped of {topic}"
        yield Point(key=f"{LINK_DROPPED}.{topic}", topic="link", name=name, doc=doc, path=(topic,))


def _column_type(kind: inspect.Type) -> Kind:
    if is_time(kind):
        return "time"
    inner, _ = unwrap_type(kind)
    return "number" if isinstance(inner, (inspect.IntType, inspect.FloatType)) else "text"


def _states(inner: inspect.Type) -> tuple[Choice, ...] | None:
    if isinstance(inner, (inspect.EnumType, inspect.LiteralType)):
        return tuple(Choice(i, str(text)) for i, text in enumerate(choices_of(inner)))
    if isinstance(inner, inspect.BoolType):
        return Choice(0, "false"), Choice(1, "true")
    return None


def _words(path: tuple[str, ...]) -> str:
    """``cpu_temperature_c`` as ``CPU temperature``."""
    *before, last = path
    for suffix in _SUFFIXES:
        if last.endswith(suffix) and last != suffix:
            last = last.removesuffix(suffix)
            break
    words = [_UPPER.get(word, word) for part in (*before, last) for word in part.split("_")]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])
