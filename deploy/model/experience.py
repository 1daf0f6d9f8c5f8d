"""``python -m deploy.model.experience DATA PACKAGE``: which scenes the model was measured on.

Counts the histograms of each image of ``sources.toml`` below DATA, and of the same images made
strange (``deploy.model.strange``), learns the distance between them, and writes it into the
package: before its release, as its id changes.
"""

from __future__ import annotations

import argparse
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from deploy.model.command import one_line_errors
from deploy.model.dataset import SOURCES, Tile, coarser, read_tiles
from deploy.model.judged import stride
from deploy.model.networks import Network, package_network
from deploy.model.packaging import checksum_lines
from deploy.model.simulated import simulated_tiles
from deploy.model.strange import FAULTS
from flightsw.model.description import PackageDescription
from flightsw.model.package import CHECKSUMS, EXPERIENCE, load_package
from flightsw.model.sound_scenes import (
    COLOURS,
    Examples,
    SoundScenes,
    sizes_of,
    write_sound_scenes,
)
from flightsw.pipeline.experience import SAMPLE_EVERY, SceneHistograms
from flightsw.pipeline.surroundings import surround
from flightsw.pipeline.work import TileSample
from flightsw.scene.tiling import Grid

LEAST_PIXELS: Final = 2000
"""Of a scene that is judged: those counted of 180 x 180 valid pixels."""

ALLOWED: Final = 0.015
"""Share of sound scenes that the limit leaves outside; not more than 0.02 is the aim."""

_RIDGE: Final = 0.001  # of the total variance
_COLOURS_WEIGHT: Final = 4.0  # of the variance of joint colours, beside the other histograms
_USUAL: Final = 0.97  # share of the sound scenes that are less far towards a kind than usual
_LEAST_USUAL: Final = 0.4  # of the way to a kind, for kinds that lie far from all sound scenes
_FOLDS: Final = 8
_SIMULATED: Final = 8
_COARSE_SIDE: Final = 448  # pixels, of an image that is also counted at twice its scale
_FAULTY: Final = 4  # images of a place that are also counted with faults


def count(
    network: Network, package: PackageDescription, tile: Tile, *, colours: bool = True
) -> SceneHistograms:
    """The histograms of an image, as they are counted in flight."""
    order = [network.bands.index(band) for band in package.bands]
    histograms = SceneHistograms(len(order), package.input, colours=colours)
    bands, (height, width), side = tile.of(network.bands), tile.valid.shape, network.tile_size
    grid = Grid(height, width, side, stride(side))
    for row, column in np.ndindex(grid.rows, grid.columns):
        rows, columns = grid.needed_rows(row), grid.columns_of(column)
        place = np.s_[..., rows.start : rows.stop, columns.start : columns.stop]
        valid = tile.valid[place]
        if not valid.any():
            continue
        window = np.zeros((side, side, len(bands)), np.float32)
        window[: len(rows), : len(columns)] = bands[place].transpose(1, 2, 0)
        surround(window, len(rows), len(columns), None if valid.all() else ~valid)
        logits = network.logits(np.ascontiguousarray(window.transpose(2, 0, 1))[None])[0]
        every = np.s_[: len(rows) : SAMPLE_EVERY, : len(columns) : SAMPLE_EVERY]
        sample = TileSample(window[..., order][every], valid[::SAMPLE_EVERY, ::SAMPLE_EVERY])
        histograms.count(sample, logits.transpose(1, 2, 0))
    return histograms


def examples_of(
    network: Network,
    package: PackageDescription,
    tiles: Iterable[Tile],
    *,
    colours: bool = True,
) -> Examples:
    """The images as they are, at twice their scale if they are large, and some with each fault.

    ``colours``: with the histogram of joint colours, which packages of older releases lack.
    Raises :class:`UsageError` for a band of the atmosphere, B09 or B10.
    """
    roots, regions, kinds, seen = [], [], [], Counter[str]()
    for tile in tqdm(tiles, "images", mininterval=10, disable=None):
        seen[tile.region] += 1
        own = replace(tile, names=network.bands, bands=tile.of(network.bands))
        for kind, shown in versions(own, network.tile_size, seen[tile.region] <= _FAULTY):
            histograms = count(network, package, shown, colours=colours)
            if histograms.pixels >= LEAST_PIXELS:
                roots.append(np.sqrt(histograms.shares()).astype(np.float32))
                regions.append(tile.region)
                kinds.append(kind)
    bins = sum(sizes_of(len(package.bands), colours=colours))
    rows = np.array(roots, np.float32).reshape(len(roots), bins)  # also if no image is large enough
    return Examples(rows, tuple(regions), tuple(kinds))


