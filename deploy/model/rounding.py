"""Weights on the grid of INT8, rounded together rather than one by one.

What a filter of rounded weights answers wrongly depends on what it is given: bands and neighbouring
pixels rise and fall together, and so do the errors of weights that were rounded the same way.
Each filter takes the integers whose error matters least for the inputs that it meets, and the mean
of what is left goes into its bias (Nagel et al. 2021, "A white paper on neural network
quantization", sections 3.2 and 4.4; the search is coordinate descent from the nearest integers).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from deploy.model.calibrate import contamination_margin

Values = NDArray[np.float64]

_LARGEST: Final = 127
_STEPS: Final = np.linspace(0.985, 1.003, 13)[:, None, None, None]
"""What a filter's step may be, in 127ths of its largest weight: the sum of the filter fits one."""
_SWEEPS: Final = 3
_MOST_WEIGHTS: Final = 16_384
"""Of a convolution.  In larger ones the errors average out, and the search takes long."""
_RIDGE: Final = 0.01
"""Of the mean variance: inputs that hardly vary here may do so elsewhere."""
_POSITIONS: Final = 256  # of each convolution, from each window
_SURE: Final = 0.1
"""The weight of pixels that nothing can turn, beside those in doubt."""


@dataclass
class _Inputs:
    """Sums over what the filters of a convolution met, for each of its groups."""

    count: int
    total: Values
    squares: Values


@dataclass(frozen=True)
class _Convolution:
    """A node, and its weights as ``(groups, filters, inputs of a filter)``."""

    node: onnx.NodeProto
    weights: Values
    kernel: tuple[int, int]

    @property
    def source(self) -> str:
        return str(self.node.input[0])


def rounded(
    float_graph: onnx.ModelProto, windows: NDArray[np.float32], seed: int = 0
) -> onnx.ModelProto:
    """Return the graph with weights that rounding to INT8, one scale a filter, does not change.

    ``windows`` float32 ``(n, bands, side, side)`` are reflectance.  Pixels that the network doubts
    count most.  Convolutions whose filters have many inputs stay as they are.
    """
    model = copy.deepcopy(float_graph)
    constants = {value.name: value for value in model.graph.initializer}
    found = list(_convolutions(model, constants))
    for convolution, met in zip(found, _met(model, found, windows, seed), strict=True):
        mean = met.total / met.count
        spread = met.squares / met.count
        bias = convolution.node.input[2] if len(convolution.node.input) > 2 else None
        if bias:
            spread = spread - mean[:, :, None] * mean[:, None, :]
        chosen = on_grid(convolution.weights, spread)
        if bias:
            lost = np.einsum("gfi,gi->gf", chosen - convolution.weights, mean).reshape(-1)
            _replace(constants[bias], numpy_helper.to_array(constants[bias]) - lost)
        weights = constants[convolution.node.input[1]]
        _replace(weights, chosen.reshape(tuple(weights.dims)))
    return model


def on_grid(weights: Values, spread: Values) -> Values:
    """Weights ``(groups, filters, inputs)``, each filter in integer multiples of its own step.

    ``spread`` ``(groups, inputs, inputs)``: the mean of the products of each two inputs.  The
    largest weight of a filter becomes 127 steps, so that the step is known from the weights.
    """
    inputs = weights.shape[-1]
    ridge = _RIDGE * np.einsum("gii->g", spread) / inputs + np.finfo(np.float64).tiny
    spread = spread + ridge[:, None, None] * np.eye(inputs)
    size = np.abs(weights)
    largest = size.max(axis=-1, keepdims=True)
    stays = np.arange(inputs) == size.argmax(axis=-1)[..., None]
    step = np.maximum(largest / _LARGEST, np.finfo(np.float32).tiny) * _STEPS
    steps = np.rint(weights / step).clip(-_LARGEST, _LARGEST)
    slope = (steps * step - weights) @ spread
    for index in [*range(inputs)] * _SWEEPS:
        curve = spread[:, index, index, None] * step[..., 0]
        better = np.rint(steps[..., index] - slope[..., index] / curve).clip(-_LARGEST, _LARGEST)
        change = np.where(stays[..., index], 0, better - steps[..., index])
        steps[..., index] += change
        slope += (change * step[..., 0])[..., None] * spread[:, None, index]
    error = ((steps * step - weights) * slope).sum(axis=-1)
    best = error.argmin(axis=0)[None, ..., None]
    return np.asarray(np.take_along_axis(steps * step, best, axis=0)[0])


