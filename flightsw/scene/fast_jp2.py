"""Bands in JPEG 2000 decoded without the coding passes that the network does not see.

Each JPEG 2000 tile is rewritten with fewer coding passes (:mod:`flightsw.scene.passes`), wrapped as
a codestream and decoded.  The cells of a tile that may hold no data (DN 0) or saturated pixels, as
far as the largest error allows, keep all passes.  A tile that cannot be rewritten or decoded is
decoded exactly, which then says what is wrong with it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

import cv2
import numpy as np
from glymur.lib import openjp2
from numpy.typing import NDArray

from flightsw.host.disk import open_plain
from flightsw.scene.bit_planes import largest_error, passes_to_drop
from flightsw.scene.block_coding import UnsupportedCoding, read_bodies, read_coding, wrap_tile
from flightsw.scene.codestream import TilePart
from flightsw.scene.exact_cells import ExactCells
from flightsw.scene.jp2 import Area, Jp2Band, copy_rows, decoded, open_memory, stacked_shape
from flightsw.scene.passes import (
    BlockCoding,
    Bounds,
    Complete,
    DamagedPackets,
    all_truncated,
    packets_of,
    with_fewer_passes,
)
from flightsw.scene.reflectance import SATURATED
from flightsw.scene.scene import DECODED_EXACTLY
from flightsw.scene.strips import StripPart

_ATTEMPTS: Final = 3
_LARGEST_SHARE: Final = 0.5  # of a tile in exact cells; above it, the exact decode costs less
_AROUND_GUESS: Final = 17, 17
"""Pixels of the guess around a guessed one: a cell that is missed costs another decode."""
_LOOKS: Final = 4, 3
"""How many times half the resolution a tile is looked at before it is decoded: the first look says
whether there is anything to guess, which costs a fourth of guessing."""


@dataclass(frozen=True)
class ReducedBands:
    """What reads the strips, remarks on the bands that are read exactly, and the largest error.

    The error is in DN, 0 if all bands are read exactly.
    """

    parts: tuple[StripPart, ...]
    remarks: tuple[str, ...] = ()
    largest_error: int = 0


def reduce_bands(bands: Sequence[Jp2Band], step: float, *, checked: bool) -> ReducedBands:
    """Read the bands fast, for a network whose input has steps of ``step`` DN.

    Files are read exactly if they are coded in an unusual way, or not ``checked`` against checksums
    meanwhile, because OpenJPEG cannot check where a block ends that is not read to its end.
    """
    parts: list[StripPart] = []
    reasons: dict[str, list[str]] = {}
    errors = [0]
    for band in bands:
        try:
            if not checked:
                raise UnsupportedCoding("no checksum shows whether the files are intact")
            fast = FastBand.of(band, step)
            parts.append(fast)
            errors.append(fast.largest_error)
        except UnsupportedCoding as error:
            parts.append(band)
            reasons.setdefault(str(error), []).append(band.path.name)
    remarks = (_remark(reason, names, len(bands)) for reason, names in reasons.items())
    return ReducedBands(tuple(parts), tuple(remarks), max(errors))


def _remark(reason: str, names: Sequence[str], count: int) -> str:
    some = f" ({', '.join(names)})" if len(names) < count else ""
    return f"{DECODED_EXACTLY} {reason}{some}"


class _Tile(NamedTuple):
    """A tile, and its rows and columns in the scene at the resolution that is decoded."""

    number: int
    bounds: Bounds
    rows: range
    columns: range


@dataclass(frozen=True)
class FastBand:
    """A :class:`Jp2Band` read with fewer passes, a :class:`~flightsw.scene.strips.StripPart`.

    ``dropped`` are the passes by sub-band, see :func:`~flightsw.scene.passes.sub_band`; a sample
    differs by at most ``largest_error`` DN from the exact one.  ``bodies`` has the packets of each
    tile.  DN 0 and DN 65,535 are where the exact decode has them.
    """

    exact: Jp2Band
    coding: BlockCoding
    bodies: Mapping[int, TilePart]
    dropped: tuple[int, ...]
    largest_error: int

    @classmethod
    def of(cls, band: Jp2Band, step: float) -> FastBand:
        """Raises :class:`UnsupportedCoding` with the reason if the coding is unusual."""
        coding = read_coding(band.codestream)
        reduced = _halvings(band.step)
        dropped = passes_to_drop(step, coding.levels - reduced)
        if not any(dropped):
            raise UnsupportedCoding(f"the network sees steps of {step:.3g} DN")
        bodies = read_bodies(band.path, band.codestream)
        return cls(band, coding, bodies, dropped + (0, 0, 0) * reduced, largest_error(dropped))

    @property
    def bands(self) -> slice:
        """Which bands of the strip these are."""
        return self.exact.bands

    def read(self, top: int, left: int, targets: Sequence[NDArray[np.uint16]]) -> None:
        """Decode from row ``top`` and column ``left`` into ``targets``, each uint16 ``(1, H, W)``.

        Both count at the reduced resolution.  Raises :class:`~flightsw.errors.CorruptImage`.
        """
        planes = [target[0] for target in targets]
        height, width = stacked_shape(planes)
        for tile in self._tiles(top, left, (height, width)):
            rows = _shared(tile.rows, top, height)
            columns = _shared(tile.columns, left, width)
            views = _views(planes, rows, columns, top, left)
            if views and columns and not self._read_fast(tile, rows, columns, views):
                self.exact.read_area(rows.start, columns.start, views)

    def _tiles(self, top: int, left: int, shape: tuple[int, int]) -> Iterator[_Tile]:
        image, step = self.exact.codestream, self.exact.step
        height, width = image.tile_height, image.tile_width
        across = -(-image.width // width)
        area = self.exact.area(top, left, shape)
        for row in range(area.top // height, -(-area.bottom // height)):
            for column in range(area.left // width, -(-area.right // width)):
                bounds = Bounds(
                    column * width,
                    row * height,
                    min((column + 1) * width, image.width),
                    min((row + 1) * height, image.height),
                )
                yield _Tile(
                    row * across + column,
                    bounds,
                    _reduced(bounds.top, bounds.bottom, step),
                    _reduced(bounds.left, bounds.right, step),
                )

    def _read_fast(
        self,
        tile: _Tile,
        rows: range,
        columns: range,
        views: Sequence[NDArray[np.uint16]],
    ) -> bool:
        """Whether ``views`` have the rows and columns of the tile, with every exact cell it needs.

        The whole tile is decoded, so that a sample does not depend on what else is read.
        """
        reduced = _halvings(self.exact.step)
        try:
            data = self._packets(tile)
            cells = self._guess(tile, data)
            for _ in range(_ATTEMPTS):
                if cells.share > _LARGEST_SHARE:
                    return False
                with self._decoded(tile, data, reduced, self.dropped, cells.touched_by) as pixels:
                    needed = self._with_doubtful(cells, tile, pixels)
                    if needed is cells:
                        copy_rows(_cut(pixels, tile, rows, columns), views)
                        return True
                cells = needed
        except (openjp2.OpenJPEGLibraryError, OSError, DamagedPackets):
            pass
        return False

    def _packets(self, tile: _Tile) -> bytes:
        body = self.bodies[tile.number]
        with open_plain(self.exact.path) as file:
            return os.pread(file.fileno(), body.end - body.begin, body.begin)

    def _guess(self, tile: _Tile, data: bytes) -> ExactCells:
        """Cells whose mean is so close to DN 0 or DN 65,535 that they will probably be needed."""
        reduced = _halvings(self.exact.step)
        cells = ExactCells.none_of(tile.rows, tile.columns, reduced)
        most = self.coding.levels - reduced
        doubtful, further = np.zeros((0, 0), np.uint8), 0
        for further in dict.fromkeys(min(look, most) for look in _LOOKS):
            doubtful = self._doubtful_areas(tile, data, further)
            if not doubtful.any():
                return cells
        near = cv2.dilate(doubtful, np.ones(_AROUND_GUESS, np.uint8))
        wide = near.repeat(1 << further, axis=0).repeat(1 << further, axis=1)
        return cells.marking(wide.view(np.bool_), tile.rows.start, tile.columns.start)

    def _doubtful_areas(self, tile: _Tile, data: bytes, further: int) -> NDArray[np.uint8]:
        """Means close to an end, at ``further`` times half the resolution that is decoded."""
        if not all(_reduced(each.start, each.stop, 1 << further) for each in tile[2:]):
            return np.zeros((0, 0), np.uint8)  # a tile with a few rows or columns
        nothing = (0,) * len(self.dropped)
        with self._decoded(tile, data, _halvings(self.exact.step) + further, nothing) as means:
            doubtful = self._near_the_ends(means, self.largest_error)
            return np.zeros((0, 0), np.uint8) if doubtful is None else _areas(doubtful)

    def _with_doubtful(
        self, cells: ExactCells, tile: _Tile, pixels: NDArray[np.int32]
    ) -> ExactCells:
        """The cells and those of pixels that may exactly be DN 0 or 65,535; the same if none."""
        doubtful = self._near_the_ends(pixels, self.largest_error)
        if doubtful is None:
            return cells
        needed = cells.marking(doubtful, tile.rows.start, tile.columns.start)
        return cells if np.array_equal(needed.marked, cells.marked) else needed

    def _near_the_ends(self, pixels: NDArray[np.int32], error: int) -> NDArray[np.bool_] | None:
        if pixels.min() > error and pixels.max() < SATURATED - error:
            return None
        return np.asarray((pixels <= error) | (pixels >= SATURATED - error))

    @contextmanager
    def _decoded(
        self,
        tile: _Tile,
        data: bytes,
        reduced: int,
        dropped: Sequence[int],
        complete: Complete = all_truncated,
    ) -> Iterator[NDArray[np.int32]]:
        """Decode a tile, ``reduced`` times half the full resolution, without passes.

        Raises :class:`DamagedPackets` for messages of the library, too.
        """
        levels = self.coding.levels - reduced
        packets = packets_of(tile.bounds, self.coding, levels + 1)
        pieces = with_fewer_passes(data, packets, self.coding, dropped, complete)
        left, top, right, bottom = (-(-edge >> reduced) for edge in tile.bounds)
        content = wrap_tile(self.exact.codestream, Bounds(left, top, right, bottom), levels, pieces)
        area = Area(top, left, bottom, right)
        messages: list[str] = []
        with (
            open_memory(content) as stream,
            decoded(stream, area, messages, boxed=False, step=1) as pixels,
        ):
            if messages or not pixels.size or pixels.shape != (bottom - top, right - left):
                raise DamagedPackets("; ".join(messages))
            yield pixels


def _areas(pixels: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Those that belong to an area which holds 3 x 3 of them.

    Single ones do not count: the wavelet's means are too low beside a bright cloud.
    """
    marked = pixels.view(np.uint8)
    _, areas = cv2.connectedComponents(marked)
    large = areas[cv2.erode(marked, np.ones((3, 3), np.uint8)) > 0]
    return np.isin(areas, large).view(np.uint8)


def _halvings(step: int) -> int:
    return step.bit_length() - 1


def _reduced(begin: int, end: int, step: int) -> range:
    """Rows or columns at every ``step``-th pixel (B-15)."""
    return range(-(-begin // step), -(-end // step))


def _shared(one: range, start: int, length: int) -> range:
    return range(max(one.start, start), min(one.stop, start + length))


def _cut(pixels: NDArray[np.int32], tile: _Tile, rows: range, columns: range) -> NDArray[np.int32]:
    first, begin = rows.start - tile.rows.start, columns.start - tile.columns.start
    return pixels[first : first + len(rows), begin : begin + len(columns)]


def _views(
    planes: Sequence[NDArray[np.uint16]], rows: range, columns: range, top: int, left: int
) -> list[NDArray[np.uint16]]:
    """Rows and columns of planes that lie one below the other from ``top`` and ``left`` on."""
    views = []
    for plane in planes:
        first, end = max(rows.start - top, 0), min(rows.stop - top, len(plane))
        if first < end:
            views.append(plane[first:end, columns.start - left : columns.stop - left])
        top += len(plane)
    return views
