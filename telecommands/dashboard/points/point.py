"""A point: a value over time or a table, as shown on the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec

from telecommands.dictionary import Topic

Kind: TypeAlias = Literal["number", "text", "state", "table", "tile_map", "time"]
Scalar: TypeAlias = float | int | str | None

TABLES: Final[tuple[Topic, ...]] = ("evt", "ver")
LINK_STATE: Final = "link.state"
LINK_DROPPED: Final = "link.dropped"


class Choice(msgspec.Struct, frozen=True):
    """A state's number on the plots, and its name."""

    value: int
    text: str


class Column(msgspec.Struct, frozen=True):
    """A column of a table."""

    key: str
    name: str
    type: Kind
    unit: str | None


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A value over time or a table; one object on the page."""

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
    """Path of the value in the packet's body."""

    def coded(self, value: Any) -> Scalar:
        """A packet's value for the page: states as their number, other values unchanged."""
        if self.states is not None and value is not None:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            return next((one.value for one in self.states if one.text == text), None)
        if isinstance(value, bool):
            return int(value)
        return value if isinstance(value, (int, float, str)) else None
