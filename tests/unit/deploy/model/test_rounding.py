from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from deploy.model.calibrate import contamination_margin, sample_tensors
from deploy.model.networks import onnx_network
from deploy.model.quantise import quantise
from deploy.model.rounding import on_grid, rounded
from tests.unit.deploy.model.simulated_taught import simulated_reflectance


def nearest(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each weight by itself, with one step a filter."""
    step = np.abs(weights).max(axis=-1, keepdims=True) / 127
    return np.asarray(np.rint(weights / step) * step)


def error(
    found: NDArray[np.float64], weights: NDArray[np.float64], spread: NDArray[np.float64]
) -> float:
    """Mean square of what the filters answer wrongly."""
    off = found - weights
    return float(((off @ spread) * off).sum())


def correlated(random: np.random.Generator, inputs: int) -> NDArray[np.float64]:
    """Products of inputs that mostly rise and fall together."""
    values = random.normal(size=(500, 1)) + 0.1 * random.normal(size=(500, inputs))
    return np.asarray(values.T @ values / 500)


@pytest.mark.parametrize("inputs", [9, 36])
def test_weights_of_inputs_that_rise_together_lose_less_than_the_nearest_ones(inputs: int) -> None:
    random = np.random.default_rng(1)
    weights = random.normal(size=(2, 8, inputs))
    spread = np.stack([correlated(random, inputs) for _ in range(2)])
    found = on_grid(weights, spread)
    assert error(found, weights, spread) < 0.3 * error(nearest(weights), weights, spread)
    assert np.abs(found - weights).max() < 0.06 * np.abs(weights).max()


def test_rounding_again_leaves_the_weights_as_they_are() -> None:
    random = np.random.default_rng(2)
    spread = correlated(random, 20)[None]
    found = on_grid(random.normal(size=(1, 5, 20)), spread)
    np.testing.assert_allclose(nearest(found), found, rtol=1e-9)


def test_a_filter_of_zeros_stays_one() -> None:
    spread = correlated(np.random.default_rng(3), 9)[None]
    assert not on_grid(np.zeros((1, 2, 9)), spread).any()


def quantised_weights(model: onnx.ModelProto) -> dict[str, NDArray[np.float32]]:
    """What the INT8 graph multiplies by, by the name of the floating-point weights."""
    constants = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    found = {}
    for name, value in constants.items():
        if value.dtype == np.int8 and value.ndim == 4:
            weights = name.removesuffix("_quantized")
            scale = constants[f"{weights}_scale"].reshape(-1, 1, 1, 1)
            found[weights] = value.astype(np.float32) * scale
    return found


def test_the_int8_graph_has_the_weights_that_were_chosen(float_graph: Path) -> None:
    graph, tiles = onnx.load(str(float_graph)), simulated_reflectance(seed=5)
    chosen = rounded(graph, tiles)
    expected = {one.name: numpy_helper.to_array(one) for one in chosen.graph.initializer}
    found = quantised_weights(quantise(chosen, sample_tensors(chosen, tiles), "extremes"))
    assert found
    changed = [
        name
        for name, values in found.items()
        if np.allclose(values, expected[name], rtol=1e-4, atol=1e-6)
    ]
    assert len(changed) > len(found) / 2


def test_margins_in_doubt_are_nearer_than_with_the_nearest_weights(float_graph: Path) -> None:
    graph, tiles = onnx.load(str(float_graph)), simulated_reflectance(seed=5)
    plain = onnx.ModelProto()
    plain.CopyFrom(graph)
    for one in plain.graph.initializer:
        values = numpy_helper.to_array(one)
        if values.ndim == 4:
            filters = nearest(values.reshape(len(values), -1).astype(np.float64))
            one.CopyFrom(
                numpy_helper.from_array(filters.reshape(values.shape).astype(np.float32), one.name)
            )
    margins = [
        contamination_margin(onnx_network(one).logits(tiles))
        for one in (graph, plain, rounded(graph, tiles))
    ]
    doubtful = np.abs(margins[0]) < 1
    off = [np.abs(one - margins[0])[doubtful].mean() for one in margins[1:]]
    assert off[1] < 0.7 * off[0]
