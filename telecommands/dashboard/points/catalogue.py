"""The dictionary as a tree of points, and packets as their values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import inspect

from telecommands.dashboard.points.declared import (
    declared_names,
    link_points,
    point_of,
    table,
    within,
)
from telecommands.dashboard.points.point import TABLES, Point, Scalar
from telecommands.dictionary import PACKETS, Record
from telecommands.ground.arguments import fields_of, unwrap_type
from telecommands.ground.limits import FOLLOWED, limits_from

MOST_DISCOVERED: Final = 500
"""Points with names not in the dictionary (threads, classes, codes), at most."""

_MOST_LETTERS: Final = 200
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


class Folder(msgspec.Struct, frozen=True):
    """A folder of the page's object tree."""

    key: str
    name: str
    points: tuple[Point, ...]


class PointCatalogue:
    """All points.  Maps with names not in the dictionary gain points from packets."""

    def __init__(self) -> None:
        self._points: dict[str, Point] = {}
        self._maps: dict[str, Point] = {}
        self._discovered = 0
        self._parameters: dict[str, float] = {}
        self.limit_changes = 0
        """How often a parameter changed limits."""
        for topic, kind in PACKETS.items():
            if topic in TABLES:
                self._add(table(topic, kind))
            else:
                self._declare(topic, kind, ())
        for point in link_points():
            self._add(point)

    def __len__(self) -> int:
        return len(self._points)

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
        """A packet's value of each point; none for tables."""
        if topic in TABLES:
            return
        body = msgspec.to_builtins(record, builtin_types=(bytes,))
        yield from self._walk(topic, body, ())

    def follow(self, parameters: Mapping[str, float]) -> None:
        """Adopt the limits that these parameters give."""
        if parameters.items() <= self._parameters.items():
            return
        self._parameters |= parameters
        self.limit_changes += 1
        for field in FOLLOWED:
            point = self._points[f"hk.{field}"]
            limits = {**(point.limits or {}), **limits_from(field, self._parameters)}
            self._points[point.key] = msgspec.structs.replace(point, limits=limits)

    def discover(self, key: str) -> None:
        """Add a point for an archived key if it belongs to a map of the dictionary."""
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
                    value = str(body.get("job", ""))  # noqa: PLW2901 - the page requests the map by its job
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
        return self._add(within(pattern, path))

    def _add(self, point: Point) -> Point:
        self._points[point.key] = point
        return point

    def _declare(self, topic: str, kind: type[msgspec.Struct], path: tuple[str, ...]) -> None:
        for field in fields_of(kind):
            inner, _ = unwrap_type(field.type)
            here = (*path, field.encode_name)
            if isinstance(inner, inspect.StructType):
                self._declare(topic, inner.cls, here)
            elif isinstance(inner, inspect.DictType):
                self._declare_map(point_of(topic, here, field.type, type_="number"))
            elif not isinstance(inner, inspect.VarTupleType):
                self._add(point_of(topic, here, field.type))

    def _declare_map(self, pattern: Point) -> None:
        self._maps[pattern.key] = pattern
        for names in declared_names(pattern):
            self._add(within(pattern, (*pattern.path, *names)))


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
