"""``python -m deploy.model.evaluate NETWORK FOLDER``: accuracy and agreement with FP32.

NETWORK is a model package, an ``.onnx`` file, or weights.  FOLDER holds ``.npz``
tiles with a teacher's probabilities or a person's labels.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from math import nan
from operator import add
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from deploy.model.command import one_line_errors
from deploy.model.dataset import BANDS
from deploy.model.judged import (
    CLOUD,
    SHADOW,
    JudgedTile,
    class_probabilities,
    read_judged_tiles,
)
from deploy.model.networks import Network, open_network
from deploy.model.scores import Confusion, confusion
from flightsw.model.dtacsnet import CLASSES

_CLOUD_CLASSES: Final = (1, 2)  # thick and thin
_SHADOW_CLASS: Final = 3


@dataclass(frozen=True)
class TileScores:
    """One tile against its reference, and against another network's mask if one was given.

    People did not label shadow, so for their tiles ``contaminated`` counts a correctly
    found shadow as a false alarm; ``cloud`` does not, but needs four classes.
    """

    name: str
    region: str
    contaminated: Confusion
    cloud: Confusion | None = None
    shadow: Confusion | None = None
    against: Confusion | None = None

    def as_record(self) -> dict[str, str | float]:
        """The tile's figures by name, JSON-able."""
        return {"name": self.name, "region": self.region, **summary([self])}


def score(
    network: Network, tiles: Iterable[JudgedTile], against: Network | None = None
) -> list[TileScores]:
    """Run each tile through ``network`` (and ``against``) and count."""
    return [_score(network, tile, against) for tile in tiles]


def summary(scores: list[TileScores]) -> dict[str, float]:
    """Figures over all pixels of the tiles, and the mean and worst tile's agreement."""
    figures = _accuracy("", [tile.contaminated for tile in scores])
    figures |= _accuracy("cloud_", [tile.cloud for tile in scores if tile.cloud])
    figures |= _accuracy("shadow_", [tile.shadow for tile in scores if tile.shadow])
    if agreements := [tile.against.agreement for tile in scores if tile.against]:
        figures["mean_agreement"] = float(np.mean(agreements))
        figures["worst_agreement"] = min(agreements)
    return figures


def _accuracy(prefix: str, counted: list[Confusion]) -> dict[str, float]:
    if not counted:
        return {}
    total = reduce(add, counted)
    figures = {
        "f2": total.f2,
        "boa": total.balanced_accuracy,
        "iou": total.intersection_over_union,
        "accuracy": total.agreement,
    }
    return {f"{prefix}{name}": nan if one is None else one for name, one in figures.items()}


def _score(network: Network, tile: JudgedTile, against: Network | None) -> TileScores:
    probabilities = class_probabilities(network, tile.of(network.bands))
    found = probabilities.argmax(axis=0)
    all_classes = len(probabilities) == len(CLASSES)

    def count(mask: NDArray[np.bool_], true: NDArray[np.bool_]) -> Confusion:
        return confusion(mask, true, tile.valid)

    return TileScores(
        name=tile.name,
        region=tile.region,
        contaminated=count(found > 0, tile.reference > 0),
        cloud=count(np.isin(found, _CLOUD_CLASSES), tile.reference == CLOUD)
        if all_classes
        else None,
        shadow=count(found == _SHADOW_CLASS, tile.reference == SHADOW)
        if all_classes and tile.knows_shadow
        else None,
        against=count(
            found > 0,
            class_probabilities(against, tile.of(against.bands)).argmax(axis=0) > 0,
        )
        if against
        else None,
    )


def as_text(scores: list[TileScores]) -> str:
    """A table, one tile a line, and the summary below it."""
    records = [tile.as_record() for tile in scores]
    records.append({"name": "all", "region": "", **summary(scores)})
    columns = [key for key in records[-1] if key not in ("name", "region")]
    lines = [f"{'tile':42} " + " ".join(f"{column:>15}" for column in columns)]
    lines += [
        f"{str(record['name'])[-42:]:42} "
        + " ".join(f"{record.get(column, nan):15.4f}" for column in columns)
        for record in records
    ]
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", type=Path, help="package, .onnx, or weights")
    parser.add_argument("folder", type=Path, help="folder of .npz tiles")
    parser.add_argument(
        "--against", type=Path, help="a second network; report the share of equal mask pixels"
    )
    parser.add_argument(
        "--part", choices=("training", "validation", "held_out"), help="judge only these tiles"
    )
    parser.add_argument(
        "--bands", help="channels of an .onnx file or of weights with other than four bands"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    arguments = parser.parse_args()
    scores = _scores(arguments)
    if arguments.json:
        records = [tile.as_record() for tile in scores]
        print(json.dumps({"all": summary(scores), "tiles": records}))
    else:
        print(as_text(scores))


def _scores(arguments: argparse.Namespace) -> list[TileScores]:
    bands = tuple(arguments.bands.split(",")) if arguments.bands else BANDS
    tiles = read_judged_tiles(arguments.folder, arguments.part)
    against = open_network(arguments.against, bands) if arguments.against else None
    return score(open_network(arguments.network, bands), tqdm(tiles, disable=None), against)


if __name__ == "__main__":
    with one_line_errors("evaluate"):
        main()
