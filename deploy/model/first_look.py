"""``python -m deploy.model.first_look DATA PACKAGE``: how far a first look is above the mask.

Each 10 m image of ``sources.toml`` below DATA is reduced to 80 m as a JPEG 2000 file reduces it.
The share of its pixels that are surely contaminated there is compared with its masks at 10 and
20 m, and what was found is written into the package: before its release, as its id changes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from deploy.model.command import one_line_errors, write_json
from deploy.model.dataset import Tile, read_tiles
from deploy.model.judged import class_probabilities
from deploy.model.networks import Network, open_network
from deploy.model.packaging import checksum_lines
from flightsw.model.description import FirstLookTest
from flightsw.model.package import CHECKSUMS, DESCRIPTION

_BAND: Final = "B02"
_LEAST_REFLECTANCE: Final = 0.2
"""Chosen on the same images: at 0.18 the largest excess is 0.03, at 0.15 it is 0.26."""

_MARGIN: Final = 0.05
"""Least excess that is stated: that of a test whose reflectance is 0.02 too high, and more."""

_DISTANCE: Final = 10
_HALVINGS: Final = 3  # from 10 to 80 m
_FINER: Final = 2  # masks at 10 and 20 m


class ContaminationShares(NamedTuple):
    """Shares of an image: surely contaminated at 80 m, in the network's mask there, and finer."""

    name: str
    region: str
    sure: float
    network: float
    masks: tuple[float, float]

    @property
    def excess(self) -> float:
        """How much more is surely contaminated than the smaller of the masks has."""
        return self.sure - min(self.masks)


def main() -> None:
    """Measure, print every excess, and write the package."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("package", type=Path)
    arguments = parser.parse_args()
    network = open_network(arguments.package)
    if _BAND not in network.bands:
        sys.exit(f"first_look: {arguments.package} does not see {_BAND}, which the test needs")
    if not (found := list(measure(arguments.data, network))):
        sys.exit(f"first_look: {arguments.data} has no 10 m image with {', '.join(network.bands)}")
    worst = max(found, key=lambda one: one.excess)
    overcast = [one for one in found if one.masks[0] > 0.9]
    error = np.mean([abs(one.network - one.masks[0]) for one in found])
    print(f"largest excess {worst.excess:.4f} ({worst.name}), mean error {error:.3f}")
    for share in (0.5, 0.8):
        seen = sum(one.sure - _MARGIN > share for one in overcast)
        print(f"{seen} of {len(overcast)} overcast images are surely above {share:.0%}")
    test = FirstLookTest(
        band=_BAND,
        least_reflectance=_LEAST_REFLECTANCE,
        largest_excess=max(_MARGIN, float(np.ceil(worst.excess * 100) / 100)),
        images=len(found),
        regions=len({one.region for one in found}),
    )
    write_test(arguments.package, test)
    print(msgspec.json.encode(test).decode())


def measure(data: Path, network: Network) -> Iterator[ContaminationShares]:
    """Look at every 10 m image that has the network's bands."""
    for tile in tqdm(read_tiles(data), mininterval=10):
        seen = {*network.bands} <= {*tile.names} and tile.valid.any()
        if tile.ground_sample_distance == _DISTANCE and seen:
            yield look_at(tile, network)


def look_at(tile: Tile, network: Network) -> ContaminationShares:
    """The shares of one image."""
    bands, valid = tile.of(network.bands), tile.valid
    masks = []
    for halving in range(_HALVINGS):
        if halving < _FINER:
            masks.append(_share(_contaminated(network, bands), valid))
        bands, valid = halved(halved(bands).swapaxes(1, 2)).swapaxes(1, 2), valid[::2, ::2]
    coarse = _contaminated(network, bands)
    bright = bands[network.bands.index(_BAND)] > _LEAST_REFLECTANCE
    sure = _share(coarse & bright, valid)
    return ContaminationShares(
        tile.name, tile.region, sure, _share(coarse, valid), (masks[0], masks[1])
    )


def halved(lines: NDArray[np.float32]) -> NDArray[np.float32]:
    """The low band of the 5/3 wavelet along the last axis, not rounded (ISO/IEC 15444-1, F.3)."""
    count = lines.shape[-1]
    places = np.abs(np.arange(-2, count + 3))
    mirrored = lines[..., np.minimum(places, 2 * (count - 1) - places)]
    at = 2 * np.arange((count + 1) // 2) + 2
    low = 6 * mirrored[..., at] + 2 * (mirrored[..., at - 1] + mirrored[..., at + 1])
    return np.asarray((low - mirrored[..., at - 2] - mirrored[..., at + 2]) / 8, np.float32)


def write_test(package: Path, test: FirstLookTest) -> None:
    """Put the test into ``package.json``, and its digest into the list of checksums."""
    path = package / DESCRIPTION
    content = json.loads(path.read_text(encoding="utf-8")) | {
        "first_look": msgspec.to_builtins(test)
    }
    write_json(path, content)
    (package / CHECKSUMS).write_text(checksum_lines(package), encoding="utf-8")


def _contaminated(network: Network, bands: NDArray[np.float32]) -> NDArray[np.bool_]:
    clear, *others = class_probabilities(network, bands)
    return np.asarray(np.sum(others, axis=0) > clear)


def _share(pixels: NDArray[np.bool_], valid: NDArray[np.bool_]) -> float:
    return float(pixels[valid].mean()) if valid.any() else 0.0


if __name__ == "__main__":
    with one_line_errors("first_look"):
        main()
