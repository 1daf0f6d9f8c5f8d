"""A scene whose pixels are in memory: an array of the caller's, or decoded beforehand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flightsw import sentinel_2
from flightsw.errors import MissingBand, UsageError
from flightsw.scene.metadata import LOWEST_OFFSET, USUAL_QUANTIFICATION
from flightsw.scene.reflectance import DIGITAL_NUMBERS, NO_DATA
from flightsw.scene.scene import Georeference, SceneMetadata, Strip
from flightsw.scene.strips import ROWS_WANTED, STRIPS_AT_ONCE, aligned

_STRIP_ROWS: Final = ROWS_WANTED // STRIPS_AT_ONCE
_HIGHEST: Final = DIGITAL_NUMBERS - 1
_LOWEST_REFLECTANCE: Final = -1.0  # below: a fill value such as -9999, not a dark pixel
USUAL_OFFSET: Final = -1000
"""Of baseline 04.00 and later."""


@dataclass(frozen=True, eq=False)
class ArrayScene:
    """A :class:`~flightsw.scene.scene.Scene` of digital numbers that are in memory.

    ``digital_numbers`` uint16 ``(bands, rows, width)`` are repeated downwards until
    ``metadata.height``; they must not change while the scene is processed.  They come in panels
    of ``columns`` columns (None: one panel), in strips as high as those of a decode.  Make one
    with :meth:`from_digital_numbers` or :meth:`from_reflectance`, which check their input.
    """

    metadata: SceneMetadata
    digital_numbers: NDArray[np.uint16]
    columns: int | None = None

    @classmethod
    def from_digital_numbers(
        cls,
        block: Any,
        bands: Sequence[str] | None = None,
        *,
        offset: int,
        name: str = "array",
        ground_sample_distance: int = 10,
        georeference: Georeference | None = None,
    ) -> ArrayScene:
        """A scene of integers ``(bands, rows, columns)`` from 0 (no data) to 65,535 (saturated).

        With ``offset`` 0 a dark pixel can be 0 in one band: only a pixel with all bands 0 has no
        data.  With another offset, a pixel with any band 0 has none.

        Reflectance is (DN + ``offset``) / 10,000: ``offset`` is -1000 in products of baseline
        04.00 and later, 0 in older and in harmonised ones.  ``block`` is a NumPy array, of which
        uint16 is not copied, a masked array (masked is no data), or an xarray-like object with
        ``values``, ``dims`` and ``coords``: its dimension ``band`` may come first or last and
        names the bands.  Otherwise ``bands`` names them, in the block's order.  Further bands are
        allowed.  Raises :class:`~flightsw.errors.UsageError`.
        """
        values, names = _unwrapped(block, bands)
        if values.dtype.kind not in "ui":
            raise UsageError(
                "the block of digital numbers",
                f"must hold integers, got {values.dtype}",
                "Give reflectance to ArrayScene.from_reflectance",
            )
        missing = np.ma.getmaskarray(values).any(axis=0) if np.ma.is_masked(values) else None
        values = np.ma.filled(values, NO_DATA)
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > _HIGHEST:
            raise UsageError(
                "the block of digital numbers",
                f"must hold 0 to {_HIGHEST}, got {low if low < 0 else high}",
                "Mark no data by 0",
            )
        numbers = np.ascontiguousarray(values, np.uint16)
        if missing is not None and offset == 0:
            numbers[:, missing] = NO_DATA  # np.ma.filled made a copy
        metadata = _metadata(names, offset, numbers, name, ground_sample_distance, georeference)
        return cls(metadata, numbers)

    @classmethod
    def from_reflectance(
        cls,
        block: Any,
        bands: Sequence[str] | None = None,
        *,
        offset: int = USUAL_OFFSET,
        name: str = "array",
        ground_sample_distance: int = 10,
        georeference: Georeference | None = None,
    ) -> ArrayScene:
        """A scene of floating-point reflectance ``(bands, rows, columns)``, NaN for no data.

        It is rounded to the digital numbers of a product with this ``offset``: DN =
        round(reflectance * 10,000 - ``offset``), halves to even, at least 1, since 0 is no data.
        With -1000 that holds reflectance from -0.0999 to 6.4535; float32 restores the digital
        numbers that it was computed from.  ``block`` and ``bands`` are as in
        :meth:`from_digital_numbers`.  Raises :class:`~flightsw.errors.UsageError` for other types
        and for values below -1 or above what the digital numbers can hold.
        """
        values, names = _unwrapped(block, bands)
        if values.dtype.kind != "f":
            raise UsageError(
                "the block of reflectance",
                f"must hold floating-point numbers, got {values.dtype}",
                "Give integers to ArrayScene.from_digital_numbers",
            )
        numbers: NDArray[np.uint16] = np.empty(values.shape, np.uint16)
        metadata = _metadata(names, offset, numbers, name, ground_sample_distance, georeference)
        for top in range(0, numbers.shape[1], _STRIP_ROWS):  # float64 of a whole scene is 4 GB
            rows = slice(top, top + _STRIP_ROWS)
            numbers[:, rows] = _digital_numbers(values[:, rows], offset)
        if offset == 0:
            numbers[:, (numbers == NO_DATA).any(axis=0)] = NO_DATA
        return cls(metadata, numbers)

    def __str__(self) -> str:
        return self.metadata.name

    @contextmanager
    def strips(self, workers: int) -> Iterator[Iterator[Strip]]:
        """Give strips out, contiguous as a decode's; there is nothing for ``workers`` to decode."""
        del workers
        _, shown = self.metadata.shown
        panels = aligned(shown, self.columns or shown.stop)
        yield self._strips(
            {
                panel.start - shown.start: np.ascontiguousarray(
                    self.digital_numbers[:, :, panel.start : panel.stop]
                )
                for panel in panels
            }
        )

    def in_bands(self, bands: tuple[str, ...]) -> ArrayScene:
        """The same scene with these of its bands, in this order.

        Raises :class:`~flightsw.errors.MissingBand`.
        """
        known = self.metadata.bands
        if bands == known:
            return self
        if missing := [band for band in bands if band not in known]:
            cause = f"has the bands {' '.join(known)}, but not {' '.join(missing)}"
            raise MissingBand(self.metadata.name, cause, f"Give {', '.join(bands)}", bands=missing)
        order = [known.index(band) for band in bands]
        metadata = replace(self.metadata, bands=bands)
        return replace(self, metadata=metadata, digital_numbers=self.digital_numbers[order])

    def _strips(self, panels: Mapping[int, NDArray[np.uint16]]) -> Iterator[Strip]:
        held = self.digital_numbers.shape[1]
        shown, _ = self.metadata.shown
        for block in aligned(shown, ROWS_WANTED):
            for left, panel in panels.items():
                for rows in _strip_rows(block.start, block.stop, held):
                    start, top = rows.start % held, rows.start - shown.start
                    yield Strip(top, panel[:, start : start + len(rows)], left=left)


