"""Cloud and shadow probabilities of ``ukis-csmask``, the teacher (Apache-2.0)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from ukis_csmask.mask import CSmask
from ukis_csmask.utils import tile_array, untile_array

from deploy.model.dataset import BANDS, Tile

CLASSES: Final = ("clear", "cloud", "cloud shadow")

_NAMES: Final = {
    "B02": "blue", "B03": "green", "B04": "red", "B08": "nir", "B11": "swir16", "B12": "swir22",
}  # fmt: skip
_WINDOW: Final = 256
_OVERLAP: Final = 0.2
_THREADS: Final = 2


class _ProbabilityMask(CSmask):  # type: ignore[misc]  # the library is untyped
    """The library's mask, keeping the probabilities that the library discards."""

    def _csm(self) -> NDArray[np.uint8]:
        windows = np.moveaxis(tile_array(self.img, _WINDOW, _WINDOW, _OVERLAP), -1, 1)
        logits = [
            self.session.run(None, {self.input_names: batch})[0]
            for batch in self.batch(windows, self.batch_size)
        ]
        self.probabilities = untile_array(
            np.moveaxis(self.softmax(np.concatenate(logits)), 1, -1),
            (*self.img.shape[:2], len(CLASSES)),
            overlap=_OVERLAP,
            smooth_blending=True,
        )
        classes: NDArray[np.uint8] = self.probabilities.argmax(axis=2).astype(np.uint8)[..., None]
        return classes

    def _valid(self, invalid_buffer: int) -> None:
        """The buffered mask is not needed."""


def teacher_probabilities(tile: Tile) -> NDArray[np.float32]:
    """Return ``(3, H, W)`` float32 probabilities in the order of :data:`CLASSES`.

    Six bands are used if the tile has them.  Images smaller than the
    teacher's window of 256 are extended by mirroring.
    """
    height, width = tile.valid.shape
    padding = ((0, 0), (0, max(0, _WINDOW - height)), (0, max(0, _WINDOW - width)))
    image = np.ascontiguousarray(np.pad(tile.bands, padding, mode="reflect").transpose(1, 2, 0))
    mask = _ProbabilityMask(
        image,
        [_NAMES[band] for band in tile.names],
        product_level=tile.level,
        providers=["CPUExecutionProvider"],
        intra_op_num_threads=_THREADS,
        batch_size=4,
    )
    probabilities: NDArray[np.float32] = mask.probabilities[:height, :width]
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
    height, width = (side // 2 * 2 for side in tile.valid.shape)
    coarse_tile = Tile(
        tile.name,
        tile.region,
        tile.level,
        tile.ground_sample_distance * 2,
        tile.names,
        halve(tile.bands[:, :height, :width]),
        tile.valid[:height:2, :width:2],
    )
    coarse = teacher_probabilities(coarse_tile).repeat(2, axis=1).repeat(2, axis=2)
    fine[:, :height, :width] += coarse
    fine[:, :height, :width] /= 2
    return fine


def halve(bands: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of each 2 x 2 block; ``(C, H, W)`` with even sides."""
    channels, height, width = bands.shape
    blocks = bands.reshape(channels, height // 2, 2, width // 2, 2)
    return np.asarray(blocks.mean(axis=(2, 4)), dtype=np.float32)
