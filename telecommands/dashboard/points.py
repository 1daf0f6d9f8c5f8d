"""The dictionary as a tree of plottable points, and packets as values of these points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import inspect

from telecommands.dictionary import PACKETS, PARAMETERS, Record, Topic
from telecommands.groundsim.arguments import choices_of, fields_of
from telecommands.groundsim.limits import extra_of, level_within

Kind: TypeAlias = Literal["number", "text", "state", "table", "tile_map"]
Scalar: TypeAlias = float | int | str | None

LIMITS: Final = ("warning_low", "critical_low", "warning_high", "critical_high")
TABLES: Final[tuple[Topic, ...]] = ("evt", "ver")
LINK_STATE: Final = "link.state"
LINK_DROPPED: Final = "link.dropped"
MOST_DISCOVERED: Final = 500
"""Values under names that the dictionary leaves open (threads, classes, codes), at most."""

_MOST_LETTERS: Final = 200
_STALE_PERIODS: Final = 3
_HOUSEKEEPING_S: Final = float(PARAMETERS["housekeeping.period_s"].default)
_SUFFIXES: Final = ("_c", "_w", "_j", "_s", "_ms")
_UPPER: Final = {"cpu": "CPU", "id": "id", "tc": "TC"}
_FOLDERS: Final = {
    "hk": "Housekeeping",
    "thermal": "Temperatures, power and energy",
    "resources": "Memory, disk and processor",
    "queues": "Queues and contact",
    "commanding": "Commanding",
    "evt": "Events",
    "sci.cloud_fraction": "Cloud fraction",
    "latency": "Latency per stage",
    "sci.progress": "Progress of the running job",
    "link": "Link and archive",
}
_RECORD_FOLDERS: Final = {
    "jobs": "queues",
    "products": "queues",
    "contact": "queues",
    "telecommands": "commanding",
    "stages_ms": "latency",
}


class Choice(msgspec.Struct, frozen=True):
    """A state's number on the plots, and its name."""

    value: int
    text: str


class Column(msgspec.Struct, frozen=True):
    """Of a table."""

    key: str
    name: str
    type: Kind
    unit: str | None


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One value over time, or a table of what happened; the page's object."""

    key: str
    topic: str
    name: str
    doc: str = ""
    unit: str | None = None
    type: Kind = "number"
    states: tuple[Choice, ...] | None = None
    limits: Mapping[str, float] | None = None
    stale_after_s: float | None = None
    fields: tuple[Column, ...] | None = None
    path: tuple[str, ...] = ()
    """Where the value stands in the packet's body."""

    def coded(self, value: Any) -> Scalar:
        """A value of a packet as it is told: states as their number, the rest as it is."""
        if self.states is not None and value is not None:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            return next((one.value for one in self.states if one.text == text), None)
        if isinstance(value, bool):
            return int(value)
        return value if isinstance(value, (int, float, str)) else None

    def level(self, value: Any) -> str:
        """``ok``, ``warning`` or ``critical``, by the dictionary's limits."""
        level = level_within(self.limits, value).value if self.limits else "ok"
        return "ok" if level == "nominal" else level


class Folder(msgspec.Struct, frozen=True):
    """Of the page's object tree."""

    key: str
    name: str
    points: tuple[Point, ...]


class Catalogue:
    """All points.  Maps whose names the dictionary leaves open gain points as packets tell them."""

    def __init__(self) -> None:
        self._points: dict[str, Point] = {}
        self._maps: dict[str, Point] = {}
        self._discovered = 0
        for topic, kind in PACKETS.items():
            if topic in TABLES:
                self._add(_table(topic, kind))
            else:
                self._declare(topic, kind, ())
        for point in _link_points():
            self._add(point)

    def __contains__(self, key: object) -> bool:
        return key in self._points

    def get(self, key: str) -> Point | None:
        """The point of that key, if there is one."""
        return self._points.get(key)

    def folders(self) -> tuple[Folder, ...]:
        """The tree, in the dictionary's order."""
        inside: dict[str, list[Point]] = {key: [] for key in _FOLDERS}
        for point in tuple(self._points.values()):
            inside[_folder_of(point)].append(point)
        return tuple(Folder(key, _FOLDERS[key], tuple(points)) for key, points in inside.items())

    def values(self, topic: str, record: Record) -> Iterator[tuple[Point, Scalar]]:
        """What a packet says, point by point; nothing for tables."""
        if topic in TABLES:
            return
        body = msgspec.to_builtins(record, builtin_types=(bytes,))
        yield from self._walk(topic, body, ())

    def discover(self, key: str) -> None:
        """Learn a key that an archive holds, where a map of the dictionary has room for it."""
        for prefix, pattern in self._maps.items():
            if key.startswith(f"{prefix}.") and key not in self._points:
                name = key.removeprefix(f"{prefix}.")
                self._discover(pattern, (*pattern.path, name))

    def _walk(
        self, topic: str, body: Mapping[str, Any], path: tuple[str, ...]
    ) -> Iterator[tuple[Point, Scalar]]:
        prefix = ".".join((topic, *path))
        for name, value in body.items():
            key = f"{prefix}.{name}"
            if isinstance(value, Mapping):
                yield from self._walk(topic, value, (*path, name))
                continue
            point = self._points.get(key) or self._new(topic, (*path, name))
            if point is not None:
                if point.type == "tile_map":
                    value = str(body.get("job", ""))  # noqa: PLW2901 - told by its own request
                yield point, point.coded(value)

    def _new(self, topic: str, path: tuple[str, ...]) -> Point | None:
        for length in range(len(path) - 1, 0, -1):
            pattern = self._maps.get(".".join((topic, *path[:length])))
            if pattern is not None:
                return self._discover(pattern, path)
        return None

    def _discover(self, pattern: Point, path: tuple[str, ...]) -> Point | None:
        if self._discovered >= MOST_DISCOVERED or len(".".join(path)) > _MOST_LETTERS:
            return None
        self._discovered += 1
        return self._add(_within(pattern, path))

    def _add(self, point: Point) -> Point:
        self._points[point.key] = point
        return point

    def _declare(self, topic: str, kind: type[msgspec.Struct], path: tuple[str, ...]) -> None:
        for field in fields_of(kind):
            inner = _bare(field.type)
            here = (*path, field.encode_name)
            if isinstance(inner, inspect.StructType):
                self._declare(topic, inner.cls, here)
            elif isinstance(inner, inspect.DictType):
                self._declare_map(_point(topic, here, field.type, type_="number"))
            elif not isinstance(inner, inspect.VarTupleType):
                self._add(_point(topic, here, field.type))

    def _declare_map(self, pattern: Point) -> None:
        self._maps[pattern.key] = pattern
        for names in _declared_names(pattern):
            self._add(_within(pattern, (*pattern.path, *names)))


