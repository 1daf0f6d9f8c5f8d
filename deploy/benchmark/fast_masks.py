"""What the fast decode changes in masks: of real images, and against what people say of them.

Each image is coded as a band of a product, decoded fast, and its mask is compared with that of its
own pixels, which an exact decode gives.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from math import isnan
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from deploy.model.card_input import as_card_input
from deploy.model.dataset import SOURCES, Sources, Tile, read_sources, tiles_of
from deploy.model.judged import class_probabilities
from deploy.model.networks import Network, package_network
from deploy.model.scores import Confusion, confusion
from deploy.model.simulated import simulated_tiles
from deploy.model.verdict import Verdict, judge
from flightsw.model.package import ModelPackage
from flightsw.scene.codestream import inspect
from flightsw.scene.fast_jp2 import FastBand
from flightsw.scene.jp2 import Jp2Band
from telecommands.groundsim.scenes.jp2_writer import CODINGS, BandWriter

_OFFSET: Final = 1000  # of digital numbers since baseline 04.00
_QUANTIFICATION: Final = 10_000
_SIMULATED: Final = 4
_CODING: Final = CODINGS[10]


def measure_fast_masks(package: ModelPackage, data: Path) -> dict[str, Any]:
    """Agreement and cloud fraction of each set of images below ``data``, and labelled images.

    Those of simulated tiles, whose truth is known, stand apart.
    """
    network = package_network(package)
    step = package.input.scale * package.quantification
    sets: dict[str, list[Confusion]] = {}
    labelled: list[dict[str, Any]] = []
    for name, tile in tqdm(_images(data), "fast masks", unit="image", disable=None):
        exact = _mask(network, tile.four_bands)
        fast = _mask(network, decoded_fast(tile, step))
        sets.setdefault(name, []).append(confusion(fast, exact, tile.valid))
        if tile.allowed is not None:
            labelled += _changes(tile.name, judge(exact, tile), judge(fast, tile))
    return {"sets": [_of_set(name, images) for name, images in sets.items()], "labelled": labelled}


def decoded_fast(tile: Tile, step: float) -> NDArray[np.float32]:
    """Reflectance ``(4, H, W)`` of the tile's bands, coded and decoded for input steps of ``step``.

    ``step`` is in digital numbers.
    """
    reflectance = tile.four_bands
    numbers = np.rint(reflectance * _QUANTIFICATION).clip(1 - _OFFSET, None) + _OFFSET
    with tempfile.TemporaryDirectory() as folder:
        bands = [
            _decoded(Path(folder) / "band.jp2", np.where(tile.valid, band, 0), step)
            for band in numbers.astype(np.uint16)
        ]
    found = (np.stack(bands).astype(np.float32) - _OFFSET) / _QUANTIFICATION
    return np.where(tile.valid, found, reflectance).astype(np.float32)


def _images(data: Path) -> Iterator[tuple[str, Tile]]:
    """Each image and the name of its set; the simulated ones last."""
    for source in read_sources(SOURCES).source:
        name = Path(source.files).name.partition("_")[0]
        yield from ((name, tile) for tile in tiles_of(data, Sources((source,))))
    yield from (("simulated", tile) for tile in simulated_tiles(_SIMULATED))


def _decoded(path: Path, numbers: NDArray[np.uint16], step: float) -> NDArray[np.uint16]:
    height, width = numbers.shape
    side = max(height, width)
    square = np.pad(numbers, ((0, side - height), (0, side - width)), mode="symmetric")
    writer = BandWriter(path, side)
    for top in range(0, side, _CODING.tile):
        for left in range(0, side, _CODING.tile):
            writer.write(square[top : top + _CODING.tile, left : left + _CODING.tile])
    pixels = np.empty((1, height, width), np.uint16)
    FastBand.of(Jp2Band(path, inspect(path), slice(0, 1), 1), step).read(0, 0, [pixels])
    decoded: NDArray[np.uint16] = pixels[0]
    return decoded


def _mask(network: Network, reflectance: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.asarray(class_probabilities(network, as_card_input(reflectance)).argmax(axis=0) > 0)


def _of_set(name: str, images: list[Confusion]) -> dict[str, Any]:
    whole = sum(images[1:], images[0])
    return {
        "set": name,
        "images": len(images),
        "pixels": whole.pixels,
        "agreement": whole.agreement,
        "worst_image": min(image.agreement for image in images),
        "contaminated": (whole.both_contaminated + whole.only_a) / whole.pixels,
        "contaminated_fast": (whole.both_contaminated + whole.only_b) / whole.pixels,
    }


def _changes(image: str, exact: Verdict, fast: Verdict) -> Iterable[dict[str, Any]]:
    """Figures of a labelled image, none if people left too much open."""
    if isnan(exact.f2):
        return ()
    figures = ("f2", "balanced_accuracy", "iou")
    change = {name: getattr(fast, name) - getattr(exact, name) for name in figures}
    return ({"image": image, **change},)
