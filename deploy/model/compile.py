"""Make a package: ``python -m deploy.model.compile MODEL.onnx OUT/NAME-VERSION …``.

Calibrates, quantises, measures and writes a model package.  The folder of ``--calibration`` is what
``deploy.model.label`` wrote: its training part calibrates, its validation part
chooses the ranges, its held-out part gives the figures in ``package.json``.

``compile PACKAGE OUT/NAME-VERSION --recalibrate TILES --key KEY`` makes a release with the weights
of PACKAGE, calibrated on downlinked scenes, and signs it.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

import msgspec
import numpy as np
import onnx

from deploy.model.calibrate import calibration_windows
from deploy.model.card_graph import INPUT, choose, deployed, floating_answers, measure, output
from deploy.model.command import one_line_errors
from deploy.model.confidence import (
    Margins,
    expected_calibration_error,
    fitted_temperature,
    margins,
)
from deploy.model.dataset import BANDS, in_order
from deploy.model.golden_tiles import golden_tiles
from deploy.model.judged import read_judged_tiles, stride
from deploy.model.label import read_taught_tiles
from deploy.model.networks import Network, onnx_network, openvino_graph, read_graph
from deploy.model.packaging import golden_answers, refuse_existing, write_package
from deploy.model.quantise import CardGraph, Ranges
from deploy.model.recalibrate import (
    Recalibration,
    float_graph_of,
    read_scenes,
    recalibrate,
    require_new_release,
)
from deploy.model.sign import read_secret_key, sign
from flightsw.errors import UsageError
from flightsw.model.description import LEVELS, PackageDescription, Teacher, TrainingData
from flightsw.model.dtacsnet import CLASSES
from flightsw.model.network import read_dtacsnet
from flightsw.model.package import ModelPackage, load_package

TWO_CLASSES: Final = ("clear", "contaminated")

_QUANTIFICATION: Final = 10_000.0
_OURS: Final = "deploy/model/provenance.toml"


class Provenance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The origin of the weights (``provenance.toml``); ``network`` is its architecture's name."""

    network: str
    licence: str
    training_data: tuple[TrainingData, ...]
    teacher: Teacher | None = None


def read_provenance(path: Path) -> Provenance:
    """Read a provenance file.

    Raises :class:`UsageError` that names what is missing or wrong in it.
    """
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Provenance)
    except OSError as error:
        cause = f"cannot be read ({error.strerror})"
        raise UsageError(path, cause, f"Write it as {_OURS} is written") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        cause = f"is not a valid provenance file ({error})"
        raise UsageError(path, cause, f"Write it as {_OURS} is written") from error


@dataclass(frozen=True)
class Compilation:
    """What a package is made from besides the graph and the tiles.

    ``bands`` is the order of the graph's input channels.  ``ranges`` None: the
    kind that agrees best with FP32 on the validation tiles.  ``weights``: the file of the
    floating-point network, for engines other than the card; None leaves it out.
    """

    provenance: Provenance
    bands: tuple[str, ...] = BANDS
    levels: tuple[str, ...] = ("L1C", "L2A")
    ground_sample_distances: tuple[int, ...] = (10, 20, 30, 40)
    ranges: Ranges | None = None
    windows: int = 96
    seed: int = 1
    weights: Path | None = None


def compile_package(model: Path, out: Path, taught: Path, compilation: Compilation) -> ModelPackage:
    """Write the package ``out`` (a folder named NAME-VERSION) and load it back."""
    name, _, version = out.name.rpartition("-")
    if not name:
        raise UsageError(out, "is not named NAME-VERSION", "Name the folder like dtacsnet-cd-0.1.0")
    refuse_existing(out)
    _check_bands_and_levels(compilation)
    float_graph = read_graph(model)
    channels = float_graph.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    if channels != len(compilation.bands):
        raise UsageError(
            model,
            f"has {channels} input bands, not those of --bands: {', '.join(compilation.bands)}",
        )
    if compilation.weights:
        _check_weights(compilation.weights, channels)
    original = onnx_network(float_graph, compilation.bands)
    card = _choose(float_graph, original, taught, compilation)
    network = deployed(card, compilation.bands)
    temperature = fitted_temperature(margins(network, read_judged_tiles(taught, "validation")))
    held_out = read_judged_tiles(taught, "held_out")
    measured = measure(card, original, held_out, compilation.bands)
    measured |= _calibration(margins(network, held_out), temperature)
    tiles = golden_tiles(original.tile_size, compilation.bands)
    answers = openvino_graph(card.model)(np.stack(list(tiles.values())))
    measured["golden_contaminated_share"] = float((answers.argmax(axis=-1) > 0).mean())
    description = PackageDescription(
        name=name,
        version=version,
        bands=compilation.bands,
        levels=compilation.levels,
        quantification=_QUANTIFICATION,
        input=INPUT,
        output=output(card),
        classes=TWO_CLASSES if answers.shape[-1] == len(TWO_CLASSES) else CLASSES,
        tile_size=original.tile_size,
        stride=stride(original.tile_size),
        ground_sample_distances=compilation.ground_sample_distances,
        licence=compilation.provenance.licence,
        training_data=compilation.provenance.training_data,
        teacher=compilation.provenance.teacher,
        measured=measured,
        temperature=temperature,
    )
    floating = None
    if compilation.weights:
        floating = floating_answers(original, tiles, compilation.bands, description.output)
    golden, notice = (
        golden_answers(tiles, answers, floating),
        _notice(description, compilation.provenance.network),
    )
    write_package(out, description, card.model, golden, notice, compilation.weights)
    return load_package(out)


