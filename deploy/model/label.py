"""``python -m deploy.model.label DATA OUT``: ask the teacher once, at every scale.

The teacher's answers are the labels, restricted to what people say if they labelled the image.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from deploy.model.arrays import read_arrays
from deploy.model.clouded import clouded_copies
from deploy.model.command import one_line_errors
from deploy.model.dataset import (
    BANDS,
    SOURCES,
    SPLIT,
    Part,
    Tile,
    chosen,
    coarser,
    in_order,
    order_of,
    read_split,
    read_tiles,
)
from deploy.model.sea import sea_tiles
from deploy.model.simulated import SIMULATED, simulated_tiles
from deploy.model.teacher import teacher_probabilities
from flightsw.errors import UsageError
from telecommands.command_line import whole_number

Answer = NDArray[np.float32]

SCALES: Final = (10, 20, 30, 40, 60)
"""Ground sample distances in metres that the teacher is asked at."""

_STORED: Final = (
    *("name", "region", "part", "ground_sample_distance"),
    *("bands", "valid", "probabilities", "labelled"),
)
"""Arrays of a file; without ``order`` it has the bands :data:`BANDS`."""
_SMALLEST_SIDE: Final = 112  # pixels of a tile at a coarser scale
_DOUBTFUL: Final = 0.8  # a teacher's largest probability below which its coarser answer counts too
_KEPT: Final[Mapping[str, Part]] = {
    "simulated_validation": "validation",
    "simulated_held_out": "held_out",
}
_KEPT_SEED: Final = 2  # other scenes than those that teach
_NUMBER: Final = whole_number(0, 10_000, "a number of tiles")
_DOUBT: Final = 1e-3  # probability left to each class that people allow


@dataclass(frozen=True)
class TaughtTile:
    """A tile's bands (reflectance ``(C, H, W)``) and its ``(3, H, W)`` class probabilities.

    ``names`` are the bands in their order.  ``labelled``: people said what it shows, or it was
    simulated with its truth.
    """

    name: str
    region: str
    part: Part
    ground_sample_distance: int
    bands: NDArray[np.float32]
    valid: NDArray[np.bool_]
    probabilities: Answer
    labelled: bool = False
    names: tuple[str, ...] = BANDS

    def of(self, bands: tuple[str, ...]) -> NDArray[np.float32]:
        """Reflectance of ``bands``, float32 ``(C, H, W)``; raises :class:`UsageError`."""
        return chosen(self.name, self.names, self.bands, bands)

    @property
    def contaminated(self) -> NDArray[np.bool_]:
        """The pixels that are likelier cloud or shadow than clear, bool ``(H, W)``."""
        return np.asarray(self.probabilities.argmax(axis=0) > 0)


def scales_of(tile: Tile) -> Iterator[Tile]:
    """The tile itself, and its area means at each coarser scale at which it is large enough."""
    for scale in SCALES:
        factor, rest = divmod(scale, tile.ground_sample_distance)
        if scale == tile.ground_sample_distance:
            yield tile
        elif factor > 1 and not rest and min(tile.valid.shape) // factor >= _SMALLEST_SIDE:
            yield coarser(tile, factor)


def targets(tile: Tile, answer: Answer, coarse: Answer | None) -> Answer:
    """Class probabilities ``(3, H, W)``: the teacher's, within what people say.

    Roofs and bright fields look like cloud to the teacher at 10 m, with probabilities near one
    half, and clear at 20 m: a doubtful ``answer`` is averaged with ``coarse``, its answer at
    about twice the scale.
    """
    if coarse is not None:
        size = tile.valid.shape[::-1]
        seen = np.stack([cv2.resize(plane, size) for plane in coarse])
        answer = np.where(answer.max(axis=0) < _DOUBTFUL, (answer + seen) / 2, answer)
    if tile.allowed is not None:
        answer = (answer + _DOUBT) * tile.allowed
    total = answer.sum(axis=0)
    return np.asarray(answer / np.maximum(total, 1e-9), np.float32)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of the images; - for simulated ones alone")
    parser.add_argument("out", type=Path, help="output folder: one .npz per tile and scale")
    parser.add_argument(
        "--sources", type=Path, default=SOURCES, help="table of the images (%(default)s)"
    )
    parser.add_argument(
        "--split", type=Path, default=SPLIT, help="regions kept out of training (%(default)s)"
    )
    parser.add_argument(
        "--simulated", type=_NUMBER, default=0, help="simulated tiles to add, with their truth"
    )
    parser.add_argument(
        "--simulated-kept",
        type=_NUMBER,
        default=0,
        help="further simulated tiles for validation, and as many to judge",
    )
    parser.add_argument(
        "--sea",
        type=_NUMBER,
        default=0,
        help="simulated tiles of clear sea to add, some with sunglint",
    )
    parser.add_argument(
        "--clouded",
        type=_NUMBER,
        default=0,
        metavar="COPIES",
        help="of each nearly clear image that teaches, at every scale, under simulated cloud",
    )
    parser.add_argument(
        "--bands",
        default=",".join(BANDS),
        help="bands to keep, as in B02,B03,B04,B08,B11,B12; images without them are left out "
        "(default: %(default)s)",
    )
    arguments = parser.parse_args()
    _label(arguments)


def _label(arguments: argparse.Namespace) -> None:
    bands = in_order(arguments.bands.split(","))
    split = read_split(arguments.split)
    images = [
        *([] if str(arguments.data) == "-" else read_tiles(arguments.data, arguments.sources)),
        *simulated_tiles(arguments.simulated, bands=bands),
        *sea_tiles(arguments.sea, bands=bands),
        *_kept_tiles(arguments.simulated_kept, bands),
    ]
    tiles = [tile for tile in images if {*bands} <= {*tile.names}]
    if not tiles:
        cause = f"holds no image with all of {', '.join(bands)}"
        raise UsageError(arguments.data, cause, "Add images with these bands, or --simulated ones")
    if len(tiles) < len(images):
        print(f"{len(images) - len(tiles)} of {len(images)} images lack a band and are left out")
    arguments.out.mkdir(parents=True, exist_ok=True)
    numbers, clouds = count(), count()
    for tile in tqdm(tiles):
        part = _KEPT.get(tile.region) or split.part_of(tile.region)
        copies = arguments.clouded if part == "training" and tile.region != SIMULATED else 0
        for one, found in _answered(tile):
            covered = clouded_copies(one, found.argmax(axis=0) == 0, islice(clouds, copies))
            for image, truth in ((one, found), *covered):
                _write(arguments.out / f"{next(numbers):04d}.npz", image, bands, part, truth)


def _answered(tile: Tile) -> Iterator[tuple[Tile, Answer]]:
    """The tile at each of its scales, with the targets there."""
    scaled = list(scales_of(tile))
    answers = [teacher_probabilities(one) for one in scaled]
    for one, answer, coarse in zip(scaled, answers, [*answers[1:], None], strict=True):
        yield one, targets(one, answer, coarse)


def _kept_tiles(number_of_each: int, bands: tuple[str, ...]) -> Iterator[Tile]:
    """Simulated tiles that do not teach, as many for validation as to judge."""
    for number, tile in enumerate(simulated_tiles(2 * number_of_each, _KEPT_SEED, bands=bands)):
        region = [*_KEPT][number % 2]
        yield replace(tile, name=f"{region}_{number:03d}", region=region)


def _write(
    path: Path, tile: Tile, bands: tuple[str, ...], part: Part, probabilities: Answer
) -> None:
    known = tile.valid if tile.allowed is None else tile.valid & tile.allowed.any(axis=0)
    np.savez(
        path,
        name=tile.name,
        region=tile.region,
        part=part,
        ground_sample_distance=tile.ground_sample_distance,
        labelled=tile.allowed is not None,
        order=np.array(bands),
        bands=tile.of(bands).astype(np.float16),
        valid=known,
        probabilities=probabilities.astype(np.float16),
    )


def read_taught_tiles(folder: Path) -> list[TaughtTile]:
    """Read back what :func:`main` wrote, in the order of the file names.

    Raises :class:`UsageError` if the folder has no tile, or a file is not one.
    """
    tiles = [_read(path) for path in sorted(folder.glob("*.npz"))]
    if not tiles:
        raise UsageError(folder, "has no .npz file", "Write them with deploy.model.label")
    return tiles


def _read(path: Path) -> TaughtTile:
    arrays = read_arrays(path, *_STORED)
    return TaughtTile(
        name=str(arrays["name"]),
        region=str(arrays["region"]),
        part=str(arrays["part"]),  # type: ignore[arg-type]
        ground_sample_distance=int(arrays["ground_sample_distance"]),
        bands=arrays["bands"].astype(np.float32),
        valid=arrays["valid"],
        probabilities=arrays["probabilities"].astype(np.float32),
        labelled=bool(arrays["labelled"]),
        names=order_of(arrays),
    )


if __name__ == "__main__":
    with one_line_errors("label"):
        main()
