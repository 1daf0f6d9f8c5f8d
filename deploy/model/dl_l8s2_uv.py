"""The peer DL-L8S2-UV: cloud probability of its four-band U-Net, from the authors' weights.

Software and weights are MIT (Image Processing Laboratory, University of Valencia); the method:
López-Puigdollers, Mateo-García, Gómez-Chova, Remote Sensing 13(5), 992, 2021.  The weights are
``dl_l8s2_uv/weights/landsatbiomeRGBI6.hdf5`` of the repository IPL-UV/DL-L8S2-UV, taught on
Landsat 8 Biome; they are not part of this project.  The network knows cloud, not its shadow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from deploy.model.dataset import Tile, coarser
from flightsw.errors import UsageError

DISTANCE: Final = 30
"""Metres a pixel that the network was taught at; finer images are averaged to it."""

_GROUP: Final = "model_weights"
_EPSILON: Final = 1e-3  # of Keras' batch normalisation
_MULTIPLE: Final = 8  # the authors extend images to a multiple of it

Weights = Mapping[str, Mapping[str, torch.Tensor]]
"""By layer and variable, in Keras' shapes."""


@dataclass(frozen=True)
class CloudNetwork:
    """Run the network; :meth:`probability` is that of cloud."""

    weights: Weights

    def probability(self, tile: Tile) -> NDArray[np.float32]:
        """float32 ``(H, W)`` at the pixels of ``tile``."""
        factor = max(1, DISTANCE // tile.ground_sample_distance)
        coarse = coarser(tile, factor) if factor > 1 else tile
        found = self._run(coarse.four_bands)
        fine = found.repeat(factor, axis=0).repeat(factor, axis=1)
        height, width = tile.valid.shape
        rest = ((0, height - fine.shape[0]), (0, width - fine.shape[1]))
        return np.pad(fine, rest, mode="edge")

    def _run(self, bands: NDArray[np.float32]) -> NDArray[np.float32]:
        _, height, width = bands.shape
        rest = ((0, 0), (0, -height % _MULTIPLE), (0, -width % _MULTIPLE))
        image = torch.from_numpy(np.pad(bands, rest, mode="symmetric")[None])
        with torch.no_grad():
            answer = torch.sigmoid(self._logits(image))[0, 0]
        return np.asarray(answer.numpy()[:height, :width])

    def _logits(self, image: torch.Tensor) -> torch.Tensor:
        fine = self._block(self._convolution(image, "normalization"), "input")
        middle = self._block(functional.max_pool2d(fine, 2), "pool1")
        coarse = self._block(functional.max_pool2d(middle, 2), "pool2")
        middle = self._block(torch.cat([self._enlarged(coarse, "upconv1"), middle], 1), "up1")
        fine = self._block(torch.cat([self._enlarged(middle, "upconv2"), fine], 1), "up2")
        return self._convolution(fine, "linear_model")

    def _block(self, image: torch.Tensor, name: str) -> torch.Tensor:
        for number in (1, 2):
            image = self._separable(image, f"{name}_conv_{number}")
            image = functional.relu(self._normalised(image, f"{name}_bn_{number}"))
        return image

    def _separable(self, image: torch.Tensor, layer: str) -> torch.Tensor:
        weights = self.weights[layer]
        each = weights["depthwise_kernel"].permute(2, 3, 0, 1)
        image = functional.conv2d(image, each, padding=1, groups=len(each))
        across = weights["pointwise_kernel"].permute(3, 2, 0, 1)
        return functional.conv2d(image, across, weights["bias"])

    def _normalised(self, image: torch.Tensor, layer: str) -> torch.Tensor:
        mean, variance, gamma, beta = (
            self.weights[layer][name]
            for name in ("moving_mean", "moving_variance", "gamma", "beta")
        )
        return functional.batch_norm(image, mean, variance, gamma, beta, eps=_EPSILON)

    def _enlarged(self, image: torch.Tensor, layer: str) -> torch.Tensor:
        weights = self.weights[layer]
        kernel = weights["kernel"].permute(3, 2, 0, 1)
        return functional.conv_transpose2d(image, kernel, weights["bias"], stride=2)

    def _convolution(self, image: torch.Tensor, layer: str) -> torch.Tensor:
        weights = self.weights[layer]
        return functional.conv2d(image, weights["kernel"].permute(3, 2, 0, 1), weights["bias"])


def read_cloud_network(path: Path) -> CloudNetwork:
    """Read the authors' weights; raises :class:`UsageError` if the file is not theirs."""
    import h5py  # noqa: PLC0415 - only who names the peer needs it

    cure = "Give landsatbiomeRGBI6.hdf5 of github.com/IPL-UV/DL-L8S2-UV"
    weights: dict[str, dict[str, torch.Tensor]] = {}

    def keep(name: str, found: object) -> None:
        if isinstance(found, h5py.Dataset):
            layer, *_, variable = name.split("/")
            values = torch.from_numpy(found[()])
            weights.setdefault(layer, {})[variable.removesuffix(":0")] = values

    try:
        with h5py.File(path) as file:
            file[_GROUP].visititems(keep)
        network = CloudNetwork(weights)
        with torch.no_grad():
            network._logits(torch.zeros(1, 4, _MULTIPLE, _MULTIPLE))
    except (OSError, KeyError, RuntimeError) as error:
        raise UsageError(
            path, f"does not hold the weights of DL-L8S2-UV ({error})", cure
        ) from error
    return network
