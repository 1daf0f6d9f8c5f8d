"""What a JPEG 2000 file holds, read from its structure; no pixel is decoded.

Boxes, markers and fields: ISO/IEC 15444-1, annex A (codestream) and annex I
(JP2 file format).
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

from flightsw.errors import CorruptImage
from flightsw.host.disk import open_plain

_SIGNATURE_BOX: Final = bytes.fromhex("0000000c 6a502020 0d0a870a")  # I.5.1
_SOC, _SIZ, _COD, _COC = 0xFF4F, 0xFF51, 0xFF52, 0xFF53  # table A.2
_SOT, _EOC = 0xFF90, 0xFFD9
_SOT_BYTES: Final = 12
_STYLE: Final = 8  # of COD's content: code-block style (table A.15)
_HIGH_THROUGHPUT: Final = 0x40  # in it (part 15, table A.6)
_VARIES: Final = 0xFF  # in the image header: the components differ (I.5.3.1)
_LONGEST_HEADER: Final = 1 << 20  # of boxes and of markers; real ones have a few kilobytes
_LARGEST_SIDE: Final = 32_768  # pixels; a whole Sentinel-2 tile has 10,980 at 10 m
_MOST_TILES: Final = 65_535  # table A.9
_MOST_PACKETS: Final = 1 << 22  # in a tile; a larger number means a damaged header
_CURE: Final = "Fetch the file again"


class TilePart(NamedTuple):
    """Number of the tile, the first byte of the tile-part in the file, and the first after it."""

    tile: int
    begin: int
    end: int


@dataclass(frozen=True)
class Codestream:
    """Size, tiling and sample format of one JPEG 2000 image.

    Lengths in pixels; ``precision`` in bits; ``levels`` counts the wavelet
    decompositions, so that steps up to ``2 ** levels`` can be decoded;
    ``reversible`` is the 5/3 integer wavelet, which all decoders compute identically;
    ``boxed`` is False for a bare codestream (.j2k).  ``begin`` and
    ``end`` are its first byte in the file and the first after it.  ``style_at`` is the byte with
    the code-block style, None if that is not the default for all blocks; ``high_throughput`` is
    that of part 15 (HTJ2K).  ``main_header`` is its bytes from SOC up to the first of the
    ``tile_parts``, which are in the order of the file.
    """

    width: int
    height: int
    tile_width: int
    tile_height: int
    precision: int
    signed: bool
    levels: int
    reversible: bool
    boxed: bool
    begin: int
    end: int
    style_at: int | None = None
    high_throughput: bool = False
    main_header: bytes = b""
    tile_parts: tuple[TilePart, ...] = ()

    @property
    def tiles(self) -> int:
        """Number of tiles of the whole image."""
        return -(-self.width // self.tile_width) * -(-self.height // self.tile_height)


def inspect(path: Path) -> Codestream:
    """Read the header and follow the chain of tile-parts to the end of the codestream.

    Raises :class:`CorruptImage` with byte numbers if the file is not a JPEG
    2000 image, is cut off, lacks a tile, or has an impossible header.
    """
    try:
        with open_plain(path) as file:
            return _Inspection(path, file.fileno()).run()
    except OSError as error:
        raise CorruptImage(path, f"cannot be read ({error.strerror})", _CURE) from error


class _Inspection:
    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def run(self) -> Codestream:
        start = self._read(0, 12)
        if start == _SIGNATURE_BOX:
            header, begin, end = self._find_codestream()
        elif start[:4] == struct.pack(">HH", _SOC, _SIZ):
            header, begin, end = None, 0, self.size
        else:
            beginning = start[:8].hex(" ") or "nothing"
            raise self._corrupt(f"is not a JPEG 2000 file: it begins with {beginning}")
        codestream, first_part = self._main_header(begin, end, header)
        parts = self._tile_parts(first_part, end, codestream.tiles)
        main_header = self._exactly(begin, first_part - begin)
        return replace(codestream, main_header=main_header, tile_parts=parts)

    def _find_codestream(self) -> tuple[bytes | None, int, int]:
        """The content of the image header box, and the bounds of the codestream."""
        image_header = None
        position = len(_SIGNATURE_BOX)
        while position < min(self.size, _LONGEST_HEADER):
            kind, begin, end = self._box(position, self.size)
            if kind == b"jp2h":
                image_header = self._image_header(begin, end)
            if kind == b"jp2c":
                if not image_header:
                    raise self._corrupt("has no image header box before its codestream")
                return image_header, begin, end
            position = end
        raise self._corrupt(f"has no codestream in its {self.size} bytes")

    def _image_header(self, begin: int, end: int) -> bytes:
        kind, first, last = self._box(begin, end)
        if kind != b"ihdr" or last - first != 14:  # I.5.3.1
            raise self._corrupt(f"has no image header box at byte {begin}")
        return self._read(first, 14)

    def _box(self, position: int, limit: int) -> tuple[bytes, int, int]:
        """Type, first and last byte of the content of the box at ``position`` (I.4)."""
        length, kind = struct.unpack(">I4s", self._exactly(position, 8))
        begin = position + 8
        if length == 1:
            (length,) = struct.unpack(">Q", self._exactly(begin, 8))
            begin += 8
        end = limit if length == 0 else position + length
        if not begin <= end:
            raise self._corrupt(f"has a box of impossible length {length} at byte {position}")
        if end > limit:
            raise self._truncated(end, f"the box at byte {position}")
        return kind, begin, end

    def _main_header(
        self, begin: int, end: int, image_header: bytes | None
    ) -> tuple[Codestream, int]:
        """What the main header says, and the position of the first tile-part."""
        if self._exactly(begin, 4) != struct.pack(">HH", _SOC, _SIZ):
            raise self._corrupt(f"has no codestream at byte {begin}")
        segments: dict[int, bytes] = {}
        style_at = None
        position = begin + 2
        while (marker := self._number(position)) != _SOT:
            length = self._number(position + 2)
            if marker < 0xFF00 or length < 2 or position > begin + _LONGEST_HEADER:
                raise self._corrupt(f"has a damaged main header at byte {position}")
            if marker == _COD and _COD not in segments:
                style_at = position + 4 + _STYLE
            segments.setdefault(marker, self._exactly(position + 4, length - 2))
            position += 2 + length
        if position >= end:
            raise self._corrupt(f"has its first tile outside its codestream, at byte {position}")
        codestream = self._describe(segments, begin, end, boxed=image_header is not None)
        if image_header is not None:
            self._compare(image_header, codestream, segments[_SIZ])
        if segments[_COD][_STYLE] == 0 and _COC not in segments:
            codestream = replace(codestream, style_at=style_at)
        return codestream, position

    def _describe(
        self, segments: dict[int, bytes], begin: int, end: int, *, boxed: bool
    ) -> Codestream:
        size, style = segments.get(_SIZ, b""), segments.get(_COD, b"")
        if len(size) < 39 or len(style) < 10:
            raise self._corrupt("has a main header without image size or coding style")
        (right, bottom, left, top, tile_width, tile_height, tile_left, tile_top, components) = (
            struct.unpack(">8IH", size[2:36])
        )
        if left or top or tile_left or tile_top:
            raise self._corrupt(
                f"has its image or its tiles offset on the reference grid "
                f"({left}, {top}; {tile_left}, {tile_top}), which is not supported",
                "Write the file without an image offset",
            )
        if not (0 < right <= _LARGEST_SIDE and 0 < bottom <= _LARGEST_SIDE):
            raise self._corrupt(f"claims to be {right} x {bottom} pixels")
        if not (tile_width and tile_height):
            raise self._corrupt(f"claims tiles of {tile_width} x {tile_height} pixels")
        if components != 1 or size[37:39] != b"\x01\x01":
            raise self._corrupt(f"has {components} components or subsampling, not one band")
        codestream = Codestream(
            width=right,
            height=bottom,
            tile_width=min(tile_width, right),
            tile_height=min(tile_height, bottom),
            precision=(size[36] & 0x7F) + 1,
            signed=bool(size[36] & 0x80),
            levels=style[5],
            reversible=style[9] == 1 and _COC not in segments,  # table A.20
            boxed=boxed,
            begin=begin,
            end=end,
            high_throughput=bool(style[_STYLE] & _HIGH_THROUGHPUT),
        )
        if codestream.tiles > _MOST_TILES:
            raise self._corrupt(f"claims {codestream.tiles} tiles, more than a file can number")
        packets = _packets(codestream, style)
        if not 0 < packets <= _MOST_PACKETS:
            raise self._corrupt(f"claims {packets} packets in a tile")
        return codestream

    def _compare(self, image_header: bytes, codestream: Codestream, size: bytes) -> None:
        height, width, components = struct.unpack(">IIH", image_header[:10])
        if (height, width, components) != (codestream.height, codestream.width, 1):
            raise self._corrupt(
                f"is {width} x {height} with {components} components in its image header, but "
                f"{codestream.width} x {codestream.height} with one in its codestream"
            )
        if image_header[10] not in (size[36], _VARIES):
            raise self._corrupt(
                f"has samples of type {image_header[10]} in its image header, but of type "
                f"{size[36]} in its codestream"
            )

    def _tile_parts(self, position: int, end: int, tiles: int) -> tuple[TilePart, ...]:
        """Follow the tile-parts (A.4.2): all must be present and in order, then EOC."""
        parts, found = [0] * tiles, []
        while (marker := self._number(position)) == _SOT:
            fields = struct.unpack(">HHIBB", self._exactly(position + 2, _SOT_BYTES - 2))
            length, tile, part_length, part, _ = fields
            if length != 10 or tile >= tiles or part != parts[tile]:
                raise self._corrupt(f"has a damaged tile-part header at byte {position}")
            if part_length == 0:  # the last one, up to the end of the codestream
                part_length = end - 2 - position
            if part_length < _SOT_BYTES + 2:
                raise self._corrupt(f"has a tile-part of {part_length} bytes at byte {position}")
            if position + part_length + 2 > end:
                raise self._truncated(position + part_length + 2, f"tile {tile}")
            parts[tile] += 1
            found.append(TilePart(tile, position, position + part_length))
            position += part_length
        if marker != _EOC:
            raise self._corrupt(f"has neither a tile nor its end at byte {position}")
        if missing := parts.count(0):
            raise self._corrupt(
                f"lacks {missing} of its {tiles} tiles; the first one missing is {parts.index(0)}"
            )
        return tuple(found)

    def _number(self, position: int) -> int:
        return int.from_bytes(self._exactly(position, 2), "big")

    def _exactly(self, position: int, count: int) -> bytes:
        content = self._read(position, count)
        if len(content) < count:
            raise self._truncated(position + count, f"what begins at byte {position}")
        return content

    def _read(self, position: int, count: int) -> bytes:
        return os.pread(self.descriptor, count, position)

    def _truncated(self, needed: int, what: str) -> CorruptImage:
        return CorruptImage(
            self.path,
            f"is cut off: it has {self.size} bytes, but {what} needs {needed}",
            _CURE,
            found_bytes=self.size,
            needed_bytes=needed,
        )

    def _corrupt(self, cause: str, cure: str = _CURE) -> CorruptImage:
        return CorruptImage(self.path, cause, cure)


def _packets(codestream: Codestream, style: bytes) -> int:
    """Packets in one whole tile: layers times precincts of all resolutions (B.6, B.9)."""
    levels = codestream.levels
    sizes = style[10 : 11 + levels] if style[0] & 1 else b"\xff" * (levels + 1)  # 2 ** 15
    if levels > 32 or len(sizes) != levels + 1:
        return 0
    precincts = 0
    for level, exponents in zip(range(levels, -1, -1), sizes, strict=True):
        width = (codestream.tile_width >> level) >> (exponents & 15)
        height = (codestream.tile_height >> level) >> (exponents >> 4)
        precincts += (width + 1) * (height + 1)
    return precincts * int.from_bytes(style[2:4], "big")
