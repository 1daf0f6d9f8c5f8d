"""``python -m deploy.model.judge DATA NETWORK [NETWORK …]``: judge networks by what people say.

A NETWORK is a model package, an ``.onnx`` file, or weights.  DATA holds the images of
``sources.toml``; those that people labelled, or that are known to be cloud-free, are judged.
Prints a Markdown table, one image and network a line.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from math import nan
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deploy.model.crops import as_card_input
from deploy.model.dataset import TAUGHT_CLASSES, Tile, read_split, read_tiles
from deploy.model.judged import class_probabilities
from deploy.model.networks import Network, open_network
from deploy.model.scores import confusion

_CLEAR, _CLOUD, _SHADOW = range(len(TAUGHT_CLASSES))


@dataclass(frozen=True)
class Verdict:
    """A network on one image: shares of pixels, NaN if the image has none of them.

    ``f2`` and ``iou`` are of contaminated pixels.  What people leave open between clear and
    shadow counts as clear there, so that a shadow that is found is a false alarm;
    ``clear_kept`` has the same rule.  ``shadow_found`` is the share of the shadow that is
    contaminated in the mask.
    """

    f2: float
    iou: float
    clear_kept: float
    shadow_found: float


def judge(network: Network, tile: Tile) -> Verdict:
    """Judge a network by the labels of an image (:attr:`Tile.allowed` is not None)."""
    assert tile.allowed is not None
    allowed = tile.allowed > 0
    found = class_probabilities(network, as_card_input(tile.four_bands)).argmax(axis=0) > 0
    shadow = allowed[_SHADOW] & ~allowed[_CLEAR] & tile.valid
    clear = allowed[_CLEAR] & ~allowed[_CLOUD] & tile.valid
    contaminated = (allowed[_CLOUD] | allowed[_SHADOW]) & ~allowed[_CLEAR] & tile.valid
    counted = confusion(found, contaminated, clear | contaminated)
    # If clear and cloud are left open, only the shadow is known.
    whole = bool(clear.any() and contaminated.any())
    return Verdict(
        f2=nan if not whole or counted.f2 is None else counted.f2,
        iou=nan if not whole or counted.intersection_over_union is None
        else counted.intersection_over_union,
        clear_kept=_share(~found, clear),
        shadow_found=_share(found, shadow),
    )  # fmt: skip


def _share(found: NDArray[np.bool_], of: NDArray[np.bool_]) -> float:
    return float(found[of].mean()) if of.any() else nan


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of the images")
    parser.add_argument("networks", type=Path, nargs="+", help="packages, .onnx files, or weights")
    arguments = parser.parse_args()
    split = read_split()
    tiles = [tile for tile in read_tiles(arguments.data) if tile.allowed is not None]
    print("| image | m | part | network | F2 | IoU | clear kept | shadow found |")
    print("|---|---|---|---|---|---|---|---|")
    networks = [(path.name, open_network(path)) for path in arguments.networks]
    for tile in tiles:
        for name, network in networks:
            verdict = judge(network, tile)
            figures = (verdict.f2, verdict.iou, verdict.clear_kept, verdict.shadow_found)
            cells = " | ".join("-" if np.isnan(one) else f"{one:.4f}" for one in figures)
            part = split.part_of(tile.region)
            print(f"| {tile.name} | {tile.ground_sample_distance} | {part} | {name} | {cells} |")


if __name__ == "__main__":
    main()
