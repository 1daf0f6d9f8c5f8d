"""What a foreign parser must find in a packet: all leaves of its record, by their names there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from telecommands.dictionary import Record
from telecommands.gateway.layout import layout_of, none_of
from telecommands.gateway.leaves import Leaf

PREFIXES = {
    "ver": "ver_", "hk": "hk_", "evt": "evt_", "sci.cloud_fraction": "cloud_fraction_",
    "sci.progress": "progress_",
}  # fmt: skip


def expected(prefix: str, record: Record) -> dict[str, Any]:
    """Values by name; choices by their label, None as what stands for it, JSON as text."""
    content = msgspec.to_builtins(record, builtin_types=(bytes,))
    found = {}
    for leaf in layout_of(type(record)).leaves:
        value = _value(content, leaf)
        if leaf.kind == "truth" and value is not None:
            value = "TRUE" if value else "FALSE"
        if value is None and leaf.kind in ("choice", "truth"):
            value = "NONE"
        elif value is None and leaf.kind == "json":
            value = ""
        elif leaf.kind == "json":
            value = msgspec.json.encode(value).decode()
        elif value is None:
            value = none_of(leaf) if leaf.optional else 0
        found[prefix + leaf.name] = value
    return found


def differing(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Names whose values differ, with both; not a number equals not a number."""
    return {
        name: (found.get(name), value)
        for name, value in wanted.items()
        if not _equal(found.get(name), value)
    }


def _equal(one: Any, two: Any) -> bool:
    if isinstance(two, float) and math.isnan(two):
        return isinstance(one, float) and math.isnan(one)
    return bool(one == two)


def _value(content: Any, leaf: Leaf) -> Any:
    if leaf.known:
        for step in leaf.path[:-1]:
            content = content[step]
        return _without(content, leaf.known)
    for step in leaf.path:
        content = content.get(step)
        if content is None:
            return None
    return content


def _without(content: Mapping[str, Any], known: tuple[tuple[str, ...], ...]) -> Any:
    """What is left of a map without its declared keys; None if nothing is."""
    left: dict[str, Any] = {}
    for key, value in content.items():
        if key not in known[0]:
            left[key] = value
        elif known[1:] and (inside := _without(value, known[1:])):
            left[key] = inside
    return left or None
