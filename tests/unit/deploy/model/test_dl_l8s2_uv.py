"""The peer's network, from weights of its shapes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.model.dataset import BANDS, Tile
from deploy.model.dl_l8s2_uv import read_cloud_network
from flightsw.errors import UsageError

h5py = pytest.importorskip("h5py")

Weights = dict[str, dict[str, NDArray[np.float32]]]
_BLOCKS = {
    "input": (4, 32),
    "pool1": (32, 64),
    "pool2": (64, 128),
    "up1": (128, 64),
    "up2": (64, 32),
}


def _weights(bias: float = 0.0) -> Weights:
    """Every kernel is zero, so that the last bias is the logit of each pixel."""
    found: Weights = {
        "normalization": {"kernel": np.zeros((1, 1, 4, 4)), "bias": np.zeros(4)},
        "linear_model": {"kernel": np.zeros((1, 1, 32, 1)), "bias": np.full(1, bias)},
        "upconv1": {"kernel": np.zeros((2, 2, 64, 128)), "bias": np.zeros(64)},
        "upconv2": {"kernel": np.zeros((2, 2, 32, 64)), "bias": np.zeros(32)},
    }
    for name, (taken, given) in _BLOCKS.items():
        for number, inputs in ((1, taken), (2, given)):
            found[f"{name}_conv_{number}"] = {
                "depthwise_kernel": np.zeros((3, 3, inputs, 1)),
                "pointwise_kernel": np.zeros((1, 1, inputs, given)),
                "bias": np.zeros(given),
            }
            found[f"{name}_bn_{number}"] = {
                "moving_mean": np.zeros(given),
                "moving_variance": np.ones(given),
                "gamma": np.ones(given),
                "beta": np.zeros(given),
            }
    return found


def _brightness() -> Weights:
    """The logit is 10 times the blue reflectance less 3, carried through the finest level."""
    found = _weights(-3.0)
    found["normalization"]["kernel"][0, 0, 0, 0] = 1
    for number in (1, 2):
        for layer in (f"input_conv_{number}", f"up2_conv_{number}"):
            place = 32 if layer == "up2_conv_1" else 0  # behind what was enlarged
            found[layer]["depthwise_kernel"][1, 1, place, 0] = 1
            found[layer]["pointwise_kernel"][0, 0, place, 0] = 1
    found["linear_model"]["kernel"][0, 0, 0, 0] = 10
    return found


def _write(path: Path, weights: Mapping[str, Mapping[str, NDArray[np.float32]]]) -> Path:
    with h5py.File(path, "w") as file:
        for layer, variables in weights.items():
            for name, values in variables.items():
                file[f"model_weights/{layer}/{layer}_2/{name}:0"] = values.astype(np.float32)
    return path


def _tile(blue: NDArray[np.float32], metres: int) -> Tile:
    bands = np.stack([blue] * 4).astype(np.float32)
    return Tile("one", "one", "l1c", metres, BANDS, bands, np.ones(blue.shape, np.bool_))


def test_each_pixel_gets_the_probability_of_the_finest_level(tmp_path: Path) -> None:
    network = read_cloud_network(_write(tmp_path / "weights.hdf5", _brightness()))
    blue = np.full((37, 50), 0.1, np.float32)
    blue[:, 20:] = 0.6
    probability = network.probability(_tile(blue, 30))
    assert probability.shape == blue.shape
    logits = 10 * blue / (1 + 1e-3) ** 2 - 3  # four normalisations by a variance of one
    np.testing.assert_allclose(probability, 1 / (1 + np.exp(-logits)), atol=1e-4)


def test_a_finer_image_is_averaged_to_thirty_metres(tmp_path: Path) -> None:
    network = read_cloud_network(_write(tmp_path / "weights.hdf5", _brightness()))
    blue = np.zeros((61, 61), np.float32)
    blue[::3, ::3] = 0.9  # one pixel of nine
    probability = network.probability(_tile(blue, 10))
    expected = 1 / (1 + np.exp(-(10 * 0.1 / (1 + 1e-3) ** 2 - 3)))
    np.testing.assert_allclose(probability, expected, atol=1e-4)


def test_a_file_with_other_weights_is_refused_by_name(tmp_path: Path) -> None:
    weights = _weights()
    del weights["up1_conv_2"]
    path = _write(tmp_path / "other.hdf5", weights)
    with pytest.raises(UsageError, match=r"other\.hdf5 does not hold the weights of DL-L8S2-UV"):
        read_cloud_network(path)


def test_a_file_that_is_not_hdf5_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.hdf5"
    path.write_text("not HDF5")
    with pytest.raises(UsageError, match="does not hold the weights"):
        read_cloud_network(path)
