"""Packet headers of one JPEG 2000 tile, rewritten so that code-blocks announce fewer passes.

A code-block of P bit-planes is coded in 3P - 2 passes, the most significant plane first.  If its
packet header announces fewer passes, a decoder stops there and reconstructs the mid-point: the
cost falls with the passes that are not decoded.  The bytes of the blocks stay as they are.  Packet
headers: ISO/IEC 15444-1, B.10; bands and precincts: B.5 to B.7.

One component, one layer, one segment a block, packets in the order of resolutions.  The headers
come from outside: whatever they hold, the result is packets or :class:`DamagedPackets`, after a
time in proportion to their length.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from typing import Final, NamedTuple

_UNKNOWN: Final = -1
_HEADER_BYTES: Final = (12, 64)  # a block's share of a packet header: usual, and most
_LONGEST_LENGTH: Final = 32  # bits
_WINDOW: Final = 2048  # bits that are packed at a time


class DamagedPackets(Exception):  # noqa: N818 - named after what was found
    """Why the packets of a tile are not sound, as a clause; caught in this room."""


@dataclass(frozen=True)
class BlockCoding:
    """How the code-blocks of every tile of an image are laid out.

    ``block_width`` and ``block_height`` are exponents of 2; ``precincts`` has one byte for each
    resolution, coarsest first (table A.21); ``bit_planes`` are those of a block in each sub-band,
    numbered as in :func:`sub_band`.
    """

    levels: int
    block_width: int
    block_height: int
    precincts: bytes
    bit_planes: tuple[int, ...]


class Bounds(NamedTuple):
    """A tile on the reference grid; ``right`` and ``bottom`` are outside."""

    left: int
    top: int
    right: int
    bottom: int


class Blocks(NamedTuple):
    """Code-blocks of one sub-band in a packet: ``rows`` x ``columns``.

    The coefficients, of ``level`` decompositions, lie in a grid of blocks whose sides are the
    exponents ``width`` and ``height``; the first block is the one at ``left`` and ``top`` of that
    grid.  ``leaves`` has a block's nodes in the tag tree, from the root on, in raster order.
    """

    sub_band: int
    level: int
    left: int
    top: int
    columns: int
    rows: int
    width: int
    height: int
    leaves: tuple[tuple[int, ...], ...]
    nodes: int


Packet = tuple[Blocks, ...]

Complete = Callable[[Blocks], Iterable[bool]]
"""Which of the blocks keep all their passes, in raster order."""


def all_truncated(_blocks: Blocks) -> Iterable[bool]:
    """No block keeps all its passes."""
    return repeat(False)


def sub_band(resolution: int, kind: int) -> int:
    """Number of a sub-band; ``kind`` 0 HL, 1 LH, 2 HH; resolution 0 has only LL, number 0."""
    return 3 * resolution + kind if resolution else 0


@lru_cache(32)  # the bands of a scene are cut alike
def packets_of(bounds: Bounds, coding: BlockCoding, resolutions: int) -> tuple[Packet, ...]:
    """The packets of a tile's first ``resolutions``, in the order of the codestream."""
    return tuple(
        packet
        for resolution in range(resolutions)
        for packet in _packets_of_resolution(bounds, coding, resolution)
    )


def _packets_of_resolution(bounds: Bounds, coding: BlockCoding, resolution: int) -> list[Packet]:
    left, top, right, bottom = (_halved(edge, coding.levels - resolution) for edge in bounds)
    if left >= right or top >= bottom:
        return []
    width, height = coding.precincts[resolution] & 15, coding.precincts[resolution] >> 4
    return [
        _packet_of_precinct(bounds, coding, resolution, column, row)
        for row in range(top >> height, _halved(bottom, height))
        for column in range(left >> width, _halved(right, width))
    ]


def _packet_of_precinct(
    bounds: Bounds, coding: BlockCoding, resolution: int, column: int, row: int
) -> Packet:
    smaller = 1 if resolution else 0  # a precinct of a high band has half the side
    width = (coding.precincts[resolution] & 15) - smaller
    height = (coding.precincts[resolution] >> 4) - smaller
    block_width, block_height = min(coding.block_width, width), min(coding.block_height, height)
    depth = coding.levels - resolution + smaller
    found = []
    for kind in range(3 if resolution else 1):
        high_x = (1 << depth - 1) if resolution and kind != 1 else 0
        high_y = (1 << depth - 1) if resolution and kind != 0 else 0
        left = max(column << width, _halved(bounds.left - high_x, depth))
        right = min((column + 1) << width, _halved(bounds.right - high_x, depth))
        top = max(row << height, _halved(bounds.top - high_y, depth))
        bottom = min((row + 1) << height, _halved(bounds.bottom - high_y, depth))
        if left < right and top < bottom:
            column_of, row_of = left >> block_width, top >> block_height
            columns = _halved(right, block_width) - column_of
            rows = _halved(bottom, block_height) - row_of
            found.append(
                Blocks(
                    sub_band(resolution, kind),
                    depth,
                    column_of,
                    row_of,
                    columns,
                    rows,
                    block_width,
                    block_height,
                    *_tag_tree(columns, rows),
                )
            )
    return tuple(found)