def versions(tile: Tile, side: int, faulty: bool) -> Iterator[tuple[str, Tile]]:
    """An image in whole windows of ``side`` pixels; one window of it with each fault."""
    # In flight a pixel with a band of DN 0 has no data.
    tile = replace(tile, valid=tile.valid & (tile.bands != 0).all(axis=0))
    yield "", _whole_windows(tile, side)
    if min(tile.valid.shape) >= _COARSE_SIDE:
        yield "", _whole_windows(coarser(tile, 2), side)
    if not faulty:
        return
    random = np.random.default_rng(zlib.crc32(tile.name.encode()))
    top, left = (int(random.integers(max(length - side, 0) + 1)) for length in tile.valid.shape)
    window = np.s_[..., top : top + side, left : left + side]
    one = replace(tile, bands=tile.bands[window], valid=tile.valid[window])
    for kind, fault in FAULTS.items():
        yield kind, replace(one, bands=fault(one.bands, one.names, random))


def _whole_windows(tile: Tile, side: int) -> Tile:
    """Without the rows and columns that another window would have to overlap most of."""
    step = stride(side)
    height, width = (max(side, length - (length - side) % step) for length in tile.valid.shape)
    bands, valid = tile.bands[:, :height, :width], tile.valid[:height, :width]
    return replace(tile, bands=bands, valid=valid)


def learn(examples: Examples) -> SoundScenes:
    """The directions from sound to strange scenes, and the limits that sound ones rarely pass.

    The limits are those of sound scenes of places which the directions were not learnt from.
    """
    lines = _fit(examples, np.ones(len(examples.kinds), np.bool_))
    towards = _cross_validated(examples)
    usual = np.maximum(np.quantile(towards, _USUAL, axis=0), _LEAST_USUAL)
    passed = np.quantile((towards / usual).max(axis=1), 1 - ALLOWED)
    return SoundScenes(
        strange=lines.kinds,
        directions=lines.directions,
        centres=lines.centres,
        limits=lines.gaps * usual * passed,
        least_pixels=LEAST_PIXELS,
        colours=knows_colours(examples),
    )


def knows_colours(examples: Examples) -> bool:
    """Whether the histogram of joint colours is among them."""
    return bool(examples.roots.shape[1] > COLOURS)


def joined(one: Examples, other: Examples) -> Examples:
    """All examples of both."""
    return Examples(
        np.concatenate((one.roots, other.roots)),
        one.regions + other.regions,
        one.kinds + other.kinds,
    )


def places(examples: Examples) -> NDArray[np.int64]:
    """Number of the fold of each example; a place is in one fold."""
    names = sorted(set(examples.regions))
    order = np.random.default_rng(1).permutation(len(names)) % _FOLDS
    fold = dict(zip(names, order.tolist(), strict=True))
    return np.array([fold[region] for region in examples.regions])


def part(examples: Examples, chosen: NDArray[np.bool_]) -> Examples:
    """Some of the examples."""
    (numbers,) = np.nonzero(chosen)
    return Examples(
        examples.roots[chosen],
        tuple(examples.regions[number] for number in numbers),
        tuple(examples.kinds[number] for number in numbers),
    )


@dataclass(frozen=True)
class _Lines:
    """A direction a kind, where sound scenes lie along it, and how far on the kind's own do."""

    kinds: tuple[str, ...]
    directions: NDArray[np.float64]
    centres: NDArray[np.float64]
    gaps: NDArray[np.float64]


