"""A mask judged by what people say of an image."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from deploy.model.dataset import TAUGHT_CLASSES, Tile
from deploy.model.scores import confusion

_CLEAR, _CLOUD, _SHADOW = range(len(TAUGHT_CLASSES))
_LENIENCE: Final = 2
"""Pixels on both sides of an edge of the labels that a lenient figure leaves out."""


@dataclass(frozen=True)
class Verdict:
    """A network on one image: shares of pixels, NaN if the image has none of them.

    ``f2`` and ``iou`` are of contaminated pixels; ``balanced_accuracy`` is (TPR + TNR) / 2.
    What people leave open between clear and
    shadow counts as clear there, so that a shadow that is found is a false alarm;
    ``clear_kept`` has the same rule.  ``shadow_found`` is the share of the shadow that is
    contaminated in the mask.  ``lenient_f2`` leaves out two pixels along the edges of the labels,
    which people draw too wide or too narrow.
    """

    f2: float
    balanced_accuracy: float
    lenient_f2: float
    iou: float
    clear_kept: float
    shadow_found: float


def judge(found: NDArray[np.bool_], tile: Tile) -> Verdict:
    """Judge a mask ``(H, W)`` by the labels of its image (:attr:`Tile.allowed` is not None)."""
    assert tile.allowed is not None
    allowed = tile.allowed > 0
    shadow = allowed[_SHADOW] & ~allowed[_CLEAR] & tile.valid
    clear = allowed[_CLEAR] & ~allowed[_CLOUD] & tile.valid
    contaminated = (allowed[_CLOUD] | allowed[_SHADOW]) & ~allowed[_CLEAR] & tile.valid
    counted = confusion(found, contaminated, clear | contaminated)
    inner = confusion(found, contaminated, (clear | contaminated) & ~_edges(contaminated))
    # If clear and cloud are left open, only the shadow is known.
    whole = bool(clear.any() and contaminated.any())
    return Verdict(
        f2=_known(counted.f2, whole),
        balanced_accuracy=_known(counted.balanced_accuracy, whole),
        lenient_f2=_known(inner.f2, whole),
        iou=_known(counted.intersection_over_union, whole),
        clear_kept=_share(~found, clear),
        shadow_found=_share(found, shadow),
    )


def _edges(contaminated: NDArray[np.bool_]) -> NDArray[np.bool_]:
    plane, disc = contaminated.view(np.uint8), np.ones((2 * _LENIENCE + 1,) * 2, np.uint8)
    return np.asarray(cv2.dilate(plane, disc) != cv2.erode(plane, disc))


def _known(figure: float | None, whole: bool) -> float:
    return figure if whole and figure is not None else nan


def _share(found: NDArray[np.bool_], of: NDArray[np.bool_]) -> float:
    return float(found[of].mean()) if of.any() else nan