@lru_cache(32)
def _tag_tree(columns: int, rows: int) -> tuple[tuple[tuple[int, ...], ...], int]:
    """For each leaf in raster order its nodes from the root on; the number of nodes (B.10.2)."""
    layers = [(0, columns)]  # first node and width
    nodes, width, height = columns * rows, columns, rows
    while width * height > 1:
        width, height = (width + 1) // 2, (height + 1) // 2
        layers.append((nodes, width))
        nodes += width * height
    leaves = tuple(
        tuple(
            layers[depth][0] + (row >> depth) * layers[depth][1] + (column >> depth)
            for depth in range(len(layers) - 1, -1, -1)
        )
        for row in range(rows)
        for column in range(columns)
    )
    return leaves, nodes


def _halved(edge: int, times: int) -> int:
    return -(-edge >> times)


def with_fewer_passes(
    data: bytes,
    packets: Sequence[Packet],
    coding: BlockCoding,
    dropped: Sequence[int],
    complete: Complete = all_truncated,
) -> list[bytes]:
    """The first ``packets`` of a tile in pieces, ``dropped`` passes fewer in each sub-band.

    Each block keeps at least one pass, and a ``complete`` one all of them.  Raises
    :class:`DamagedPackets`.
    """
    pieces = []
    new = _NewPasses(coding.bit_planes, dropped, complete)
    position = 0
    for packet in packets:
        header, begin, end = _rewrite(data, position, packet, new)
        if end > len(data):
            raise DamagedPackets(f"the packet at byte {position} of the tile is cut off")
        pieces += [header, data[begin:end]]
        position = end
    return pieces


class _NewPasses(NamedTuple):
    """By sub-band: bit-planes that are coded, and passes to drop unless the block is complete."""

    planes: Sequence[int]
    dropped: Sequence[int]
    complete: Complete


def _rewrite(data: bytes, position: int, packet: Packet, new: _NewPasses) -> tuple[bytes, int, int]:
    """The new header, and the first and last byte of the blocks that follow the old one."""
    blocks = sum(len(band.leaves) for band in packet)
    usual, most = (each * blocks + 64 for each in _HEADER_BYTES)
    count = usual
    while True:
        chunk = data[position : position + count]
        bits, stuffed = _unstuffed(chunk)
        try:
            header, used, body = _Header(bits, new).read(packet)
        except (IndexError, KeyError, ValueError):  # the header is longer than the chunk
            if len(chunk) < count or count >= most:
                found = f"the packet header at byte {position} of the tile has no end"
                raise DamagedPackets(found) from None
            count = min(4 * count, most)
            continue
        begin = position + _bytes_used(used, stuffed)
        return header or data[position:begin], begin, begin + body


def _pass_codes() -> tuple[list[str], dict[str, tuple[int, int]]]:
    """Code words of 1 to 164 passes (table B.4), and passes and length by a word's first 9 bits.

    0 passes mark the words of 16 bits.
    """
    codes = ["", "0", "10", *(f"11{n:02b}" for n in range(3)), *(f"1111{n:05b}" for n in range(31))]
    by_bits = {
        code + f"{rest:b}".zfill(9 - len(code)) if len(code) < 9 else code: (passes, len(code))
        for passes, code in enumerate(codes)
        if passes
        for rest in range(1 << 9 - len(code))
    }
    by_bits["1" * 9] = (0, 9)
    codes += ["1" * 9 + f"{n:07b}" for n in range(128)]
    return codes, by_bits


_CODES, _PASSES = _pass_codes()
_LOGARITHM: Final = [0, *(passes.bit_length() - 1 for passes in range(1, len(_CODES)))]


