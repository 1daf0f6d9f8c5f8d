"""Channels of equal range, so that one activation scale serves all channels of a tensor.

The channels of an activation differ by a factor of six in range, and the scale of INT8 follows the
largest.  A channel is multiplied by a factor where it is computed and divided by it where it is
used (Nagel et al. 2019, "Data-free quantization through weight equalization and bias correction",
section 4.1): the network stays the same, and each channel uses all 8 bits.
"""

from __future__ import annotations

import copy
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

_Nodes = dict[str, list[onnx.NodeProto]]
_Weights = dict[str, onnx.TensorProto]


@dataclass(frozen=True)
class _Use:
    """A convolution that reads the channels of a value, and the number of the first of them."""

    convolution: onnx.NodeProto
    offset: int

    @property
    def depthwise(self) -> bool:
        """Whether it has one filter, and so one weight scale, for each channel."""
        return any(one.name == "group" and one.i > 1 for one in self.convolution.attribute)


@dataclass(frozen=True)
class _Value:
    """What a convolution gives, behind its activation if it has one, to convolutions alone."""

    name: str
    producer: onnx.NodeProto
    activation: onnx.NodeProto | None
    uses: tuple[_Use, ...]


def equalised(float_graph: onnx.ModelProto, windows: NDArray[np.float32]) -> onnx.ModelProto:
    """Return the graph with the channels of its activations equal in range.

    ``windows`` float32 ``(n, bands, side, side)`` are reflectance.  Its answers to them stay the
    same but for float rounding; a Clip then cuts a channel at the largest value that they gave.
    """
    model = copy.deepcopy(float_graph)
    weights = {value.name: value for value in model.graph.initializer}
    values = _values(model, weights)
    limits = _limits(model)
    largest = _largest(model, [value.name for value in values], windows)
    for value, reached in zip(values, largest, strict=True):
        limit = float(reached.max())
        if value.activation is not None:
            limit = limits.get(value.activation.name, limit)
        most = None if all(use.depthwise for use in value.uses) else _LARGEST_FACTOR
        factors = (limit / np.maximum(reached, _NO_VALUE)).clip(1, most)
        for name in value.producer.input[1:]:
            _multiply(weights[name], factors, axis=0)
        for use in value.uses:
            name, axis = use.convolution.input[1], 0 if use.depthwise else 1
            shares = np.ones(weights[name].dims[axis])
            shares[use.offset : use.offset + len(factors)] = 1 / factors
            _multiply(weights[name], shares, axis)
    return model


def _values(model: onnx.ModelProto, weights: _Weights) -> list[_Value]:
    outputs = {output.name for output in model.graph.output}
    users: _Nodes = {}
    for node in model.graph.node:
        for name in {*node.input} - outputs:
            users.setdefault(name, []).append(node)
    found = []
    for node in model.graph.node:
        if not _is_known(node, weights):
            continue
        name, activation = node.output[0], None
        following = users.get(name, [])
        if len(following) == 1 and following[0].op_type in _ACTIVATIONS:
            activation = following[0]
            name = activation.output[0]
        uses = _uses(name, weights[node.input[1]].dims[0], users, weights)
        if uses:
            found.append(_Value(name, node, activation, uses))
    return found


def _uses(name: str, channels: int, users: _Nodes, weights: _Weights) -> tuple[_Use, ...]:
    """The convolutions that the channels reach unchanged; none if anything else reads them."""
    found: list[_Use] = []
    for node in users.get(name, []):
        uses: tuple[_Use, ...] = ()
        if _is_known(node, weights):
            uses = (_Use(node, 0),)
        elif node.op_type == "Resize":
            uses = _uses(node.output[0], channels, users, weights)
        elif node.op_type == "Concat":
            uses = _uses_of_part(name, node, channels, users, weights)
        if not uses:
            return ()
        found += uses
    return tuple(found)


def _uses_of_part(
    name: str, concatenation: onnx.NodeProto, channels: int, users: _Nodes, weights: _Weights
) -> tuple[_Use, ...]:
    """The same of the first or last part of a concatenation."""
    readers = users.get(concatenation.output[0], [])
    parts, (axis,) = list(concatenation.input), [one.i for one in concatenation.attribute]
    if axis != 1 or parts.count(name) != 1 or not all(_is_known(node, weights) for node in readers):
        return ()
    if name == parts[0]:
        return tuple(_Use(node, 0) for node in readers)
    if name == parts[-1]:
        return tuple(_Use(node, _inputs(node, weights) - channels) for node in readers)
    return ()


def _inputs(convolution: onnx.NodeProto, weights: _Weights) -> int:
    groups = [one.i for one in convolution.attribute if one.name == "group"] or [1]
    return int(weights[convolution.input[1]].dims[1] * groups[0])


def _is_known(node: onnx.NodeProto, weights: _Weights) -> bool:
    """Whether it is a convolution with constant weights."""
    return node.op_type == "Conv" and weights.keys() >= {*node.input[1:]}


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
    """The largest size of each channel of each tensor ``(1, channels, rows, columns)``."""
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
        tensors = session.run(names, {source: window[None]})
        values = [np.abs(one[0]).max(axis=(1, 2)) for one in tensors]
        reached = [np.maximum(*both) for both in zip(reached or values, values, strict=True)]
    return reached


def _multiply(weights: onnx.TensorProto, factors: NDArray[Any], axis: int) -> None:
    values = numpy_helper.to_array(weights)
    shape = [1] * values.ndim
    shape[axis] = -1
    scaled = (values * factors.reshape(shape)).astype(np.float32)
    weights.CopyFrom(numpy_helper.from_array(scaled, weights.name))
