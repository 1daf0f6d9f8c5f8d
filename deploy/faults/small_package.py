"""A model package with a network of one layer: campaigns start a service a thousand times.

Everything else of the package is the shipped one's, so that the whole chain is real.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from flightsw.dimc.compiled_model import read_compiled_model
from flightsw.dimc.simulator.int8_graph import Int8Graph
from flightsw.model.package import COMPILED_FOLDERS, load_package

_GOLDEN: Final = 2
_GRAPH: Final = "quantized_model.onnx"
_BRIGHT: Final = 0.25  # reflectance above which a pixel is contaminated


def write_small_package(
    folder: Path, version: str = "1.0", bands: tuple[str, ...] | None = None
) -> Path:
    """Write the package into a new folder, and return it; ``bands`` None: the shipped one's."""
    shipped = load_package()
    bands = bands or shipped.bands
    for arrangement in COMPILED_FOLDERS:
        compiled = shipped.compiled_model(arrangement)
        (folder / compiled.name).mkdir(parents=True)
        (folder / compiled.name / "model.json").write_bytes((compiled / "model.json").read_bytes())
        manifest = json.loads((compiled / "manifest.json").read_text())
        manifest["input_shapes"][0][-1] = len(bands)
        (folder / compiled.name / "manifest.json").write_text(json.dumps(manifest))
    inside = folder / shipped.compiled_model("spatial").name
    side = shipped.tile_size
    onnx.save(
        _network(side, len(bands), shipped.input.as_pair(), shipped.output.as_pair()),
        inside / _GRAPH,
    )
    tiles = np.random.default_rng(1).integers(-128, 128, (_GOLDEN, side, side, len(bands)), np.int8)
    golden = shipped.golden_tiles()
    request = Int8Graph(read_compiled_model(inside / "model.json"), 1).new_request()
    logits = np.zeros((_GOLDEN, side, side, len(shipped.classes)), np.int8)
    for tile, answer in zip(tiles, logits, strict=True):
        request.start(tile[None])
        request.wait(60)
        request.write(answer[None])
    np.savez_compressed(
        folder / "golden.npz",
        tiles=tiles,
        logits=logits,
        names=np.array([f"noise {number}" for number in range(_GOLDEN)]),
        margin=golden.margin,
        least_agreement=golden.least_agreement,
        largest_mean_deviation=golden.largest_mean_deviation,
    )
    described = json.loads((shipped.folder / "package.json").read_text())
    described |= {"name": "one-layer", "version": version, "bands": bands}
    if bands != shipped.bands:
        del described["first_look"]  # measured for the shipped network
    (folder / "package.json").write_text(json.dumps(described))
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    (folder / "SHA256SUMS").write_text(
        "".join(
            f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n"
            for path in files
        )
    )
    return folder


def _network(
    side: int, bands: int, source: tuple[float, int], answer: tuple[float, int]
) -> onnx.ModelProto:
    weights = np.repeat([[-4.0 / bands, 4.0 / bands]], bands, axis=0).astype(np.float32)
    constants = {
        "source_scale": np.float32(source[0]),
        "source_zero": np.int8(source[1]),
        "weights": weights,
        "bias": np.array([4 * _BRIGHT, -4 * _BRIGHT], np.float32),
        "answer_scale": np.float32(answer[0]),
        "answer_zero": np.int8(answer[1]),
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["tiles", "source_scale", "source_zero"], ["input"]),
        helper.make_node("MatMul", ["input", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["logits"]),
        helper.make_node("QuantizeLinear", ["logits", "answer_scale", "answer_zero"], ["answers"]),
    ]
    graph = helper.make_graph(
        nodes,
        "one-layer",
        [helper.make_tensor_value_info("tiles", TensorProto.INT8, ["N", side, side, bands])],
        [helper.make_tensor_value_info("answers", TensorProto.INT8, ["N", side, side, 2])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model
