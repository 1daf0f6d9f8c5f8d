"""``python -m deploy.model.label DATA OUT``: run the teacher once; its answers are the labels."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from deploy.model.dataset import Part, Tile, read_split, read_tiles
from deploy.model.teacher import teacher_probabilities, two_scale_probabilities


@dataclass(frozen=True)
class TaughtTile:
    """A tile's four bands (reflectance ``(4, H, W)``) and its teacher's ``(3, H, W)`` answer."""

    name: str
    region: str
    part: Part
    ground_sample_distance: int
    bands: NDArray[np.float32]
    valid: NDArray[np.bool_]
    probabilities: NDArray[np.float32]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder with index.json and tiles/")
    parser.add_argument("out", type=Path, help="output folder: one .npz per tile")
    parser.add_argument(
        "--two-scales",
        action="store_true",
        help="label with the mean of the teacher at a tile's scale and at half of it",
    )
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    split = read_split()
    teacher = two_scale_probabilities if arguments.two_scales else teacher_probabilities
    for number, tile in enumerate(tqdm(list(read_tiles(arguments.data)))):
        path = arguments.out / f"{number:04d}.npz"
        _write(path, tile, split.part_of(tile.region), teacher(tile))


def _write(path: Path, tile: Tile, part: Part, probabilities: NDArray[np.float32]) -> None:
    np.savez(
        path,
        name=tile.name,
        region=tile.region,
        part=part,
        ground_sample_distance=tile.ground_sample_distance,
        bands=tile.four_bands.astype(np.float16),
        valid=tile.valid,
        probabilities=probabilities.astype(np.float16),
    )


def read_taught_tiles(folder: Path) -> list[TaughtTile]:
    """Read back what :func:`main` wrote, in the order of the file names."""
    tiles = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as arrays:
            tiles.append(
                TaughtTile(
                    name=str(arrays["name"]),
                    region=str(arrays["region"]),
                    part=str(arrays["part"]),  # type: ignore[arg-type]
                    ground_sample_distance=int(arrays["ground_sample_distance"]),
                    bands=arrays["bands"].astype(np.float32),
                    valid=arrays["valid"],
                    probabilities=arrays["probabilities"].astype(np.float32),
                )
            )
    return tiles


if __name__ == "__main__":
    main()
