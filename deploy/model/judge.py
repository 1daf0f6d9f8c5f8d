"""``python -m deploy.model.judge DATA TAUGHT RELEASE [PACKAGE …]``: the figures of a model card.

DATA holds the images of ``sources.toml``; those that people labelled, or that are known to be
cloud-free, are judged by that.  TAUGHT is what ``deploy.model.label`` wrote: its tiles kept out
are judged by the teacher.  RELEASE is the package that the card is about; others are compared.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from math import isnan
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from deploy.model.card import Card, LabelledRow, OptionRow
from deploy.model.command import one_line_errors, write_json
from deploy.model.confidence import Margins, margins_of
from deploy.model.contender import TEACHER, Contender, contender, peer
from deploy.model.dataset import Tile, read_split, read_tiles
from deploy.model.export import read_network, with_head
from deploy.model.failures import draw, worst_squares
from deploy.model.kept_out import answered_tiles, border_row, calibration, precision, scale_rows
from deploy.model.label import read_taught_tiles
from deploy.model.networks import Network, package_network, torch_network
from deploy.model.outside import experience_figures
from deploy.model.surfaces import surface_rows
from deploy.model.verdict import judge
from flightsw.bench.machine import describe_machine
from flightsw.errors import UsageError
from flightsw.model.package import ModelPackage, load_package

CARD: Final = Path(__file__).resolve().parents[2] / "docs" / "model-card.json"
PICTURES: Final = CARD.parent / "images" / "model-card-failures.jpg"

_THRESHOLDS: Final = (None, 30, 40, 60)
_BUFFERS: Final = (0, 1, 3)
_FLOATING: Final = "release in FP32"


def labelled_rows(tiles: Sequence[Tile], contenders: Sequence[Contender]) -> Iterator[LabelledRow]:
    """Each network on each image that people labelled."""
    split = read_split()
    for tile in tqdm(tiles, "labelled images", disable=None):
        for one in contenders:
            verdict = judge(one.probability(tile) > 0.5, tile)
            yield LabelledRow(
                image=tile.name,
                metres=tile.ground_sample_distance,
                part=split.part_of(tile.region),
                network=one.name,
                f2=_figure(verdict.f2),
                lenient_f2=_figure(verdict.lenient_f2),
                iou=_figure(verdict.iou),
                clear_kept=_figure(verdict.clear_kept),
                shadow_found=_figure(verdict.shadow_found),
            )


def option_rows(
    tiles: Sequence[Tile], release: Contender, temperature: float
) -> Iterator[OptionRow]:
    """What threshold and buffer give on each of the images; those without F2 are left out."""
    for tile in tiles:
        if isnan(judge(np.ones(tile.valid.shape, np.bool_), tile).f2):
            continue
        margins = Margins(margins_of(release.probability(tile)), tile.valid)
        probability = margins.probabilities(temperature)
        for threshold in _THRESHOLDS:
            found = probability > 0.5 if threshold is None else probability >= threshold / 100
            for buffer in _BUFFERS:
                verdict = judge(_buffered(found, buffer), tile)
                yield OptionRow(threshold, buffer, tile.name, verdict.f2, verdict.clear_kept)


def make_card(
    data: Path,
    taught: Path,
    release: ModelPackage,
    others: Sequence[ModelPackage] = (),
    peers: Sequence[Contender] = (),
    pictures: Path = PICTURES,
) -> Card:
    """Measure everything in one run; :class:`UsageError` if there is nothing to judge by."""
    names = [f"{one.name} {one.version}" for one in (release, *others)]
    networks = {
        name: package_network(one) for name, one in zip(names, (release, *others), strict=True)
    }
    contenders = [*(contender(name, one) for name, one in networks.items()), TEACHER, *peers]
    tiles = list(read_tiles(data))
    labelled = [tile for tile in tiles if tile.allowed is not None]
    split = read_split()
    kept_out = [tile for tile in labelled if split.part_of(tile.region) == "held_out"]
    answered = answered_tiles(
        [one for one in read_taught_tiles(taught) if one.part == "held_out" and not one.labelled],
        {**networks, _FLOATING: _floating(release)},
    )
    if not answered:
        raise UsageError(
            taught, "has no tile that was kept out", "Write it with deploy.model.label"
        )
    failures = worst_squares(labelled, contenders[0])
    draw(failures, labelled, contenders[0], pictures)
    return Card(
        model_id=release.model_id,
        date=datetime.now(timezone.utc).date().isoformat(),
        machine=describe_machine(),
        labelled=tuple(labelled_rows(labelled, contenders)),
        surfaces=tuple(surface_rows(tiles, contenders)),
        failures=tuple(failures),
        scales=tuple(scale_rows(answered, names)),
        borders=tuple(border_row(answered, name) for name in names),
        options=tuple(option_rows(kept_out, contenders[0], release.temperature)),
        calibration=calibration(answered, names[0], release.temperature),
        precision=precision(answered, names[0], _FLOATING),
        **experience_figures(data, networks[names[0]], release),
    )


def _floating(release: ModelPackage) -> Network:
    if release.network is None:
        raise UsageError(
            release.folder, "has no floating-point network", "Compile it with --weights"
        )
    return torch_network(with_head(read_network(release.network), "contamination"))


def _figure(value: float) -> float | None:
    return None if isnan(value) else round(value, 4)


def _buffered(found: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    if not found.any():
        return found
    away = cv2.distanceTransform((~found).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(away <= pixels)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of the images")
    parser.add_argument("taught", type=Path, help="folder that label wrote")
    parser.add_argument("release", type=Path, help="package that the card is about")
    parser.add_argument("others", type=Path, nargs="*", help="packages to compare with")
    parser.add_argument("--out", type=Path, default=CARD, help="file of the figures (%(default)s)")
    parser.add_argument(
        "--pictures", type=Path, default=PICTURES, help="JPEG of failures (%(default)s)"
    )
    parser.add_argument(
        "--peer", type=Path, help="weights of DL-L8S2-UV (landsatbiomeRGBI6.hdf5), to compare with"
    )
    arguments = parser.parse_args()
    release, *others = map(load_package, (arguments.release, *arguments.others))
    peers = [peer(arguments.peer)] if arguments.peer else []
    card = make_card(arguments.data, arguments.taught, release, others, peers, arguments.pictures)
    write_json(arguments.out, card)


if __name__ == "__main__":
    with one_line_errors("judge"):
        main()
