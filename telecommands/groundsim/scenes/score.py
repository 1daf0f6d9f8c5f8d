"""How well a mask agrees with the truth, streamed from files of any size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Final

import cv2
import numpy as np
import rasterio
import rasterio.errors
from numpy.typing import NDArray

from telecommands.ground.errors import NotAMask, ShapeMismatch
from telecommands.groundsim.scenes.atmosphere import CLOUD_SHADOW, NO_DATA

EDGE: Final = 3
"""Pixels around a boundary of the truth in which people disagree too."""

_STRIP: Final = 1024
_GEOTIFF: Final = (".tif", ".tiff")
_DECIMATIONS: Final = (1, 2, 4)  # masks at 10, 20 and 40 m


@dataclass(frozen=True)
class Score:
    """Figures over the pixels that are valid in both; contaminated is the positive class.

    A figure whose denominator is 0 is ``None``.  ``agreement_off_edges`` leaves out
    pixels within :data:`EDGE` of a boundary between clear and contaminated truth.
    """

    pixels: int
    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int
    pixels_off_edges: int
    agreeing_off_edges: int
    decimation: int = 1

    @property
    def agreement(self) -> float | None:
        """Fraction of pixels on which mask and truth agree."""
        return _ratio(self.true_positive + self.true_negative, self.pixels)

    @property
    def precision(self) -> float | None:
        """Fraction of the mask's contaminated pixels that are contaminated in the truth."""
        return _ratio(self.true_positive, self.true_positive + self.false_positive)

    @property
    def recall(self) -> float | None:
        """Fraction of the truth's contaminated pixels that the mask found."""
        return _ratio(self.true_positive, self.true_positive + self.false_negative)

    @property
    def f2(self) -> float | None:
        """5PR / (4P + R), which is 5TP / (5TP + 4FN + FP)."""
        weighted = 5 * self.true_positive
        return _ratio(weighted, weighted + 4 * self.false_negative + self.false_positive)

    @property
    def intersection_over_union(self) -> float | None:
        """TP / (TP + FP + FN), of the contaminated pixels."""
        wrong = self.false_positive + self.false_negative
        return _ratio(self.true_positive, self.true_positive + wrong)

    @property
    def agreement_off_edges(self) -> float | None:
        """Agreement away from the boundaries of the truth."""
        return _ratio(self.agreeing_off_edges, self.pixels_off_edges)

    @property
    def mask_fraction(self) -> float | None:
        """Contaminated fraction of the mask."""
        return _ratio(self.true_positive + self.false_positive, self.pixels)

    @property
    def truth_fraction(self) -> float | None:
        """Contaminated fraction of the truth."""
        return _ratio(self.true_positive + self.false_negative, self.pixels)

    def as_record(self) -> dict[str, float | int | None]:
        """Every figure, JSON-able."""
        return {
            "agreement": self.agreement,
            "agreement_off_edges": self.agreement_off_edges,
            "precision": self.precision,
            "recall": self.recall,
            "f2": self.f2,
            "iou": self.intersection_over_union,
            "mask_fraction": self.mask_fraction,
            "truth_fraction": self.truth_fraction,
            "pixels": self.pixels,
            "true_positive": self.true_positive,
            "false_positive": self.false_positive,
            "false_negative": self.false_negative,
            "true_negative": self.true_negative,
            "decimation": self.decimation,
        }


def score_files(mask_path: Path, truth_path: Path) -> Score:
    """Compare a mask (``.npy`` or GeoTIFF) with a truth (``.npy``), strip by strip.

    A mask of half or a quarter of the truth's size (20 m, 40 m) is compared with
    every second or fourth truth pixel.  Raises :class:`NotAMask` and
    :class:`ShapeMismatch`.
    """
    geotiff = mask_path.suffix.lower() in _GEOTIFF
    mask = _geotiff(mask_path) if geotiff else _opened(mask_path)
    return score(mask, _opened(truth_path), str(mask_path))