def _check_bands_and_levels(compilation: Compilation) -> None:
    in_order(compilation.bands)
    levels = compilation.levels
    if len({*levels}) < len(levels) or not {*levels} <= {*LEVELS}:
        cause = f"must be different ones of {', '.join(LEVELS)}, got {', '.join(levels)}"
        raise UsageError("the levels", cause, "Give --levels L1C, or L1C,L2A")
    if "B10" in compilation.bands and "L2A" in levels:
        cause = "has no B10, so a package with B10 cannot process it"
        raise UsageError("level L2A", cause, "Give --levels L1C, or bands without B10")


def _check_weights(weights: Path, bands: int) -> None:
    """The file is packed as it is; only the engines that need it would find it unusable."""
    if weights.suffix != ".npz":
        raise UsageError(
            weights,
            "is not a .npz file of float16 weights",
            "Give the file that export --keep wrote",
        )
    read_dtacsnet(weights, bands)


def _choose(
    float_graph: onnx.ModelProto, original: Network, taught: Path, compilation: Compilation
) -> CardGraph:
    """Calibrate on the training tiles, and choose the ranges on the validation tiles."""
    taught_tiles = read_taught_tiles(taught)
    for part in ("training", "validation"):
        if not any(tile.part == part for tile in taught_tiles):
            cure = "Label images of such regions, or simulated ones (label --simulated-kept)"
            raise UsageError(taught, f"has no tiles for {part}", cure)
    tiles = [tile for tile in taught_tiles if tile.part == "training"]
    ordered = in_order(compilation.bands)
    return choose(
        float_graph,
        original,
        calibration_windows(tiles, compilation.windows, compilation.seed, ordered),
        lambda: read_judged_tiles(taught, "validation"),
        compilation.bands,
        compilation.ranges,
    )


def _calibration(known: Margins, temperature: float) -> dict[str, float]:
    """How far probabilities are from what was true, of tiles kept out."""
    if not known.true.size:
        return {}
    error = expected_calibration_error(known.probabilities(temperature), known.true)
    return {"expected_calibration_error": error}


def _notice(description: PackageDescription, network: str) -> str:
    lines = [
        f"{description.name} {description.version}: weights of the {network} network.",
        f"Licence of the weights: {description.licence}.",
        "",
        "Trained on modified Copernicus Sentinel data:",
    ]
    lines += [
        f"- {data.source} ({data.licence}); {data.regions}" for data in description.training_data
    ]
    if description.teacher:
        lines += ["", f"Teacher: {description.teacher.name} ({description.teacher.licence})."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "model",
        type=Path,
        help="float ONNX graph (deploy.model.export); with --recalibrate the folder of a package",
    )
    parser.add_argument("out", type=Path, help="package folder to create, NAME-VERSION")
    parser.add_argument("--calibration", type=Path, help="folder that label wrote")
    parser.add_argument(
        "--recalibrate",
        type=Path,
        metavar="TILES",
        help="folder of downlinked images (.npz with bands, and sources.toml if they have"
        " offsets or another order): a new release with the weights of a package",
    )
    parser.add_argument(
        "--key", type=Path, help="with --recalibrate: the release key that signs the new package"
    )
    parser.add_argument(
        "--provenance",
        type=Path,
        help=f"origin of these weights (TOML); {_OURS} is that of the weights that ship",
    )
    parser.add_argument("--bands", default=",".join(BANDS), help="order of the graph's channels")
    parser.add_argument(
        "--levels", default="L1C,L2A", help="processing levels that it was trained on"
    )
    parser.add_argument(
        "--distances",
        default=",".join(map(str, Compilation.ground_sample_distances)),
        help="ground sample distances in metres that it was trained on (default: %(default)s)",
    )
    parser.add_argument(
        "--ranges",
        choices=get_args(Ranges),
        help="how activation ranges are chosen (default: the best kind)",
    )
    parser.add_argument(
        "--weights", type=Path, help="weights for engines other than the card (export --keep)"
    )
    parser.add_argument(
        "--windows", type=int, default=Compilation.windows, help="calibration windows (%(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=Compilation.seed, help="random seed (%(default)s)"
    )
    arguments = parser.parse_args()
    if not arguments.recalibrate and not (arguments.calibration and arguments.provenance):
        parser.error("give --calibration and --provenance, or --recalibrate")
    package = _recalibrate(arguments) if arguments.recalibrate else _compile(arguments)
    print((package.folder / "package.json").read_text())


def _distances(given: str) -> tuple[int, ...]:
    if not all(one.isdecimal() and int(one) for one in given.split(",")):
        raise UsageError(
            "--distances", f"must be whole metres above 0, got {given!r}", "Give 10,20"
        )
    return tuple(map(int, given.split(",")))


def _recalibrate(arguments: argparse.Namespace) -> ModelPackage:
    former = load_package(arguments.model)
    require_new_release(former, arguments.out)
    if arguments.key:
        read_secret_key(arguments.key)  # before the work, not after it
    tiles = read_scenes(arguments.recalibrate)
    how = Recalibration(arguments.ranges, arguments.windows, arguments.seed)
    package = recalibrate(former, float_graph_of(former), tiles, arguments.out, how)
    if arguments.key:
        sign(package.folder, arguments.key)
    return package


def _compile(arguments: argparse.Namespace) -> ModelPackage:
    compilation = Compilation(
        provenance=read_provenance(arguments.provenance),
        bands=tuple(arguments.bands.split(",")),
        levels=tuple(arguments.levels.split(",")),
        ground_sample_distances=_distances(arguments.distances),
        ranges=arguments.ranges,
        windows=arguments.windows,
        seed=arguments.seed,
        weights=arguments.weights,
    )
    return compile_package(arguments.model, arguments.out, arguments.calibration, compilation)


if __name__ == "__main__":
    with one_line_errors("compile"):
        main()
