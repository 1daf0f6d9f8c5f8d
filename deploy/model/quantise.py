"""Post-training quantisation of a float ONNX graph, and the INT8 inputs and outputs of the card."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from deploy.model.calibrate import TensorSample, least_error_range, percentile_range
from deploy.model.card_input import INPUT_LIMIT, INPUT_SCALE

INPUT_ZERO_POINT: Final = -128
"""INT8 value of reflectance 0."""

OUTPUT_ZERO_POINT: Final = 0

Ranges = Literal["extremes", "percentile", "least-error"]

_CENTRED: Final = "centred_logits"
_BIAS: Final = "last_bias"
_PERCENTILE: Final = 99.99
# Two centred logits are +d/2 and -d/2: 4 is a probability of .9997, and a step of 1/32 seldom ties.
_TWO_CLASS_LIMIT: Final = 4.0


@dataclass(frozen=True)
class CardGraph:
    """The deployed graph, and the scale of its INT8 logits (zero point 0)."""

    model: onnx.ModelProto
    output_scale: float


def quantise(
    float_graph: onnx.ModelProto,
    samples: dict[str, TensorSample],
    ranges: Ranges,
    clear_lowered: float = 0.0,
) -> onnx.ModelProto:
    """Return the graph with every convolution in INT8 (QDQ), float NCHW in, centred logits out.

    Weights are INT8, one scale a channel: one for all collapses MobileNetV2's
    depthwise layers (Krishnamoorthi 2018, table 2).  Activations are UINT8:
    OpenVINO and ONNX Runtime differ if INT8 activations with a
    zero point meet zero padding (mask agreement 98.0 instead of 99.6 %), and
    ReLU outputs need no sign.  What follows the last convolution stays in the
    accumulator's precision, and takes the mean off the logits: that changes
    neither softmax nor argmax, and leaves the output's INT8 range to their difference.
    The clear logit is lowered by ``clear_lowered``, the margin that rounding cost.
    """
    float_graph = _with_clear_lowered(_with_centred_logits(float_graph), clear_lowered)
    head = _nodes_after_last_convolution(float_graph)
    head_inputs = {name for node in head for name in node.input}
    overrides = {
        name: [{"rmin": np.float32(low), "rmax": np.float32(high)}]
        for name, (low, high) in _activation_ranges(float_graph, samples, ranges).items()
        if name not in head_inputs
    }
    source = float_graph.graph.input[0]
    shape = [dimension.dim_value or 1 for dimension in source.type.tensor_type.shape.dim]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "quantised.onnx"
        quantize_static(
            float_graph,
            out,
            _OneBlankTile(source.name, shape),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[node.name for node in head],
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"TensorQuantOverrides": overrides},
        )
        outputs = {name for node in head for name in node.output}
        return _without_rounding_before(onnx.load(str(out)), outputs)


def with_card_interface(quantised: onnx.ModelProto, output_limit: float) -> CardGraph:
    """Give the graph the card's INT8 NHWC input and output."""
    model = copy.deepcopy(quantised)
    graph = model.graph
    scale = output_limit / 127
    bands, height, width = (d.dim_value for d in graph.input[0].type.tensor_type.shape.dim[1:])
    classes = graph.output[0].type.tensor_type.shape.dim[1].dim_value
    reflectance, logits = graph.input[0].name, graph.output[0].name
    graph.initializer.extend(
        numpy_helper.from_array(value, name)
        for name, value in (
            ("tiles_scale", np.array(INPUT_SCALE, np.float32)),
            ("tiles_zero_point", np.array(INPUT_ZERO_POINT, np.int8)),
            ("answers_scale", np.array(scale, np.float32)),
            ("answers_zero_point", np.array(OUTPUT_ZERO_POINT, np.int8)),
        )
    )
    before = [
        helper.make_node(
            "DequantizeLinear", ["tiles", "tiles_scale", "tiles_zero_point"], ["tiles_reflectance"]
        ),
        helper.make_node("Transpose", ["tiles_reflectance"], [reflectance], perm=[0, 3, 1, 2]),
    ]
    after = [
        helper.make_node(
            "QuantizeLinear", [logits, "answers_scale", "answers_zero_point"], ["answers_nchw"]
        ),
        helper.make_node("Transpose", ["answers_nchw"], ["answers"], perm=[0, 2, 3, 1]),
    ]
    known = [value.name for value in graph.initializer] + ["tiles"]
    nodes = _in_order([*before, *graph.node, *after], known)
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.input.append(
        helper.make_tensor_value_info("tiles", TensorProto.INT8, ["N", height, width, bands])
    )
    graph.output.append(
        helper.make_tensor_value_info("answers", TensorProto.INT8, ["N", height, width, classes])
    )
    _drop_unused(graph)
    onnx.checker.check_model(model, full_check=True)
    return CardGraph(model, float(np.float32(scale)))