def _declared_names(pattern: Point) -> Iterator[tuple[str, ...]]:
    for field in fields_of(PACKETS[pattern.topic]):  # type: ignore[index]
        names = extra_of(field.type).get("names")
        if (field.encode_name,) == pattern.path and names:
            yield from product(*names)


def _within(pattern: Point, path: tuple[str, ...]) -> Point:
    """A point of a map."""
    name = " ".join((*pattern.path[1:], *path[len(pattern.path) :]))
    return msgspec.structs.replace(
        pattern, key=".".join((pattern.topic, *path)), path=path, name=name
    )


def _point(
    topic: str, path: tuple[str, ...], kind: inspect.Type, type_: Kind | None = None
) -> Point:
    extra, inner = extra_of(kind), _bare(kind)
    states = _states(inner)
    limits = {name: float(extra[name]) for name in LIMITS if extra.get(name) is not None}
    if type_ is None:
        type_ = "state" if states else "text" if isinstance(inner, inspect.StrType) else "number"
        type_ = "tile_map" if isinstance(inner, inspect.BytesType) else type_
    return Point(
        key=".".join((topic, *path)),
        topic=topic,
        name=_words(path),
        doc=_doc(kind),
        unit=extra.get("unit"),
        type=type_,
        states=states,
        limits=limits or None,
        stale_after_s=_STALE_PERIODS * _HOUSEKEEPING_S if topic == "hk" else None,
        path=path,
    )


def _table(topic: str, kind: type[Record]) -> Point:
    columns = tuple(
        Column(field.encode_name, _words((field.encode_name,)), _column_type(field.type), None)
        for field in fields_of(kind)
    )
    doc = (kind.__doc__ or "").partition("\n")[0].replace("``", "")
    name = "Events" if topic == "evt" else "Verification of telecommands"
    return Point(key=topic, topic=topic, name=name, doc=doc, type="table", fields=columns)


def _link_points() -> Iterator[Point]:
    states = (Choice(0, "down"), Choice(1, "up"))
    yield Point(key=LINK_STATE, topic="link", name="Link", type="state", states=states,
                doc="whether the service's telemetry link is there")  # fmt: skip
    doc = "packets missing by their sequence numbers, since the archive began"
    yield Point(key=LINK_DROPPED, topic="link", name="Packets dropped", doc=doc)
    for topic in PACKETS:
        name = f"Packets dropped of {topic}"
        yield Point(key=f"{LINK_DROPPED}.{topic}", topic="link", name=name, doc=doc, path=(topic,))


def _column_type(kind: inspect.Type) -> Kind:
    inner = _bare(kind)
    return "number" if isinstance(inner, (inspect.IntType, inspect.FloatType)) else "text"


def _states(inner: inspect.Type) -> tuple[Choice, ...] | None:
    if isinstance(inner, (inspect.EnumType, inspect.LiteralType)):
        return tuple(Choice(i, str(text)) for i, text in enumerate(choices_of(inner)))
    if isinstance(inner, inspect.BoolType):
        return Choice(0, "false"), Choice(1, "true")
    return None


def _bare(kind: inspect.Type) -> inspect.Type:
    """Without metadata, and without None beside it."""
    if isinstance(kind, inspect.Metadata):
        return _bare(kind.type)
    if isinstance(kind, inspect.UnionType):
        others = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
        return _bare(others[0]) if len(others) == 1 else kind
    return kind


def _doc(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.Metadata):
        return (kind.extra_json_schema or {}).get("description", "") or _doc(kind.type)
    return ""


def _words(path: tuple[str, ...]) -> str:
    """``cpu_temperature_c`` as ``CPU temperature``."""
    *before, last = path
    for suffix in _SUFFIXES:
        if last.endswith(suffix) and last != suffix:
            last = last.removesuffix(suffix)
            break
    words = [_UPPER.get(word, word) for part in (*before, last) for word in part.split("_")]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])


def _folder_of(point: Point) -> str:
    if point.topic == "evt":
        return "evt"
    if point.topic == "ver":
        return "commanding"
    folder = _RECORD_FOLDERS.get(point.path[0]) if point.path and point.topic != "link" else None
    if folder is not None or point.topic != "hk":
        return folder or point.topic
    if point.unit in ("°C", "W", "J"):
        return "thermal"
    if point.unit == "byte" or point.path[0].startswith("cpu"):
        return "resources"
    return "hk"