def _strip_rows(top: int, bottom: int, held: int) -> Iterator[range]:
    """The strips of a decode; none goes beyond the last of the rows that are ``held``."""
    while top < bottom:
        end = min(top + _STRIP_ROWS, bottom, (top // held + 1) * held)
        yield range(top, end)
        top = end


def _unwrapped(block: Any, bands: Sequence[str] | None) -> tuple[NDArray[Any], tuple[str, ...]]:
    """The array ``(bands, rows, columns)``, masked if it was, and its bands' names, checked."""
    values, dimensions = block, getattr(block, "dims", None)
    if dimensions is not None:
        values, names = _labelled(block, [str(one) for one in dimensions])
        bands = names if bands is None else bands
    values = np.asanyarray(values)
    if values.ndim != 3 or not values.size:
        cause = f"has the shape {values.shape}, not (bands, rows, columns)"
        raise UsageError("the block", cause, "Give one plane for each band")
    if bands is None:
        raise UsageError("the block", "does not name its bands", "Give bands, such as B02, B03")
    if isinstance(bands, str):
        bands = (bands,)
    names = tuple(map(str, bands))
    if len(set(names)) < len(names) or not set(names) <= set(sentinel_2.BANDS):
        cause = f"({', '.join(names)}) are not different bands of Sentinel-2"
        raise UsageError("bands", cause, "Give names such as B02")
    if len(names) != len(values):
        cause = f"has {len(values)} planes, but {len(names)} bands are named"
        raise UsageError("the block", cause, "Name every plane, in the block's order")
    return values, names


def _labelled(block: Any, dimensions: list[str]) -> tuple[Any, Sequence[str] | None]:
    """Values and band names of an xarray-like block, its dimension ``band`` moved to the front."""
    if "band" not in dimensions or len(dimensions) != 3:
        cause = f"has the dimensions ({', '.join(dimensions)}), not band and two more"
        raise UsageError("the block", cause, "Rename or drop dimensions")
    values = np.moveaxis(block.values, dimensions.index("band"), 0)
    if [one for one in dimensions if one != "band"] == ["x", "y"]:
        values = values.swapaxes(1, 2)
    if "band" not in block.coords:
        return values, None
    labels = block.coords["band"]
    return values, [str(label) for label in getattr(labels, "values", labels)]


def _digital_numbers(reflectance: NDArray[Any], offset: int) -> NDArray[np.uint16]:
    values = np.ma.filled(reflectance.astype(np.float64), np.nan)
    numbers = np.rint(values * USUAL_QUANTIFICATION - offset)
    wrong = (values < _LOWEST_REFLECTANCE) | (numbers > _HIGHEST)
    if wrong.any():
        highest = (_HIGHEST + offset) / USUAL_QUANTIFICATION
        raise UsageError(
            "the block of reflectance",
            f"must hold {_LOWEST_REFLECTANCE:g} to {highest:g}, got {values[wrong][0]:g}",
            "Mark no data by NaN, and give digital numbers to ArrayScene.from_digital_numbers",
        )
    numbers = numbers.clip(NO_DATA + 1, _HIGHEST)
    return np.where(np.isnan(values), NO_DATA, numbers).astype(np.uint16)


def _metadata(
    bands: tuple[str, ...],
    offset: int,
    numbers: NDArray[np.uint16],
    name: str,
    ground_sample_distance: int,
    georeference: Georeference | None,
) -> SceneMetadata:
    if not LOWEST_OFFSET <= offset <= 0:
        raise UsageError(
            "offset", f"must be between {LOWEST_OFFSET} and 0, got {offset}", "Give -1000 or 0"
        )
    return SceneMetadata(
        name=name,
        tile_id=name,
        level="",
        baseline="",
        bands=bands,
        offsets=dict.fromkeys(bands, offset),
        quantification=USUAL_QUANTIFICATION,
        height=numbers.shape[1],
        width=numbers.shape[2],
        ground_sample_distance=ground_sample_distance,
        georeference=georeference,
    )
