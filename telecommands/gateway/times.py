"""Times of packets: CCSDS unsegmented code (CCSDS 301.0-B-4, section 3.2).

Four bytes of seconds and three of their fraction since 1970-01-01T00:00:00 TAI, after the preamble
0x2F (agency-defined epoch).  The code counts all seconds, leap seconds too.
"""

from __future__ import annotations

import struct
from typing import Final

TAI_AHEAD_S: Final = 37
"""TAI - UTC since 2017-01-01 (IERS Bulletin C 52); no leap second has been announced since."""

LENGTH: Final = 8
PREAMBLE: Final = 0x2F

_PARTS: Final = struct.Struct(">BI")
_SECOND: Final = 10**9
_FRACTIONS: Final = 1 << 24


def time_code(utc_ns: int) -> bytes:
    """The code of a time in UTC nanoseconds; times outside 1970 to 2106 become the nearest."""
    seconds, rest = divmod(max(utc_ns, 0), _SECOND)
    seconds = min(seconds + TAI_AHEAD_S, 2**32 - 1)
    return _PARTS.pack(PREAMBLE, seconds) + (rest * _FRACTIONS // _SECOND).to_bytes(3, "big")


def read_time_code(code: bytes) -> int:
    """UTC in nanoseconds; :class:`ValueError` if it is not such a code."""
    if len(code) != LENGTH or code[0] != PREAMBLE:
        raise ValueError(f"{code.hex()} is not a time code of 8 bytes that begins with 2f")
    _, seconds = _PARTS.unpack_from(code)
    fraction = int.from_bytes(code[_PARTS.size :], "big")
    if seconds < TAI_AHEAD_S:
        raise ValueError("the time lies before 1970")
    return int((seconds - TAI_AHEAD_S) * _SECOND + -(-fraction * _SECOND // _FRACTIONS))
