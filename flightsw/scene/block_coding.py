"""How a file's code-blocks are coded, if they are coded as those of Sentinel-2 are.

Main header and headers of tiles: ISO/IEC 15444-1, annex A.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from flightsw.host.disk import open_plain
from flightsw.scene.codestream import Codestream, TilePart
from flightsw.scene.passes import BlockCoding, Bounds, sub_band

_SIZ, _COD, _QCD = 0xFF51, 0xFF52, 0xFF5C  # table A.2
_TLM, _PLM, _PLT, _CRG, _COM = 0xFF55, 0xFF57, 0xFF58, 0xFF63, 0xFF64
_SOD: Final = b"\xff\x93"
_MAIN_MARKERS: Final = {_SIZ, _COD, _QCD, _TLM, _PLM, _CRG, _COM}
_TILE_MARKERS: Final = {_PLT, _COM}
_SOT_BYTES: Final = 12
_MOST_SEGMENTS: Final = 300  # in the header of a tile: PLT are numbered up to 256
_LARGEST_TILE: Final = 2048, 1024  # columns and rows; a tile is decoded whole for each area of it
_SMALLEST_BLOCK: Final = 128  # samples; rewriting smaller blocks costs as much as it saves
_LARGEST_BLOCK: Final = 12  # exponent of samples (A.6.1)
_MOST_PACKETS: Final = 4096  # in a tile
_RPCL: Final = 2  # table A.16; up to it, a layer's packets are in the order of resolutions


class UnsupportedCoding(Exception):  # noqa: N818 - named after what was found
    """Why a file has to be decoded exactly, as a clause; caught in this room."""


def read_coding(image: Codestream) -> BlockCoding:
    """How the blocks are coded; raises :class:`UnsupportedCoding`."""
    listed = [*_segments(image.main_header)]
    segments = dict(listed)
    odd = [marker for marker, _ in listed if marker not in _MAIN_MARKERS]
    if odd or _QCD not in segments or [marker for marker, _ in listed].count(_COD) > 1:
        raise UnsupportedCoding("the main header has unusual markers")
    style, quantisation = segments[_COD], segments[_QCD]
    if not image.reversible or (quantisation[:1] and quantisation[0] & 31):
        raise UnsupportedCoding("the wavelet is not the reversible one")
    if image.style_at is None:
        raise UnsupportedCoding("the code-blocks have a special style")
    if style[0] & ~1:
        raise UnsupportedCoding("packets have markers")
    if style[1] > _RPCL:
        raise UnsupportedCoding("packets are not in the order of resolutions")
    if style[2:4] != b"\x00\x01":
        raise UnsupportedCoding("there are several quality layers")
    levels = style[5]
    precincts = style[10 : 11 + levels] if style[0] & 1 else b"\xff" * (levels + 1)
    exponents = [each >> 3 for each in quantisation[1:]]
    block_width, block_height = style[6] + 2, style[7] + 2
    if len(exponents) < 3 * levels + 1 or block_width + block_height > _LARGEST_BLOCK:
        raise UnsupportedCoding("the main header has unusual contents")
    planes = [0] * (3 * (levels + 1))
    guard = quantisation[0] >> 5
    for resolution in range(levels + 1):
        for kind in range(3 if resolution else 1):
            exponent = exponents[3 * (resolution - 1) + 1 + kind if resolution else 0]
            planes[sub_band(resolution, kind)] = guard + exponent - 1
    coding = BlockCoding(levels, block_width, block_height, precincts, tuple(planes))
    _check_size(image, coding)
    return coding


def _check_size(image: Codestream, coding: BlockCoding) -> None:
    """Raise :class:`UnsupportedCoding` if the blocks are too small, or a tile too large."""
    if image.tile_width > _LARGEST_TILE[0] or image.tile_height > _LARGEST_TILE[1]:
        raise UnsupportedCoding(
            f"their tiles are larger than {_LARGEST_TILE[0]} x {_LARGEST_TILE[1]} pixels"
        )
    packets, blocks = 0, 0
    for resolution, exponents in enumerate(coding.precincts):
        width, height = exponents & 15, exponents >> 4
        smaller = 1 if resolution else 0  # a precinct of a high band has half the side
        if min(width, height) < smaller:
            raise UnsupportedCoding("the main header has unusual contents")
        level = coding.levels - resolution
        across, down = image.tile_width >> level, image.tile_height >> level
        packets += ((across >> width) + 2) * ((down >> height) + 2)
        block = min(width - smaller, coding.block_width), min(height - smaller, coding.block_height)
        blocks += across * down >> sum(block)
    if blocks * _SMALLEST_BLOCK > image.tile_width * image.tile_height:
        raise UnsupportedCoding(f"code-blocks have fewer than {_SMALLEST_BLOCK} samples on average")
    if packets > _MOST_PACKETS:
        raise UnsupportedCoding("their tiles have too many packets")


def read_bodies(path: Path, image: Codestream) -> dict[int, TilePart]:
    """The packets of each tile; raises :class:`UnsupportedCoding` for unusual headers of tiles."""
    if len(image.tile_parts) != image.tiles:
        raise UnsupportedCoding("their tiles are in several parts")
    try:
        with open_plain(path) as file:
            return {
                part.tile: part._replace(begin=_begin_of_packets(file.fileno(), part))
                for part in image.tile_parts
            }
    except OSError as error:
        raise UnsupportedCoding(f"it cannot be read ({error.strerror})") from error


def _begin_of_packets(descriptor: int, part: TilePart) -> int:
    position = part.begin + _SOT_BYTES
    for _ in range(_MOST_SEGMENTS):
        start = os.pread(descriptor, 4, position)
        if start[:2] == _SOD and position + 2 <= part.end:
            return position + 2
        marker, length = struct.unpack(">HH", start.ljust(4, b"\0"))
        if marker not in _TILE_MARKERS or length < 2 or position + 2 + length > part.end:
            break
        position += 2 + length
    raise UnsupportedCoding("their tiles have unusual markers")


def wrap_tile(image: Codestream, bounds: Bounds, levels: int, pieces: Sequence[bytes]) -> bytes:
    """A codestream of one tile, at its place on the reference grid (A.5), with these packets.

    ``levels`` are its decompositions; ``bounds`` and packets are those of that resolution.
    """
    segments = dict(_segments(image.main_header))
    size, style, quantisation = segments[_SIZ], segments[_COD], segments[_QCD]
    place = struct.pack(">4I", bounds.right, bounds.bottom, bounds.left, bounds.top)
    sides = bounds.right - bounds.left, bounds.bottom - bounds.top
    tile = struct.pack(">4I", *sides, bounds.left, bounds.top)
    contents = (
        (_SIZ, size[:2] + place + tile + size[34:]),
        (_COD, style[:5] + bytes([levels]) + style[6:10] + style[10 : 11 + levels]),
        (_QCD, quantisation[: 2 + 3 * levels]),
    )
    header = b"".join(
        struct.pack(">HH", marker, len(content) + 2) + content for marker, content in contents
    )
    length = _SOT_BYTES + len(_SOD) + sum(map(len, pieces))
    start = struct.pack(">HHHIBB", 0xFF90, 10, 0, length, 0, 1)
    return b"".join((b"\xff\x4f", header, start, _SOD, *pieces, b"\xff\xd9"))


def _segments(header: bytes) -> Iterator[tuple[int, bytes]]:
    """Markers and contents of a main header that was inspected."""
    position = 2
    while position < len(header):
        marker, length = struct.unpack_from(">HH", header, position)
        yield marker, header[position + 4 : position + 2 + length]
        position += 2 + length
