"""The checksums of CFDP over a file, in bounded memory."""

from __future__ import annotations

import os
import struct
import zlib
from typing import Final

import fastcrc
import numpy as np
from spacepackets.cfdp import ChecksumType

from telecommands.gateway.files.settings import ChecksumName

TYPES: Final[dict[ChecksumName, ChecksumType]] = {
    "modular": ChecksumType.MODULAR,
    "crc32": ChecksumType.CRC_32,
    "crc32c": ChecksumType.CRC_32C,
}
SUPPORTED: Final = frozenset({*TYPES.values(), ChecksumType.NULL_CHECKSUM})

_PIECE: Final = 1 << 20
_WORD: Final = 4


def checksum_of(kind: ChecksumType, handle: int, size: int) -> bytes:
    """The four bytes of the checksum of the first ``size`` bytes of an open file.

    The modular one (727.0-B-5, 4.2.2) is the sum of the big-endian words of four bytes, the last
    one filled with zeros.  :class:`ValueError` for a kind that is not in ``SUPPORTED``.
    """
    if kind not in SUPPORTED:
        raise ValueError(f"{kind!r} is not a checksum that can be computed here")
    value = 0
    for offset in range(0, 0 if kind is ChecksumType.NULL_CHECKSUM else size, _PIECE):
        data = os.pread(handle, min(_PIECE, size - offset), offset)
        if kind is ChecksumType.MODULAR:
            words = np.frombuffer(data + b"\0" * (-len(data) % _WORD), ">u4")
            value = (value + int(words.sum(dtype=np.uint64))) % 2**32
        elif kind is ChecksumType.CRC_32:
            value = zlib.crc32(data, value)
        else:
            value = fastcrc.crc32.iscsi(data, value)
    return struct.pack(">I", value)