def _convolutions(
    model: onnx.ModelProto, constants: dict[str, onnx.TensorProto]
) -> Iterator[_Convolution]:
    used = [name for node in model.graph.node for name in node.input]
    for node in model.graph.node:
        if node.op_type != "Conv" or _attribute(node, "auto_pad", b"NOTSET") != b"NOTSET":
            continue
        if any(name not in constants or used.count(name) > 1 for name in node.input[1:]):
            continue
        values = numpy_helper.to_array(constants[node.input[1]]).astype(np.float64)
        groups = _attribute(node, "group", 1)
        weights = values.reshape(groups, len(values) // groups, -1)
        if values.ndim == 4 and values.size <= _MOST_WEIGHTS:
            yield _Convolution(node, weights, values.shape[2:])


def _met(
    model: onnx.ModelProto,
    convolutions: Sequence[_Convolution],
    windows: NDArray[np.float32],
    seed: int,
) -> list[_Inputs]:
    """What each convolution is given, at random positions that the network's doubt makes likely."""
    shown = copy.deepcopy(model)
    source, answer = shown.graph.input[0].name, shown.graph.output[0].name
    names = list(dict.fromkeys(one.source for one in convolutions if one.source != source))
    shown.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    session = onnxruntime.InferenceSession(
        shown.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    random = np.random.default_rng(seed)
    met = [_Inputs(0, np.zeros(1), np.zeros(1)) for _ in convolutions]
    for window in windows:
        logits, *values = session.run([answer, *names], {source: window[None]})
        given = {source: window, **{name: one[0] for name, one in zip(names, values, strict=True)}}
        doubt = _SURE + 1 / (1 + np.square(contamination_margin(logits)[0], dtype=np.float64))
        for convolution, sums in zip(convolutions, met, strict=True):
            inputs = _patches(convolution, given[convolution.source], doubt, random)
            sums.count += inputs.shape[1]
            sums.total = sums.total + inputs.sum(axis=1)
            sums.squares = sums.squares + inputs.transpose(0, 2, 1) @ inputs
    return met


def _patches(
    convolution: _Convolution,
    values: NDArray[np.float32],
    doubt: Values,
    random: np.random.Generator,
) -> Values:
    """What the filters see at ``_POSITIONS`` of their outputs: ``(groups, positions, inputs)``."""
    node, kernel = convolution.node, convolution.kernel
    top, left, bottom, right = _attribute(node, "pads", [0] * 4)
    strides, dilations = (_attribute(node, name, [1, 1]) for name in ("strides", "dilations"))
    padded = np.pad(values, ((0, 0), (top, bottom), (left, right)))
    rows, columns = (
        (size - dilation * (width - 1) - 1) // stride + 1
        for size, width, stride, dilation in zip(
            padded.shape[1:], kernel, strides, dilations, strict=True
        )
    )
    likely = doubt[
        np.ix_(
            np.arange(rows) * doubt.shape[0] // rows, np.arange(columns) * doubt.shape[1] // columns
        )
    ].reshape(-1)
    places = random.choice(likely.size, _POSITIONS, p=likely / likely.sum())
    row, column = np.divmod(places, columns)
    seen = padded[
        :,
        (row * strides[0])[:, None, None] + (np.arange(kernel[0]) * dilations[0])[:, None],
        (column * strides[1])[:, None, None] + np.arange(kernel[1]) * dilations[1],
    ]
    groups = len(convolution.weights)
    parts = seen.reshape(groups, len(values) // groups, _POSITIONS, -1)
    return parts.transpose(0, 2, 1, 3).reshape(groups, _POSITIONS, -1).astype(np.float64)


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    values = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    return values.get(name, default)


def _replace(tensor: onnx.TensorProto, values: NDArray[Any]) -> None:
    tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))
