"""Make a package: ``python -m deploy.model.compile MODEL.onnx OUT/NAME-VERSION …``.

Calibrates, quantises, measures and writes a model package.  The folder of ``--calibration`` is what
``deploy.model.label`` wrote: its training part calibrates, its validation part
chooses the ranges, its held-out part gives the figures in ``package.json``.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray

from deploy.model.calibrate import (
    TensorSample,
    calibration_windows,
    margin_shortfall,
    sample_tensors,
)
from deploy.model.command import one_line_errors
from deploy.model.confidence import (
    Margins,
    expected_calibration_error,
    fitted_temperature,
    margins,
)
from deploy.model.crops import INPUT_SCALE
from deploy.model.dataset import BANDS, in_order
from deploy.model.equalise import equalised
from deploy.model.evaluate import score, summary
from deploy.model.golden_tiles import golden_tiles
from deploy.model.judged import JudgedTile, read_judged_tiles, stride
from deploy.model.label import read_taught_tiles
from deploy.model.networks import (
    Network,
    int8_network,
    onnx_network,
    openvino_graph,
    read_graph,
)
from deploy.model.packaging import golden_answers, refuse_existing, write_package
from deploy.model.quantise import (
    INPUT_ZERO_POINT,
    OUTPUT_ZERO_POINT,
    CardGraph,
    Ranges,
    output_limit,
    quantise,
    with_card_interface,
)
from flightsw.errors import FlightError, UsageError
from flightsw.model.description import (
    PackageDescription,
    Quantisation,
    Teacher,
    TrainingData,
)
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
    _check_bands(compilation)
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
    deployed = _deployed(card, compilation)
    temperature = fitted_temperature(margins(deployed, read_judged_tiles(taught, "validation")))
    held_out = read_judged_tiles(taught, "held_out")
    measured = _measure(card, original, held_out, compilation)
    measured |= _calibration(margins(deployed, held_out), temperature)
    tiles = golden_tiles(original.tile_size, compilation.bands)
    answers = openvino_graph(card.model)(np.stack(list(tiles.values())))
    measured["golden_contaminated_share"] = float((answers.argmax(axis=-1) > 0).mean())
    description = PackageDescription(
        name=name,
        version=version,
        bands=compilation.bands,
        levels=compilation.levels,
        quantification=_QUANTIFICATION,
        input=_INPUT,
        output=_output(card),
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
        floating = _floating_answers(original, tiles, compilation.bands, description.output)
    golden, notice = (
        golden_answers(tiles, answers, floating),
        _notice(description, compilation.provenance.network),
    )
    write_package(out, description, card.model, golden, notice, compilation.weights)
    return load_package(out)


def _check_bands(compilation: Compilation) -> None:
    in_order(compilation.bands)
    if "B10" in compilation.bands and "L2A" in compilation.levels:
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
    """Quantise with the ranges asked for, or with those whose worst and mean tile agree best."""
    taught_tiles = read_taught_tiles(taught)
    for part in ("training", "validation"):
        if not any(tile.part == part for tile in taught_tiles):
            cure = "Label images of such regions, or simulated ones (label --simulated-kept)"
            raise UsageError(taught, f"has no tiles for {part}", cure)
    tiles = [tile for tile in taught_tiles if tile.part == "training"]
    ordered = in_order(compilation.bands)
    windows = calibration_windows(tiles, compilation.windows, compilation.seed, ordered)
    channels = [ordered.index(band) for band in compilation.bands]
    side = original.tile_size
    windows = np.ascontiguousarray(windows[:, :, :side, :side])
    float_graph = equalised(float_graph, windows[:, channels])
    samples = sample_tensors(float_graph, windows[:, channels])
    kinds = (compilation.ranges,) if compilation.ranges else get_args(Ranges)

    def shortfall(card: CardGraph) -> float:
        return margin_shortfall(original, _deployed(card, compilation), windows)

    cards = {kind: _card_graph(float_graph, samples, kind, shortfall) for kind in kinds}
    if len(cards) == 1:
        return cards[kinds[0]]
    judged = read_judged_tiles(taught, "validation")
    found = {kind: _measure(card, original, judged, compilation) for kind, card in cards.items()}
    for kind, figures in found.items():
        print(
            f"{kind:12} validation agreement: mean {figures['mean_agreement']:.4%}, "
            f"worst tile {figures['worst_agreement']:.4%}"
        )
    return cards[max(found, key=lambda kind: _merit(found[kind]))]


def _merit(figures: dict[str, float]) -> float:
    return figures["worst_agreement"] + figures["mean_agreement"]


def _card_graph(
    float_graph: onnx.ModelProto,
    samples: dict[str, TensorSample],
    ranges: Ranges,
    shortfall: Callable[[CardGraph], float],
) -> CardGraph:
    limit = output_limit(float_graph, samples)
    card = with_card_interface(quantise(float_graph, samples, ranges), limit)
    lowered = with_card_interface(quantise(float_graph, samples, ranges, shortfall(card)), limit)
    # Behind the last convolution of an unknown network the clear class may be another one.
    return min(lowered, card, key=lambda one: abs(shortfall(one)))


def _measure(
    card: CardGraph, original: Network, tiles: list[JudgedTile], compilation: Compilation
) -> dict[str, float]:
    """INT8 against the reference and against FP32; FP32 sees reflectance as it is, unrounded."""
    if not tiles:
        return {}
    figures = summary(score(_deployed(card, compilation), tiles, original))
    figures["fp32_f2"] = summary(score(original, tiles))["f2"]
    figures["tiles"] = float(len(tiles))
    # NaN: no pixels to count.
    return {key: figure for key, figure in figures.items() if math.isfinite(figure)}


def _deployed(card: CardGraph, compilation: Compilation) -> Network:
    return int8_network(card.model, compilation.bands, _INPUT, _output(card))


def _calibration(known: Margins, temperature: float) -> dict[str, float]:
    """How far probabilities are from what was true, of tiles kept out."""
    if not known.true.size:
        return {}
    error = expected_calibration_error(known.probabilities(temperature), known.true)
    return {"expected_calibration_error": error}


def _floating_answers(
    original: Network,
    tiles: dict[str, NDArray[np.int8]],
    bands: tuple[str, ...],
    output: Quantisation,
) -> NDArray[np.int8]:
    """Answers of the floating-point network to the golden tiles, in INT8 steps."""
    order = [bands.index(band) for band in in_order(bands)]
    steps = np.stack(list(tiles.values())).astype(np.float32) - INPUT_ZERO_POINT
    windows = (steps * np.float32(INPUT_SCALE)).transpose(0, 3, 1, 2)[:, order]
    logits = np.concatenate([original.logits(window[None]) for window in windows])
    found = np.rint(logits.transpose(0, 2, 3, 1) / output.scale) + output.zero_point
    return np.asarray(found.clip(-128, 127), dtype=np.int8)


def _output(card: CardGraph) -> Quantisation:
    return Quantisation(card.output_scale, OUTPUT_ZERO_POINT)


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


_INPUT: Final = Quantisation(INPUT_SCALE, INPUT_ZERO_POINT)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="float ONNX graph (deploy.model.export)")
    parser.add_argument("out", type=Path, help="package folder to create, NAME-VERSION")
    parser.add_argument("--calibration", type=Path, required=True, help="folder that label wrote")
    parser.add_argument(
        "--provenance",
        type=Path,
        required=True,
        help=f"origin of these weights (TOML); {_OURS} is that of the weights that ship",
    )
    parser.add_argument("--bands", default=",".join(BANDS), help="order of the graph's channels")
    parser.add_argument(
        "--levels", default="L1C,L2A", help="processing levels that it was trained on"
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
    try:
        package = _compile(arguments)
    except FlightError as error:
        sys.exit(f"compile: {error}")
    print((package.folder / "package.json").read_text())


def _compile(arguments: argparse.Namespace) -> ModelPackage:
    compilation = Compilation(
        provenance=read_provenance(arguments.provenance),
        bands=tuple(arguments.bands.split(",")),
        levels=tuple(arguments.levels.split(",")),
        ranges=arguments.ranges,
        windows=arguments.windows,
        seed=arguments.seed,
        weights=arguments.weights,
    )
    return compile_package(arguments.model, arguments.out, arguments.calibration, compilation)


if __name__ == "__main__":
    with one_line_errors("compile"):
        main()
