"""Whether a probability is what it says: temperature, and expected calibration error."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deploy.model.judged import JudgedTile, class_probabilities
from deploy.model.networks import Network

_BINS: Final = 15
"""As in Guo et al. 2017, "On calibration of modern neural networks"."""

_TEMPERATURES: Final = np.geomspace(0.2, 5, 161)
_PIXELS: Final = 200_000  # that the temperature is fitted to
_LEAST: Final = 1e-6  # of a probability, before its logarithm is taken


@dataclass(frozen=True)
class Margins:
    """Of pixels: float margins, and bool true contamination, of one shape.

    The margin is the logit of the contaminated class less that of clear.
    """

    found: NDArray[np.float32]
    true: NDArray[np.bool_]

    def probabilities(self, temperature: float) -> NDArray[np.float32]:
        """Of contamination, in the margins' shape."""
        return np.asarray(0.5 + 0.5 * np.tanh(self.found / (2 * temperature)), np.float32)


def margins(network: Network, tiles: Iterable[JudgedTile]) -> Margins:
    """Run each tile through the network; margins are those of the mean of overlapping windows."""
    found, true = [np.zeros(0, np.float32)], [np.zeros(0, np.bool_)]
    for tile in tiles:
        found.append(
            margins_of(1 - class_probabilities(network, tile.of(network.bands))[0][tile.valid])
        )
        true.append(tile.reference[tile.valid] > 0)
    return Margins(np.concatenate(found), np.concatenate(true))


def margins_of(probability: NDArray[np.float32]) -> NDArray[np.float32]:
    """The logit of each probability of contamination."""
    inner = probability.clip(_LEAST, 1 - _LEAST)
    return np.asarray(np.log(inner / (1 - inner)), np.float32)


def fitted_temperature(known: Margins) -> float:
    """The temperature under which the true classes are likeliest; 1 without pixels."""
    if not known.true.size:
        return 1.0

    every = -(-known.true.size // _PIXELS)
    wrong = np.where(known.true, -known.found, known.found)[::every]
    surprise = [float(np.logaddexp(0, wrong / one).mean()) for one in _TEMPERATURES]
    return round(float(_TEMPERATURES[np.argmin(surprise)]), 3)


def expected_calibration_error(
    probabilities: NDArray[np.float32], true: NDArray[np.bool_]
) -> float:
    """Mean distance of probability and true share over 15 bins, by their numbers of pixels."""
    bins = np.minimum((probabilities * _BINS).astype(np.int64), _BINS - 1)
    said, was = (np.bincount(bins, values, _BINS) for values in (probabilities, true))
    return float(np.abs(said - was).sum() / max(true.size, 1))
