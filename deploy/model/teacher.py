"""Cloud and shadow probabilities of ``ukis-csmask``, the teacher (Apache-2.0)."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
import ukis_csmask
from numpy.typing import NDArray
from ukis_csmask.utils import tile_array, untile_array

from deploy.model.dataset import BANDS, TAUGHT_CLASSES, Level, Tile, coarser

_NAMES: Final = {
    "B02": "blue", "B03": "green", "B04": "red", "B08": "nir", "B11": "swir16", "B12": "swir22",
}  # fmt: skip
_WINDOW: Final = 256
_OVERLAP: Final = 0.2
_THREADS: Final = 2


class _Teacher:
    """One of the library's models; the library itself loads it again for each image."""

    def __init__(self, bands: int, level: Level) -> None:
        path = Path(ukis_csmask.__file__).with_name(f"model_{bands}b_{level}.onnx")
        statistics = json.loads(path.with_suffix(".json").read_text())["data"]["dataset_statistics"]
        self._names: list[str] = statistics["band_names"]
        self._mean, self._deviation = (np.float32(one) for one in statistics["img"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = _THREADS
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )

    def probabilities(
        self, image: NDArray[np.float32], names: tuple[str, ...]
    ) -> NDArray[np.float32]:
        """``(H, W, 3)`` of an image ``(H, W, C)`` with the bands ``names``, at least 256 a side."""
        ours = [_NAMES.get(name) for name in names]
        channels = [ours.index(name) for name in self._names]
        scaled = (image[..., channels] - self._mean) / self._deviation
        if scaled.shape[:2] == (_WINDOW, _WINDOW):
            return np.asarray(self._windows(scaled[None])[0])
        return np.asarray(
            untile_array(
                self._windows(tile_array(scaled, _WINDOW, _WINDOW, _OVERLAP)),
                (*image.shape[:2], len(TAUGHT_CLASSES)),
                overlap=_OVERLAP,
                smooth_blending=True,
            )
        )

    def _windows(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities ``(N, 256, 256, 3)`` of windows ``(N, 256, 256, C)``."""
        source = self._session.get_inputs()[0].name
        planes = np.moveaxis(windows, -1, 1)
        logits = np.concatenate([self._session.run(None, {source: one[None]})[0] for one in planes])
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(np.moveaxis(powers / powers.sum(axis=1, keepdims=True), 1, -1))


_teacher = functools.cache(_Teacher)


def teacher_probabilities(tile: Tile) -> NDArray[np.float32]:
    """Return ``(3, H, W)`` float32 probabilities in the order of ``dataset.TAUGHT_CLASSES``.

    Six bands are used if the tile has them, and no others.  Images smaller than the
    teacher's window of 256 are extended by mirroring.
    """
    height, width = tile.valid.shape
    padding = ((0, 0), (0, max(0, _WINDOW - height)), (0, max(0, _WINDOW - width)))
    # "symmetric" also extends a side by more than itself.
    image = np.pad(tile.bands, padding, mode="symmetric").transpose(1, 2, 0)
    teacher = _teacher(6 if set(_NAMES) <= set(tile.names) else 4, tile.level)
    probabilities = teacher.probabilities(image, tile.names)[:height, :width]
    return np.ascontiguousarray(probabilities.transpose(2, 0, 1), dtype=np.float32)


def four_band_probabilities(tile: Tile) -> NDArray[np.float32]:
    """The teacher's answer from the four bands that the card sees, whatever else the tile has."""
    return teacher_probabilities(replace(tile, names=BANDS, bands=tile.four_bands))


def two_scale_probabilities(tile: Tile) -> NDArray[np.float32]:
    """Mean of the teacher at the tile's own scale and at half of it.

    The teacher was trained near 30 m: on the two labelled 10 m chips the mean
    has a cloud IoU of .750 and .724, the single scale .746 and .720.
    """
    fine = teacher_probabilities(tile)
    if tile.ground_sample_distance > 10:
        return fine
    coarse = teacher_probabilities(coarser(tile, 2)).repeat(2, axis=1).repeat(2, axis=2)
    height, width = coarse.shape[1:]
    fine[:, :height, :width] += coarse
    fine[:, :height, :width] /= 2
    return fine
