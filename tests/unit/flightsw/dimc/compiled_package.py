"""Writes compiled model folders with a tiny INT8 network whose answers numpy computes exactly."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SIZE = 8
BANDS = 4
SCALE = 1 / 64
INPUT_ZERO_POINT = -100
OUTPUT_ZERO_POINT = 7


@dataclass(frozen=True)
class TinyNetwork:
    """A 1 x 1 convolution with whole-number weights, so that no value needs rounding."""

    classes: int = 2

    @property
    def weights(self) -> NDArray[np.float32]:
        return np.random.default_rng(1).integers(-1, 2, (self.classes, BANDS)).astype(np.float32)

    def answer(self, tiles: NDArray[np.int8]) -> NDArray[np.int8]:
        """What the network answers to unpadded int8 NHWC tiles."""
        real = (tiles.astype(np.float64) - INPUT_ZERO_POINT) * SCALE
        logits = real @ self.weights.T.astype(np.float64)
        quantised = np.rint(logits / SCALE + OUTPUT_ZERO_POINT)
        answer: NDArray[np.int8] = quantised.clip(-128, 127).astype(np.int8)
        return answer

    def write(self, path: Path, batch: int | str = "N") -> None:
        constants = {
            "scale": np.float32(SCALE),
            "input_zero_point": np.int8(INPUT_ZERO_POINT),
            "output_zero_point": np.int8(OUTPUT_ZERO_POINT),
            "weights": self.weights[:, :, None, None],
        }
        nodes = [
            helper.make_node(
                "DequantizeLinear", ["tiles", "scale", "input_zero_point"], ["reflectance"]
            ),
            helper.make_node("Transpose", ["reflectance"], ["nchw"], perm=[0, 3, 1, 2]),
            helper.make_node("Conv", ["nchw", "weights"], ["scores"]),
            helper.make_node("Transpose", ["scores"], ["nhwc"], perm=[0, 2, 3, 1]),
            helper.make_node("QuantizeLinear", ["nhwc", "scale", "output_zero_point"], ["logits"]),
        ]
        graph = helper.make_graph(
            nodes,
            "tiny",
            [helper.make_tensor_value_info("tiles", TensorProto.INT8, [batch, SIZE, SIZE, BANDS])],
            [
                helper.make_tensor_value_info(
                    "logits", TensorProto.INT8, [batch, SIZE, SIZE, self.classes]
                )
            ],
            [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()],
        )
        opsets = [helper.make_opsetid("", 17)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), str(path))


def write_compiled_model(
    package: Path,
    *,
    batch: int = 1,
    input_padding: Sequence[int] = (0,) * 8,
    output_padding: Sequence[int] = (0, 0, 0, 0, 0, 0, 0, 62),
    network: TinyNetwork = TinyNetwork(),
    arrangement: str = "spatial",
    **changes: Any,
) -> Path:
    """Write ``<package>/tiny.onnx`` and ``<package>/<arrangement>/``; return its ``model.json``.

    ``changes`` replace values of the manifest; ``None`` leaves the key out.
    """
    folder = package / arrangement
    folder.mkdir(parents=True, exist_ok=True)
    network.write(package / "tiny.onnx")
    manifest: dict[str, Any] = {
        "quantized_model_file": "../tiny.onnx",
        "quantize_params": [[SCALE, INPUT_ZERO_POINT]],
        "dequantize_params": [[SCALE, OUTPUT_ZERO_POINT]],
        "input_shapes": [padded_shape((batch, SIZE, SIZE, BANDS), input_padding)],
        "input_dtypes": ["int8"],
        "output_shapes": [padded_shape((batch, SIZE, SIZE, network.classes), output_padding)],
        "output_dtypes": ["int8"],
        "n_padded_ch_inputs": [list(input_padding)],
        "n_padded_ch_outputs": [list(output_padding)],
        "input_tensor_layout": "NHWC",
        **changes,
    }
    kept = {key: value for key, value in manifest.items() if value is not None}
    (folder / "manifest.json").write_text(json.dumps(kept))
    model = {"name": "tiny", "version": "1", "manifest": "manifest.json"}
    (folder / "model.json").write_text(json.dumps(model))
    return folder / "model.json"


def padded_shape(shape: Sequence[int], padding: Sequence[int]) -> list[int]:
    pairs = zip(padding[::2], padding[1::2], strict=True)
    return [n + begin + end for n, (begin, end) in zip(shape, pairs, strict=True)]


def random_tiles(count: int, seed: int = 0) -> NDArray[np.int8]:
    return np.random.default_rng(seed).integers(-128, 128, (count, SIZE, SIZE, BANDS), np.int8)
