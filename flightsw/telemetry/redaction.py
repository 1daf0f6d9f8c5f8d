"""What may leave the service: plain values without secrets."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

_SECRET_WORDS: Final = frozenset({"secret", "secrets", "password", "passphrase"})
_SECRET_AT_END: Final = frozenset({"mac", "key", "keys"})  # key_id and key_file are not secret
_DEEPEST: Final = 16


def plain(value: Any, depth: int = _DEEPEST) -> Any:
    """A copy that JSON and msgpack can carry, without entries that are secrets by name.

    Of bytes only the number is kept; what has no plain form becomes its ``str``.
    """
    if not isinstance(value, (Mapping, list, tuple, set, frozenset)):
        return _plain_leaf(value)
    if depth == 0:
        return "<nested too deep>"
    if isinstance(value, Mapping):
        entries = ((_text(name), inner) for name, inner in value.items())
        return {name: plain(inner, depth - 1) for name, inner in entries if not _secret(name)}
    return [plain(inner, depth - 1) for inner in value]


def _plain_leaf(value: Any) -> bool | int | float | str | None:
    if isinstance(value, Enum):
        return _plain_leaf(value.value)
    if value is None or (isinstance(value, int) and abs(value) < 2**63):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value)} bytes>"
    return _text(value)


def _secret(name: str) -> bool:
    words = [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]
    return bool(words) and (words[-1] in _SECRET_AT_END or not _SECRET_WORDS.isdisjoint(words))


def _text(value: object) -> str:
    """Text that is sound UTF-8: file names may hold bytes that are not."""
    return str(value).encode("utf-8", "backslashreplace").decode()
