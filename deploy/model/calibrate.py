"""The value range of each tensor of the network, sampled on representative tiles."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from deploy.model.crops import augment, cut
from deploy.model.dataset import BANDS
from deploy.model.label import TaughtTile
from deploy.model.networks import Network

_SAMPLES: Final = 8192  # values of each tensor kept from each tile
_CANDIDATES: Final = np.linspace(0.35, 1.0, 27)
_STEPS: Final = 255
_DOUBTFUL: Final = 1.0  # a margin: probabilities from .27 to .73


@dataclass(frozen=True)
class TensorSample:
    """What calibration saw of one tensor: its extremes, and a random sample of its values."""

    low: float
    high: float
    values: NDArray[np.float32]


def calibration_windows(
    tiles: Sequence[TaughtTile], count: int, seed: int, bands: tuple[str, ...] = BANDS
) -> NDArray[np.float32]:
    """Draw ``(count, bands, 224, 224)`` reflectance windows as training sees them.

    Regions take turns, so that snow, sea and towns have the same weight, whatever their
    number of tiles; scale and gain vary as in training.
    """
    random = np.random.default_rng(seed)
    regions: dict[str, list[TaughtTile]] = {}
    for tile in tiles:
        regions.setdefault(tile.region, []).append(tile)
    order = random.permutation(sorted(regions))
    windows = []
    for turn in range(count):
        choices = regions[order[turn % len(order)]]
        tile = choices[random.integers(len(choices))]
        windows.append(augment(cut(tile, random, bands), random, bands).reflectance)
    return np.stack(windows)


def sample_tensors(
    float_graph: onnx.ModelProto, windows: NDArray[np.float32]
) -> dict[str, TensorSample]:
    """Run the float network and sample the value of every tensor in it."""
    model = copy.deepcopy(float_graph)
    names = [
        name for node in model.graph.node if node.op_type != "Constant" for name in node.output
    ]
    known = {output.name for output in model.graph.output}
    model.graph.output.extend(
        onnx.helper.make_empty_tensor_value_info(name) for name in names if name not in known
    )
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    random = np.random.default_rng(0)
    source = session.get_inputs()[0].name
    lows, highs = np.full(len(names), np.inf), np.full(len(names), -np.inf)
    values: list[list[NDArray[np.float32]]] = [[] for _ in names]
    for window in windows:
        for index, value in enumerate(session.run(names, {source: window[None]})):
            flat = value.reshape(-1)
            lows[index] = min(lows[index], flat.min())
            highs[index] = max(highs[index], flat.max())
            values[index].append(flat[random.integers(0, flat.size, _SAMPLES)])
    return {
        name: TensorSample(float(low), float(high), np.concatenate(kept))
        for name, low, high, kept in zip(names, lows, highs, values, strict=True)
    }


def margin_shortfall(original: Network, deployed: Network, windows: NDArray[np.float32]) -> float:
    """By how much ``deployed`` underrates contamination in the pixels that ``original`` doubts.

    The median, over the pixels of ``windows`` with a margin of less than 1 either way, of what the
    largest contaminated logit lost against the clear one; 0 if there are none.  Rounding all
    through a network moves its mean as well (Nagel et al. 2019, "Data-free quantization through
    weight equalization and bias correction", section 4.2).
    """
    short = [np.zeros(0, np.float32)]
    for window in windows:
        expected, found = (
            contamination_margin(network.logits(window[None])) for network in (original, deployed)
        )
        short.append((expected - found)[np.abs(expected) < _DOUBTFUL])
    lost = np.concatenate(short)
    return float(np.median(lost)) if lost.size else 0.0


def percentile_range(sample: TensorSample, percentile: float) -> tuple[float, float]:
    """Range that leaves out ``100 - percentile`` % of the values, half at each end."""
    outside = (100 - percentile) / 2
    low, high = np.percentile(sample.values, (outside, 100 - outside))
    return min(float(low), 0.0), max(float(high), 0.0)


def contamination_margin(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """The largest contaminated logit less the clear one: ``(n, classes, …)`` to ``(n, …)``."""
    return np.asarray(logits[:, 1:].max(axis=1) - logits[:, 0])


def least_error_range(sample: TensorSample) -> tuple[float, float]:
    """Range that loses least by rounding and clipping together, in the mean square."""
    values = sample.values.astype(np.float64)
    best, best_error = (min(sample.low, 0.0), max(sample.high, 0.0)), np.inf
    lows = _CANDIDATES * sample.low if sample.low < 0 else np.zeros(1)
    highs = _CANDIDATES * max(sample.high, 1e-6)
    pairs = zip(lows, highs, strict=True) if lows.size == highs.size else ((0.0, h) for h in highs)
    for low, high in pairs:
        step = (high - low) / _STEPS
        rounded = np.clip(np.rint((values - low) / step), 0, _STEPS) * step + low
        error = float(np.square(rounded - values).mean())
        if error < best_error:
            best, best_error = (float(low), float(high)), error
    return best
