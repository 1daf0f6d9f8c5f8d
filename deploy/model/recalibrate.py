"""Recalibrate a package on downlinked scenes: the same weights in a new INT8 graph.

A network that was trained elsewhere loses most in INT8 where activations leave the ranges that
were calibrated.  The weights, and with them the floating-point answers, stay as they are.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnx

from deploy.model.calibrate import calibration_windows
from deploy.model.card_graph import choose, deployed, floating_answers, measure, output
from deploy.model.dataset import TAUGHT_CLASSES, Source, Sources, Tile, read_sources, tiles_of
from deploy.model.experience import examples_of, joined, knows_colours, learn
from deploy.model.export import Head, export, read_network
from deploy.model.golden_tiles import golden_tiles
from deploy.model.judged import JudgedTile, class_probabilities
from deploy.model.label import TaughtTile
from deploy.model.networks import Network, onnx_network, openvino_graph
from deploy.model.packaging import golden_answers, refuse_existing, write_package
from deploy.model.quantise import Ranges
from flightsw.errors import UsageError
from flightsw.model.description import PackageDescription
from flightsw.model.dtacsnet import CLASSES
from flightsw.model.package import EXPERIENCE, NOTICE, ModelPackage, load_package
from flightsw.model.sound_scenes import Examples, SoundScenes, read_examples

LEAST_IMAGES: Final = 4
"""Three calibrate and one measures; every fourth of more."""

_MEASURED_EVERY: Final = 4
_LEAST_VALID: Final = 0.5  # of an image that calibrates
_TABLE: Final = "sources.toml"
_ANY: Final = Sources((Source(files="**/*.npz", level="l2a"),))


@dataclass(frozen=True)
class Recalibration:
    """How: ``ranges`` None chooses the kind that agrees best with FP32."""

    ranges: Ranges | None = None
    windows: int = 96
    seed: int = 1


def read_scenes(folder: Path) -> list[Tile]:
    """The images below ``folder`` that have data in at least half of their pixels.

    They are those of its table ``sources.toml``, or every ``.npz`` with ``bands``.  Raises
    :class:`UsageError` if there are too few, or a file is not an image.
    """
    table = folder / _TABLE
    sources = read_sources(table) if table.is_file() else _ANY
    tiles = [one for one in tiles_of(folder, sources) if one.valid.mean() >= _LEAST_VALID]
    if len(tiles) < LEAST_IMAGES:
        raise UsageError(
            folder,
            f"has {len(tiles)} images with data in half of their pixels, which are too few",
            f"Give {LEAST_IMAGES} at least: every fourth one only measures",
        )
    return tiles


def float_graph_of(package: ModelPackage) -> onnx.ModelProto:
    """The package's own weights as a graph; :class:`UsageError` if it has none."""
    if package.network is None:
        raise UsageError(
            package.folder,
            "has no floating-point weights (network.npz), so it cannot be quantised again",
            "Recalibrate a package that was compiled with --weights",
        )
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "network.onnx"
        head: Head = "contamination" if len(package.classes) < len(CLASSES) else "classes"
        export(read_network(package.network), graph, head, package.tile_size)
        return onnx.load(str(graph))


def require_new_release(package: ModelPackage, out: Path) -> str:
    """The version of the new release ``out``, a folder named NAME-VERSION.

    Raises :class:`UsageError` if it is not another version of this package, and
    :class:`~flightsw.errors.OutputNotWritable` if it exists.
    """
    name, _, version = out.name.rpartition("-")
    if name != package.name or version == package.version:
        raise UsageError(
            out,
            f"is not a new version of {package.name} {package.version}",
            f"Name the folder {package.name}-VERSION",
        )
    refuse_existing(out)
    return version


def recalibrate(
    package: ModelPackage,
    float_graph: onnx.ModelProto,
    tiles: Sequence[Tile],
    out: Path,
    how: Recalibration,
) -> ModelPackage:
    """Write ``out``, with ``package``'s weights, calibrated on ``tiles``, and load it back.

    The images that measure took no part in the calibration.  Figures of the former INT8 graph are
    left out, and so is the first look, which was measured with it.
    """
    version, bands = require_new_release(package, out), package.bands
    original = onnx_network(float_graph, bands)
    learnt = [one for number, one in enumerate(tiles) if number % _MEASURED_EVERY]
    judged = [_judged(original, one) for one in tiles[::_MEASURED_EVERY]]
    seen = [_unlabelled(one, original.bands) for one in learnt]
    windows = calibration_windows(seen, how.windows, how.seed, original.bands)
    card = choose(float_graph, original, windows, lambda: judged, bands, how.ranges)
    agreement = measure(card, original, judged, bands)
    golden = golden_tiles(original.tile_size, bands)
    answers = openvino_graph(card.model)(np.stack(list(golden.values())))
    description = PackageDescription(
        **{name: getattr(package, name) for name in PackageDescription.__struct_fields__}
        | {
            "version": version,
            "output": output(card),
            "measured": {
                "calibration_images": float(len(learnt)),
                "tiles": float(len(judged)),
                "mean_agreement": agreement["mean_agreement"],
                "worst_agreement": agreement["worst_agreement"],
                "golden_contaminated_share": float((answers.argmax(axis=-1) > 0).mean()),
            },
            "first_look": None,
        }
    )
    floating = None
    if package.network:
        floating = floating_answers(original, golden, bands, description.output)
    former = (package.folder / NOTICE).read_text(encoding="utf-8")
    write_package(
        out,
        description,
        card.model,
        golden_answers(golden, answers, floating),
        former.replace(f"{package.name} {package.version}", f"{package.name} {version}", 1),
        package.network,
        _experience(package, deployed(card, bands), tiles),
    )
    return load_package(out)


def _experience(
    package: ModelPackage, network: Network, tiles: Sequence[Tile]
) -> tuple[SoundScenes, Examples] | None:
    """What the package knew, and the new images; None if it knew nothing."""
    if package.sound_scenes() is None:
        return None
    known = read_examples(package.folder / EXPERIENCE)
    new = examples_of(network, package, tiles, colours=knows_colours(known))
    examples = joined(known, new)
    return learn(examples), examples


def _judged(original: Network, tile: Tile) -> JudgedTile:
    """An image whose reference is the floating-point network."""
    bands = tile.of(original.bands)
    found = class_probabilities(original, bands).argmax(axis=0).astype(np.uint8)
    return JudgedTile(
        tile.name, tile.region, "held_out", bands, tile.valid, found, True, original.bands
    )


def _unlabelled(tile: Tile, bands: tuple[str, ...]) -> TaughtTile:
    return TaughtTile(
        name=tile.name,
        region=tile.region,
        part="training",
        ground_sample_distance=tile.ground_sample_distance,
        names=bands,
        bands=tile.of(bands),
        valid=tile.valid,
        probabilities=np.zeros((len(TAUGHT_CLASSES), *tile.valid.shape), np.float32),
    )
