"""Channels of equal range, so that one activation scale serves all channels of a tensor.

The channels of an activation differ by a factor of six in range, and the scale of INT8 follows the
largest.  A channel is multiplied by a factor where it is computed and divided by it where it is
used (Nagel et al. 2019, "Data-free quantization through weight equalization and bias correction",
section 4.1): the network stays the same, and each channel uses all 8 bits.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper

_ACTIVATIONS: Final = ("Clip", "Relu")
_LARGEST_FACTOR: Final = 4.0
"""Into a dense convolution: its weights share one scale a filter, and larger factors cost there."""
_NO_VALUE: Final = 1e-6


@dataclass(frozen=True)
class _Pair:
    """``producer`` → ``activation`` → ``consumer``, two convolutions and nothing else beside."""

    producer: onnx.NodeProto
    activation: onnx.NodeProto
    consumer: onnx.NodeProto

    @property
    def depthwise(self) -> bool:
        """Whether the consumer has one filter, and so one weight scale, for each channel."""
        return any(one.name == "group" and one.i > 1 for one in self.consumer.attribute)


def equalised(float_graph: onnx.ModelProto, windows: NDArray[np.float32]) -> onnx.ModelProto:
    """Return the graph with the channels of its activations equal in range.

    ``windows`` float32 ``(n, bands, side, side)`` are reflectance.  Its answers to them stay the
    same but for float rounding; a Clip then cuts a channel at the largest value that they gave.
    """
    model = copy.deepcopy(float_graph)
    weights = {value.name: value for value in model.graph.initializer}
    pairs = [
        pair
        for pair in _pairs(model)
        if {*pair.producer.input[1:], pair.consumer.input[1]} <= weights.keys()
    ]
    largest = _largest(model, [pair.activation.output[0] for pair in pairs], windows)
    limits = _limits(model)
    for pair, reached in zip(pairs, largest, strict=True):
        limit = limits.get(pair.activation.name, float(reached.max()))
        most = None if pair.depthwise else _LARGEST_FACTOR
        factors = (limit / np.maximum(reached, _NO_VALUE)).clip(1, most)
        for name in pair.producer.input[1:]:
            _multiply(weights[name], factors, axis=0)
        _multiply(weights[pair.consumer.input[1]], 1 / factors, axis=0 if pair.depthwise else 1)
    return model


def _pairs(model: onnx.ModelProto) -> Iterator[_Pair]:
    made_by = {name: node for node in model.graph.node for name in node.output}
    outputs = {output.name for output in model.graph.output}

    def only_user(name: str) -> onnx.NodeProto | None:
        users = [node for node in model.graph.node if name in node.input]
        return users[0] if len(users) == 1 and name not in outputs else None

    for node in model.graph.node:
        if node.op_type not in _ACTIVATIONS:
            continue
        producer, consumer = made_by.get(node.input[0]), only_user(node.output[0])
        if producer is None or consumer is None or only_user(node.input[0]) is None:
            continue
        if producer.op_type == consumer.op_type == "Conv":
            yield _Pair(producer, node, consumer)


def _limits(model: onnx.ModelProto) -> dict[str, float]:
    """Upper limit of each Clip with a constant one."""
    constants = {value.name: numpy_helper.to_array(value) for value in model.graph.initializer}
    constants |= {
        node.output[0]: numpy_helper.to_array(node.attribute[0].t)
        for node in model.graph.node
        if node.op_type == "Constant"
    }
    return {
        node.name: float(constants[node.input[2]])
        for node in model.graph.node
        if node.op_type == "Clip" and len(node.input) > 2 and node.input[2] in constants
    }


def _largest(
    model: onnx.ModelProto, names: list[str], windows: NDArray[np.float32]
) -> list[NDArray[np.float32]]:
    """The largest value of each channel of each tensor ``(1, channels, rows, columns)``."""
    if not names:
        return []
    shown = copy.deepcopy(model)
    shown.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    session = onnxruntime.InferenceSession(
        shown.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    source = session.get_inputs()[0].name
    reached: list[NDArray[np.float32]] = []
    for window in windows:
        values = [one[0].max(axis=(1, 2)) for one in session.run(names, {source: window[None]})]
        reached = [np.maximum(*both) for both in zip(reached or values, values, strict=True)]
    return reached


def _multiply(weights: onnx.TensorProto, factors: NDArray[Any], axis: int) -> None:
    values = numpy_helper.to_array(weights)
    shape = [1] * values.ndim
    shape[axis] = -1
    scaled = (values * factors.reshape(shape)).astype(np.float32)
    weights.CopyFrom(numpy_helper.from_array(scaled, weights.name))
