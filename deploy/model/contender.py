"""Those who are judged side by side: our packages, the teacher, and other software."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from deploy.model.dataset import Tile
from deploy.model.dl_l8s2_uv import read_cloud_network
from deploy.model.kept_out import Probability, contamination
from deploy.model.networks import Network
from deploy.model.teacher import four_band_probabilities


@dataclass(frozen=True)
class Contender:
    """A network by name, and its probability of contamination ``(H, W)`` in an image."""

    name: str
    probability: Callable[[Tile], Probability]


TEACHER: Final = Contender(
    "teacher, 4 bands",
    lambda tile: np.asarray(1 - four_band_probabilities(tile)[0], np.float32),
)


def contender(name: str, network: Network) -> Contender:
    """A network and the bands that it sees, in the steps of the card's input."""
    return Contender(name, lambda tile: contamination(network, tile.of(network.bands)))


def peer(weights: Path) -> Contender:
    """DL-L8S2-UV, by its weights; raises :class:`UsageError` if the file holds others."""
    return Contender("DL-L8S2-UV", read_cloud_network(weights).probability)