class _Header:
    """The bits of a packet header, and the bits of the new one as far as it differs."""

    def __init__(self, bits: str, passes: _NewPasses) -> None:
        self._bits = bits
        self._passes = passes
        self._new: list[str] = []
        self._copied = 0  # bits up to here are in the new header
        self._body = 0

    def read(self, packet: Packet) -> tuple[bytes, int, int]:
        """The new header (empty if it is the old one), bits of the old one, bytes of the blocks.

        Raises :class:`IndexError`, :class:`KeyError` or :class:`ValueError` if the bits end before
        the header, and :class:`DamagedPackets`.
        """
        if self._bits[0] == "0":
            return b"", 1, 0
        position = 1
        for band in packet:
            position = self._read_band(band, position)
        if not self._new:
            return b"", position, self._body
        self._new.append(self._bits[self._copied : position])
        return _stuffed("".join(self._new)), position, self._body

    def _read_band(self, band: Blocks, position: int) -> int:
        """Read from ``position`` to the end of the band; the loop over all blocks of a scene."""
        bits, find = self._bits, self._bits.index
        planes, dropped = self._passes.planes[band.sub_band], self._passes.dropped[band.sub_band]
        absent, empty_planes = [_UNKNOWN] * band.nodes, [_UNKNOWN] * band.nodes
        for leaf, complete in zip(band.leaves, self._passes.complete(band), strict=False):
            out = 0
            for node in leaf:  # B.10.4: one layer, so a node has one bit
                out = absent[node]
                if out == _UNKNOWN:
                    out = absent[node] = 1 if bits[position] == "0" else 0
                    position += 1
                if out:
                    break
            if out:
                continue
            empty = 0
            for node in leaf:  # B.10.5
                if empty_planes[node] == _UNKNOWN:
                    one = find("1", position)
                    empty_planes[node] = empty + one - position
                    position = one + 1
                empty = empty_planes[node]
            passes, width = _PASSES[bits[position : position + 9]]
            end = position + width
            if not passes:
                passes = 37 + int(bits[end : end + 7], 2)
                end += 7
            most = 3 * (planes - empty) - 2
            if passes > most:
                raise DamagedPackets(f"a block of {planes - empty} bit-planes has {passes} passes")
            zero = find("0", end)  # B.10.7.1: Lblock is 3 and as many more as there are ones
            width = 3 + zero - end + _LOGARITHM[passes]
            end = zero + 1 + width
            if width > _LONGEST_LENGTH:
                raise DamagedPackets(f"the length of a block has {width} bits")
            if end > len(bits):
                raise IndexError
            length = int(bits[zero + 1 : end], 2)
            self._body += length
            fewer = max(1, most - dropped)
            if fewer < passes and not complete:
                self._new += [bits[self._copied : position], _block_header(fewer, length)]
                self._copied = end
            position = end
        return position


def _block_header(passes: int, length: int) -> str:
    """Number of passes, Lblock and length of a block's only segment."""
    block = max(3, length.bit_length() - _LOGARITHM[passes])
    return f"{_CODES[passes]}{'1' * (block - 3)}0{length:0{block + _LOGARITHM[passes]}b}"


def _unstuffed(chunk: bytes) -> tuple[str, list[int]]:
    """Bits without the one that follows each byte 0xFF (B.10.1), and the places of these bytes."""
    pieces, places, start = [], [], 0
    while (place := chunk.find(b"\xff", start)) >= 0:
        pieces.append(chunk[start : place + 1])
        places.append(place)
        start = place + 1
    pieces.append(chunk[start:])
    texts = [
        f"{int.from_bytes(piece, 'big'):0{8 * len(piece)}b}" if piece else "" for piece in pieces
    ]
    return texts[0] + "".join(text[1:] for text in texts[1:]), places


def _bytes_used(bits: int, stuffed: Sequence[int]) -> int:
    """Bytes of a header of so many bits; a byte after 0xFF has seven, and a header ends in none."""
    count = -(-bits // 8)
    while 8 * count - bisect_left(stuffed, count - 1) < bits:
        count += 1
    last = bisect_left(stuffed, count - 1)
    return count + 1 if last < len(stuffed) and stuffed[last] == count - 1 else count


def _stuffed(bits: str) -> bytes:
    """Bytes of a header, with a zero bit after each byte 0xFF, also after the last one."""
    packed = bytearray()
    position, stuffing = 0, ""
    while position < len(bits) or stuffing:
        piece = stuffing + bits[position : position + _WINDOW - len(stuffing)]
        count = -(-len(piece) // 8)
        content = int(piece.ljust(8 * count, "0"), 2).to_bytes(count, "big")
        end = content.find(b"\xff") + 1 or count
        packed += content[:end]
        position += min(8 * end, len(piece)) - len(stuffing)
        stuffing = "0" if content[end - 1] == 0xFF else ""
    return bytes(packed)