def output_limit(float_graph: onnx.ModelProto, samples: dict[str, TensorSample]) -> float:
    """Largest centred logit that the INT8 output holds; beyond it, two classes are certain."""
    logits = float_graph.graph.output[0]
    if logits.type.tensor_type.shape.dim[1].dim_value == 2:
        return _TWO_CLASS_LIMIT
    sample = samples[logits.name]
    return max(_TWO_CLASS_LIMIT, sample.high, -sample.low)


def _with_centred_logits(float_graph: onnx.ModelProto) -> onnx.ModelProto:
    model = copy.deepcopy(float_graph)
    output = model.graph.output[0]
    logits, output.name = output.name, _CENTRED
    model.graph.node.extend(
        (
            helper.make_node("ReduceMean", [logits], ["mean"], "mean", axes=[1], keepdims=1),
            helper.make_node("Sub", [logits, "mean"], [_CENTRED], _CENTRED),
        )
    )
    return model


def _with_clear_lowered(float_graph: onnx.ModelProto, by: float) -> onnx.ModelProto:
    """Lower the first logit by the bias of the last convolution: another node would take time."""
    model = copy.deepcopy(float_graph)
    last = [node for node in model.graph.node if node.op_type == "Conv"][-1]
    constants = {value.name: value for value in model.graph.initializer}
    if len(last.input) == 2:  # it has no bias yet
        zeros = np.zeros(constants[last.input[1]].dims[0], np.float32)
        model.graph.initializer.append(numpy_helper.from_array(zeros, _BIAS))
        last.input.append(_BIAS)
        constants[_BIAS] = model.graph.initializer[-1]
    bias = constants[last.input[2]]
    lowered = numpy_helper.to_array(bias).copy()
    lowered[0] -= by
    bias.CopyFrom(numpy_helper.from_array(lowered, bias.name))
    return model


def _activation_ranges(
    graph: onnx.ModelProto, samples: dict[str, TensorSample], ranges: Ranges
) -> dict[str, tuple[float, float]]:
    found = {name: _range(sample, ranges) for name, sample in samples.items()}
    found[graph.graph.input[0].name] = (0.0, INPUT_LIMIT)
    return found


def _range(sample: TensorSample, ranges: Ranges) -> tuple[float, float]:
    if ranges == "extremes":
        return min(sample.low, 0.0), max(sample.high, 0.0)
    if ranges == "percentile":
        return percentile_range(sample, _PERCENTILE)
    return least_error_range(sample)


def _nodes_after_last_convolution(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    nodes = list(model.graph.node)
    last = max(index for index, node in enumerate(nodes) if node.op_type == "Conv")
    return [node for node in nodes[last + 1 :] if node.op_type != "Constant"]


def _without_rounding_before(model: onnx.ModelProto, outputs: set[str]) -> onnx.ModelProto:
    """Let the nodes with these outputs read what a convolution gives; the library rounds it."""
    made_by = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        for index, name in enumerate(node.input if outputs & {*node.output} else ()):
            back = made_by.get(name)
            if back is not None and back.op_type == "DequantizeLinear":
                node.input[index] = made_by[back.input[0]].input[0]
    _drop_unused(model.graph)
    return model


def _in_order(nodes: Iterable[onnx.NodeProto], known: Iterable[str]) -> list[onnx.NodeProto]:
    """The nodes so that each comes after what it reads."""
    ready = {*known, ""}
    waiting, ordered = list(nodes), []
    while waiting:
        able = [node for node in waiting if ready.issuperset(node.input)]
        ordered += able
        ready.update(name for node in able for name in node.output)
        waiting = [node for node in waiting if not ready.issuperset(node.output)]
    return ordered


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Remove nodes and constants that no answer depends on (bounds of fused clips, say)."""
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    constants = [value for value in graph.initializer if value.name in needed]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(constants)


class _OneBlankTile(CalibrationDataReader):  # type: ignore[misc]  # the library is untyped
    """The library insists on calibrating; every range is given, so a blank tile suffices."""

    def __init__(self, name: str, shape: list[int]) -> None:
        self._tiles: Iterator[dict[str, NDArray[np.float32]]] = iter(
            [{name: np.zeros(shape, np.float32)}]
        )

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._tiles, None)
