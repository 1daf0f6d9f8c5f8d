"""A record of the dictionary as a flat list of typed leaves: the only walk over its types.

Encoder, decoder and databases all follow this list, so they cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import inspect
from msgspec.structs import replace

from telecommands.dictionary import MEANINGS
from telecommands.ground.arguments import choices_of, fields_of, unwrap_type
from telecommands.ground.limits import extra_of
from telecommands.numbers import numbers_of

LeafKind: TypeAlias = Literal["integer", "number", "choice", "truth", "text", "bytes", "json"]

NONE_CHOICE: Final = 255
"""Of a choice or a truth value that is None."""

SMALLEST: Final = -(2**63)

OTHER: Final = "other"
"""Last step of the path to the keys of a map that are not declared, as JSON."""


class Leaf(msgspec.Struct, frozen=True, kw_only=True):
    """One value of a record.

    ``path`` leads to it through fields and, its last ``keys`` steps, through maps.  ``numbers``
    are those of a choice.
    ``low`` and ``high`` are inclusive; ``limits`` are those of housekeeping.  ``none`` is what
    stands for None in an integer, None if it is never None; the absent key of a map of counts
    counts 0.  ``default`` is that of an argument, ``msgspec.NODEFAULT`` if it must be given.
    """

    path: tuple[str, ...]
    kind: LeafKind
    optional: bool = False
    numbers: Mapping[str, int] = {}
    none: int | None = None
    unit: str = ""
    doc: str = ""
    low: float | None = None
    high: float | None = None
    limits: Mapping[str, float] = {}
    default: Any = msgspec.NODEFAULT
    keys: int = 0
    known: tuple[tuple[str, ...], ...] = ()
    """Of the leaf of a map's other keys: the declared ones, level by level."""

    @property
    def name(self) -> str:
        """The path as an identifier of letters, digits and underscores."""
        return "_".join("".join(c if c.isalnum() else "_" for c in step) for step in self.path)


def leaves_of(kind: type[msgspec.Struct]) -> tuple[Leaf, ...]:
    """All leaves, in the order of the packet.

    Raises :class:`TypeError` for a type that has no layout, such as text that may be None.
    """
    return tuple(_of_struct(kind, ()))


def _of_struct(kind: type[msgspec.Struct], before: tuple[str, ...]) -> Iterator[Leaf]:
    for field in fields_of(kind):
        yield from _of_field(field, (*before, field.encode_name))


def _of_field(field: inspect.Field, path: tuple[str, ...]) -> Iterator[Leaf]:
    bare, facts = unwrap_type(field.type)
    extra = extra_of(field.type)
    optional = _includes_none(field.type)
    default = field.default
    if default is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT:
        default = field.default_factory()
    if isinstance(bare, inspect.StructType):
        yield from _of_struct(bare.cls, path)
        return
    leaf = Leaf(
        path=path,
        kind="json",
        optional=optional,
        unit=extra.get("unit", ""),
        doc=facts.get("description") or MEANINGS.get(path[-1], ""),
        low=facts.get("ge", facts.get("gt")),
        high=facts.get("le", facts.get("lt")),
        limits={name: float(extra[name]) for name in _LIMITS if extra.get(name) is not None},
        default=default,
    )
    known = extra.get("names") or extra.get("known")
    if isinstance(bare, inspect.DictType) and known:
        yield from _of_map(bare, leaf, known)
    else:
        yield _typed(leaf, bare)


def _of_map(
    kind: inspect.DictType, leaf: Leaf, known: tuple[tuple[str, ...], ...]
) -> Iterator[Leaf]:
    """A leaf for each declared key, and one for all others."""
    inner: inspect.Type = kind
    for _ in known:
        assert isinstance(inner, inspect.DictType)
        inner, _facts = unwrap_type(inner.value_type)
    counts = isinstance(inner, inspect.IntType)
    for keys in product(*known):
        one = replace(leaf, path=(*leaf.path, *keys), optional=not counts)
        yield _typed(replace(one, keys=len(keys)), inner)
    yield replace(leaf, path=(*leaf.path, OTHER), known=known, unit="", limits={})


def _typed(leaf: Leaf, bare: inspect.Type) -> Leaf:
    if isinstance(bare, (inspect.EnumType, inspect.LiteralType)):
        members = choices_of(bare)
        if all(isinstance(member, str) for member in members):
            return replace(leaf, kind="choice", numbers=numbers_of(members))
        leaf, bare = replace(leaf, low=min(members), high=max(members)), inspect.IntType()
    kind = _KINDS.get(type(bare), "json")
    if kind == "integer" and leaf.optional:
        below = leaf.low is not None and leaf.low >= 0
        return replace(leaf, kind=kind, none=-1 if below else SMALLEST)
    if kind in ("text", "bytes") and leaf.optional:
        raise TypeError(f"{'.'.join(leaf.path)} may be None, for which {kind} has no value")
    return replace(leaf, kind=kind)


def _includes_none(kind: inspect.Type) -> bool:
    if isinstance(kind, inspect.Metadata):
        return _includes_none(kind.type)
    return isinstance(kind, inspect.UnionType) and kind.includes_none


_LIMITS: Final = ("warning_low", "critical_low", "warning_high", "critical_high")
_KINDS: Final[Mapping[type[inspect.Type], LeafKind]] = {
    inspect.BoolType: "truth",
    inspect.IntType: "integer",
    inspect.FloatType: "number",
    inspect.StrType: "text",
    inspect.BytesType: "bytes",
}
