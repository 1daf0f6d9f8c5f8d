"""Write a model package, completely or not at all."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from deploy.model.command import write_json
from flightsw.errors import OutputNotWritable
from flightsw.host.disk import sha256, sync
from flightsw.model.description import PackageDescription
from flightsw.model.package import (
    CHECKSUMS,
    COMPILED_FOLDERS,
    DESCRIPTION,
    EXPERIENCE,
    GOLDEN,
    NETWORK,
    NOTICE,
    SIGNATURE,
    GoldenTiles,
)
from flightsw.model.sound_scenes import Examples, SoundScenes, write_sound_scenes

GRAPH: Final = "compiled_model/quantized_model.onnx"

_PADDED_CHANNELS: Final = 64  # the vendor's compiler pads output channels to this
_NO_PADDING: Final = [0] * 8
_MANIFEST_VERSION: Final = "1.0"


def write_package(
    out: Path,
    description: PackageDescription,
    graph: onnx.ModelProto,
    golden: GoldenTiles,
    notice: str,
    weights: Path | None = None,
    experience: tuple[SoundScenes, Examples] | None = None,
) -> None:
    """Write the package folder ``out``: all of it beside its place, then renamed.

    ``weights`` is the floating-point network's file, for engines other than the card,
    ``experience`` what the model was measured on.  Raises :class:`OutputNotWritable` if ``out``
    exists.
    """
    refuse_existing(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        _write_files(folder, description, graph, golden, notice, weights, experience)
        folder.chmod(0o755)  # mkdtemp keeps others out
        for path in (*folder.rglob("*"), folder):
            sync(path)
        folder.rename(out)
        sync(out.parent)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def refuse_existing(out: Path) -> None:
    """Released packages are never overwritten."""
    if out.exists():
        raise OutputNotWritable(out, "already exists", "Remove it, or choose another version")


def checksum_lines(folder: Path) -> str:
    """``SHA256SUMS`` of every file in ``folder``, as ``sha256sum -c`` reads it."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    listed = sorted(set(names) - {CHECKSUMS, SIGNATURE})
    return "".join(f"{sha256(folder / name)}  {name}\n" for name in listed)


def _write_files(
    folder: Path,
    description: PackageDescription,
    graph: onnx.ModelProto,
    golden: GoldenTiles,
    notice: str,
    weights: Path | None,
    experience: tuple[SoundScenes, Examples] | None,
) -> None:
    for name, batch in COMPILED_FOLDERS.values():
        (folder / name).mkdir()
        write_json(folder / name / "model.json", _model(name, description))
        write_json(folder / name / "manifest.json", _manifest(name, batch, description))
    onnx.save(graph, str(folder / GRAPH))
    write_json(folder / DESCRIPTION, description)
    arrays = {"tiles": golden.tiles, "logits": golden.logits, "names": np.array(golden.names)}
    if golden.floating_logits is not None:
        arrays["floating_logits"] = golden.floating_logits
    np.savez_compressed(
        folder / GOLDEN,
        allow_pickle=False,
        **arrays,
        margin=golden.margin,
        least_agreement=golden.least_agreement,
        largest_mean_deviation=golden.largest_mean_deviation,
    )
    if weights:
        shutil.copyfile(weights, folder / NETWORK)
    if experience:
        write_sound_scenes(folder / EXPERIENCE, *experience)
    (folder / NOTICE).write_text(notice, encoding="utf-8")
    (folder / CHECKSUMS).write_text(checksum_lines(folder), encoding="utf-8")


def _model(name: str, description: PackageDescription) -> dict[str, str]:
    return {
        "name": f"{description.name}-{description.version}-{name}",
        "manifest": "manifest.json",
    }


def _manifest(name: str, batch: int, description: PackageDescription) -> dict[str, Any]:
    """The vendor's keys; the card's own binaries are empty in a build for the simulator."""
    tile = [batch, description.tile_size, description.tile_size]
    classes = len(description.classes)
    inside = GRAPH.removeprefix(f"{name}/")
    return {
        "manifest_version": _MANIFEST_VERSION,
        "model_lib_file": "",
        "model_params_file": "",
        "quantized_model_file": inside if inside != GRAPH else f"../{GRAPH}",
        "preprocess_graph": "",
        "postprocess_graph": "",
        "input_tensor_layout": "NHWC",
        "input_shapes": [[*tile, len(description.bands)]],
        "input_dtypes": ["int8"],
        "n_padded_ch_inputs": [_NO_PADDING],
        "quantize_params": [description.input.as_pair()],
        "output_shapes": [[*tile, _PADDED_CHANNELS]],
        "output_dtypes": ["int8"],
        "n_padded_ch_outputs": [[*_NO_PADDING[:-1], _PADDED_CHANNELS - classes]],
        "dequantize_params": [description.output.as_pair()],
    }


def golden_answers(
    tiles: dict[str, NDArray[np.int8]],
    logits: NDArray[np.int8],
    floating_logits: NDArray[np.int8] | None = None,
) -> GoldenTiles:
    """Golden tiles with the deviation that any correct arithmetic stays within."""
    return GoldenTiles(
        tiles=np.stack(list(tiles.values())),
        logits=logits,
        floating_logits=floating_logits,
        names=tuple(tiles),
        margin=_MARGIN,
        least_agreement=_LEAST_AGREEMENT,
        largest_mean_deviation=_LARGEST_MEAN_DEVIATION,
    )


# ONNX Runtime against OpenVINO: mean deviation .1 of a step, at most 3, and .9993 of all pixels.
_MARGIN: Final = 6
_LEAST_AGREEMENT: Final = 0.999
_LARGEST_MEAN_DEVIATION: Final = 1.0