def score(mask: NDArray[np.uint8], truth: NDArray[np.uint8], subject: str = "the mask") -> Score:
    """Compare a mask (0 clear, 1 contaminated, 255 no data) with a truth (1..3 contaminated)."""
    decimation = _decimation(mask, truth, subject)
    truth = truth[::decimation, ::decimation]
    totals = np.zeros(6, dtype=np.int64)
    for rows, near_edge in _edges(truth):
        found, true = mask[rows], truth[rows]
        if not np.isin(found, (0, 1, NO_DATA)).all():
            raise NotAMask(subject, "has values other than 0, 1 and 255", "Give a binary mask")
        if ((true > CLOUD_SHADOW) & (true != NO_DATA)).any():
            raise NotAMask(
                "the truth", "has values other than 0 to 3 and 255", "Give a scene's truth"
            )
        valid = (found != NO_DATA) & (true != NO_DATA)
        positive, contaminated = found == 1, true != 0
        off_edges = valid & ~near_edge
        totals += [
            np.count_nonzero(chosen)
            for chosen in (
                valid & positive & contaminated,
                valid & positive & ~contaminated,
                valid & ~positive & contaminated,
                valid & ~positive & ~contaminated,
                off_edges,
                off_edges & (positive == contaminated),
            )
        ]
    hits, false_alarms, misses, rejections, off_edges_total, agreeing = (int(n) for n in totals)
    return Score(
        pixels=hits + false_alarms + misses + rejections,
        true_positive=hits,
        false_positive=false_alarms,
        false_negative=misses,
        true_negative=rejections,
        pixels_off_edges=off_edges_total,
        agreeing_off_edges=agreeing,
        decimation=decimation,
    )


def _edges(truth: NDArray[np.uint8]) -> Iterator[tuple[slice, NDArray[np.bool_]]]:
    """Strips of rows, each with the pixels up to :data:`EDGE` from the other class."""
    reach = np.ones((2 * EDGE + 1, 2 * EDGE + 1), dtype=np.uint8)
    for top in range(0, len(truth), _STRIP):
        bottom = min(top + _STRIP, len(truth))
        first, last = max(0, top - EDGE), min(len(truth), bottom + EDGE)
        strip = np.ascontiguousarray(truth[first:last])
        contaminated = ((strip != 0) & (strip != NO_DATA)).astype(np.uint8)
        clear = (strip == 0).astype(np.uint8)
        near = np.logical_and(cv2.dilate(contaminated, reach), cv2.dilate(clear, reach))
        yield slice(top, bottom), near[top - first : bottom - first]


def _geotiff(path: Path) -> NDArray[np.uint8]:
    """The band, with 255 for no data by the file's mask; one byte per pixel in memory."""
    try:
        with rasterio.open(path) as file:
            if file.count != 1 or file.dtypes[0] != "uint8":
                cause = f"has {file.count} bands of {file.dtypes[0]}"
                raise NotAMask(path, cause, "Give one band of uint8")
            mask: NDArray[np.uint8] = file.read(1)
            mask[file.read_masks(1) == 0] = NO_DATA
    except rasterio.errors.RasterioError as error:
        raise NotAMask(path, f"cannot be read ({error})", "Give a GeoTIFF") from error
    return mask


def _opened(path: Path) -> NDArray[np.uint8]:
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        cause = error.strerror or "not a .npy file"
        raise NotAMask(path, f"cannot be read ({cause})", "Give a .npy file") from error
    except (ValueError, EOFError, TokenError) as error:
        raise NotAMask(path, "is not a .npy file", "Give a .npy file of uint8") from error
    if array.dtype != np.uint8 or array.ndim != 2 or array.size == 0:
        raise NotAMask(
            path,
            f"has {array.dtype} values of shape {array.shape}",
            "Give a uint8 array of rows and columns",
        )
    return array


def _decimation(mask: NDArray[np.uint8], truth: NDArray[np.uint8], subject: str) -> int:
    for decimation in _DECIMATIONS:
        if mask.shape == tuple(-(-side // decimation) for side in truth.shape):
            return decimation
    raise ShapeMismatch(
        subject,
        f"has the shape {mask.shape}, but the truth {truth.shape}",
        "Give a mask of the same scene, at the truth's size, half or a quarter of it",
        mask=list(mask.shape),
        truth=list(truth.shape),
    )


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
