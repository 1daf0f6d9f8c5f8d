"""The INT8 graph of a network: how its ranges are chosen, and what it agrees on with FP32."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, get_args

import numpy as np
import onnx
from numpy.typing import NDArray

from deploy.model.calibrate import TensorSample, margin_shortfall, sample_tensors
from deploy.model.card_input import INPUT_SCALE
from deploy.model.dataset import in_order
from deploy.model.equalise import equalised
from deploy.model.evaluate import score, summary
from deploy.model.judged import JudgedTile
from deploy.model.networks import Network, int8_network
from deploy.model.quantise import (
    INPUT_ZERO_POINT,
    OUTPUT_ZERO_POINT,
    CardGraph,
    Ranges,
    output_limit,
    quantise,
    with_card_interface,
)
from deploy.model.rounding import rounded
from flightsw.model.description import Quantisation

_TWO_CLASSES: Final = 2

INPUT: Final = Quantisation(INPUT_SCALE, INPUT_ZERO_POINT)
"""The card's input; networks are trained with its steps, so it is not calibrated."""


def choose(
    float_graph: onnx.ModelProto,
    original: Network,
    windows: NDArray[np.float32],
    judged: Callable[[], list[JudgedTile]],
    bands: tuple[str, ...],
    ranges: Ranges | None = None,
) -> CardGraph:
    """Quantise with ``ranges``, or with those whose worst and mean tile agree best with FP32.

    ``windows`` ``(N, bands, S, S)`` calibrate, in the order of ``dataset.in_order``; ``judged``
    gives the tiles that the kinds are compared on.
    """
    ordered = in_order(bands)
    channels = [ordered.index(band) for band in bands]
    side = original.tile_size
    windows = np.ascontiguousarray(windows[:, :, :side, :side])
    float_graph = rounded(equalised(float_graph, windows[:, channels]), windows[:, channels])
    samples = sample_tensors(float_graph, windows[:, channels])
    kinds = (ranges,) if ranges else get_args(Ranges)

    def shortfall(card: CardGraph) -> float:
        return margin_shortfall(original, deployed(card, bands), windows)

    cards = {kind: card_graph(float_graph, samples, kind, shortfall) for kind in kinds}
    if len(cards) == 1:
        return cards[kinds[0]]
    tiles = judged()
    found = {kind: measure(card, original, tiles, bands) for kind, card in cards.items()}
    for kind, figures in found.items():
        print(
            f"{kind:12} validation agreement: mean {figures['mean_agreement']:.4%}, "
            f"worst tile {figures['worst_agreement']:.4%}"
        )
    return cards[max(found, key=lambda kind: merit(found[kind]))]


def merit(figures: dict[str, float]) -> float:
    """By which kinds of range are compared: the worst tile and the mean both count."""
    return figures["worst_agreement"] + figures["mean_agreement"]


def card_graph(
    float_graph: onnx.ModelProto,
    samples: dict[str, TensorSample],
    ranges: Ranges,
    shortfall: Callable[[CardGraph], float],
) -> CardGraph:
    """The graph with one kind of range; ``shortfall`` says what rounding costs the margin."""
    limit = output_limit(float_graph, samples)
    card = with_card_interface(quantise(float_graph, samples, ranges), limit)
    tie = _lost_in_ties(card)
    lowered = with_card_interface(
        quantise(float_graph, samples, ranges, shortfall(card) + tie), limit
    )
    # Behind the last convolution of an unknown network the clear class may be another one.
    return min(lowered, card, key=lambda one: abs(shortfall(one) + tie))


def _lost_in_ties(card: CardGraph) -> float:
    """From which margin on a pixel is contaminated, because equal steps count as clear.

    Two centred logits are rounded to opposite steps, and differ from a margin of one step on;
    those of more classes are rounded one by one, and differ from half a step on, on average.
    """
    classes = card.model.graph.output[0].type.tensor_type.shape.dim[-1].dim_value
    return card.output_scale * (1.0 if classes == _TWO_CLASSES else 0.5)


def measure(
    card: CardGraph, original: Network, tiles: list[JudgedTile], bands: tuple[str, ...]
) -> dict[str, float]:
    """INT8 against the reference and against FP32; FP32 sees reflectance as it is, unrounded."""
    if not tiles:
        return {}
    figures = summary(score(deployed(card, bands), tiles, original))
    figures["fp32_f2"] = summary(score(original, tiles))["f2"]
    figures["tiles"] = float(len(tiles))
    # NaN: no pixels to count.
    return {key: figure for key, figure in figures.items() if math.isfinite(figure)}


def deployed(card: CardGraph, bands: tuple[str, ...]) -> Network:
    """The graph as the card runs it."""
    return int8_network(card.model, bands, INPUT, output(card))


def floating_answers(
    original: Network,
    tiles: dict[str, NDArray[np.int8]],
    bands: tuple[str, ...],
    given: Quantisation,
) -> NDArray[np.int8]:
    """Answers of the floating-point network to the golden tiles, in INT8 steps."""
    order = [bands.index(band) for band in in_order(bands)]
    steps = np.stack(list(tiles.values())).astype(np.float32) - INPUT_ZERO_POINT
    windows = (steps * np.float32(INPUT_SCALE)).transpose(0, 3, 1, 2)[:, order]
    logits = np.concatenate([original.logits(window[None]) for window in windows])
    found = np.rint(logits.transpose(0, 2, 3, 1) / given.scale) + given.zero_point
    return np.asarray(found.clip(-128, 127), dtype=np.int8)


def output(card: CardGraph) -> Quantisation:
    """Scale and zero point of the graph's logits."""
    return Quantisation(card.output_scale, OUTPUT_ZERO_POINT)