def _fit(examples: Examples, chosen: NDArray[np.bool_]) -> _Lines:
    """Fisher's linear discriminant of each kind and the sound scenes; places weigh the same.

    The images of a place are also taken together, as a whole scene shows more kinds of ground.
    """
    used = _with_mixtures(part(examples, chosen))
    kinds, roots = np.array(used.kinds), used.roots.astype(np.float64)
    weights = _even([*zip(used.regions, used.kinds, strict=True)])
    names = tuple(kind for kind in dict.fromkeys(used.kinds) if kind)
    means, residuals = {}, []
    for kind in ("", *names):
        own, share = roots[kinds == kind], weights[kinds == kind] / weights[kinds == kind].sum()
        means[kind] = share @ own
        share = share / (1 if kind == "" else len(names))
        residuals.append(np.sqrt(share)[:, None] * (own - means[kind]))
    between = np.stack([means[kind] - means[""] for kind in names])
    directions = _discriminants(np.concatenate(residuals), between, _variances(examples))
    return _Lines(
        names, directions, directions @ means[""], np.einsum("kb,kb->k", directions, between)
    )


def _with_mixtures(examples: Examples) -> Examples:
    """And for each place and kind with several images the scene that they make together."""
    groups: dict[tuple[str, str], list[int]] = {}
    for number, group in enumerate(zip(examples.regions, examples.kinds, strict=True)):
        groups.setdefault(group, []).append(number)
    several = {group: numbers for group, numbers in groups.items() if len(numbers) > 1}
    mixed = [np.sqrt((examples.roots[numbers] ** 2).mean(axis=0)) for numbers in several.values()]
    if not mixed:
        return examples
    regions, kinds = zip(*several, strict=True)
    return joined(examples, Examples(np.array(mixed, np.float32), regions, kinds))


def _variances(examples: Examples) -> NDArray[np.float64]:
    """What the ridge allows each bin, relative to the others."""
    variances = np.ones(examples.roots.shape[1])
    if knows_colours(examples):
        variances[-COLOURS:] = _COLOURS_WEIGHT
    return variances


def _discriminants(
    residuals: NDArray[np.float64], between: NDArray[np.float64], variances: NDArray[np.float64]
) -> NDArray[np.float64]:
    """``between`` ``(k, bins)`` times the inverse of the residuals' covariance with its ridge.

    By the residuals' inner products, as there are fewer examples than bins.
    """
    weighted = residuals * variances
    products = weighted.astype(np.float32) @ residuals.astype(np.float32).T
    ridge = _RIDGE * float(np.trace(products))
    inner = np.linalg.solve(products + ridge * np.eye(len(products)), weighted @ between.T)
    return np.asarray((between * variances - inner.T @ weighted) / ridge)


def _even(groups: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
    """Weights with which each group counts the same."""
    sizes = Counter(groups)
    return np.array([1 / sizes[group] for group in groups])


def _cross_validated(examples: Examples) -> NDArray[np.float64]:
    """How far each sound scene lies towards each kind, by the directions of other places."""
    fold, sound = places(examples), np.array([not kind for kind in examples.kinds])
    found = []
    for number in np.unique(fold):
        lines, inside = _fit(examples, fold != number), sound & (fold == number)
        along = examples.roots[inside] @ lines.directions.T - lines.centres
        found.append(along / lines.gaps)
    return np.concatenate(found)


def write_experience(package: Path, sound: SoundScenes, examples: Examples) -> None:
    """Put what was learnt into a package, and its digest into the list of checksums."""
    write_sound_scenes(package / EXPERIENCE, sound, examples)
    (package / CHECKSUMS).write_text(checksum_lines(package), encoding="utf-8")


def main() -> None:
    """Count, learn, write, and print what the limit leaves outside."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of the images")
    parser.add_argument("package", type=Path, help="package to write it into")
    parser.add_argument("--sources", type=Path, default=SOURCES, help="table of the images")
    arguments = parser.parse_args()
    package = load_package(arguments.package)
    network = package_network(package)
    simulated = simulated_tiles(_SIMULATED, side=_COARSE_SIDE, bands=network.bands)
    tiles = chain(read_tiles(arguments.data, arguments.sources), simulated)
    examples = examples_of(network, package, tiles)
    write_experience(arguments.package, learn(examples), examples)
    print(load_package(arguments.package).model_id)


if __name__ == "__main__":
    with one_line_errors("experience"):
        main()
