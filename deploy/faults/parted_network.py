"""An INT8 network in parts, so that a flipped parameter costs little more than its own part.

Each part ends with quantised values.  What passes between parts is kept for each tile; with a
changed parameter only its own parts are compiled again, and only parts that get something else run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper, shape_inference

from flightsw.dimc.simulator.int8_graph import exact_arithmetic, load_openvino

Trace: TypeAlias = Mapping[str, NDArray[Any]]
"""What passes between the parts for one tile, by name; the network's input and answer too."""

Answerer: TypeAlias = Callable[[NDArray[np.int8], Trace], NDArray[np.int8]]
"""Answers a tile ``(side, side, bands)``, given what the sound network makes of it."""

# Sixteen parts of the shipped network, which answer its golden tiles exactly: floats are summed in
# another order in parts that are much smaller.
_QUANTISATIONS: Final = 8
_WEIGHTS: Final = 300_000


@dataclass(frozen=True)
class _Part:
    nodes: Sequence[onnx.NodeProto]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: frozenset[str]


class PartedNetwork:
    """Computes one tile at a time with OpenVINO, as the simulator does; used by one thread.

    Always with the rounded values in float32, so that a flip does the same on all hosts.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        openvino = load_openvino()
        self._core = openvino.Core()
        self._properties = {
            **exact_arithmetic(openvino, int8=False),
            openvino.properties.inference_num_threads: 1,
        }
        self._form = {"opset_imports": model.opset_import, "ir_version": model.ir_version}
        self._initializers = {one.name: one for one in model.graph.initializer}
        self._tensors = _tensors(model)
        self._source, self._answer = model.graph.input[0].name, model.graph.output[0].name
        self._parts = _parts(model.graph)
        self._compiled = [self._compile(part, self._initializers) for part in self._parts]
        used = frozenset[str]().union(*(part.parameters for part in self._parts))
        self.parameters: Mapping[str, NDArray[Any]] = {
            name: numpy_helper.to_array(self._initializers[name]) for name in sorted(used)
        }

    def trace(self, tile: NDArray[np.int8]) -> Trace:
        """All that passes between the parts for a tile ``(side, side, bands)``."""
        return self._run(tile, {}, {})

    def logits(self, tile: NDArray[np.int8], sound: Trace) -> NDArray[np.int8]:
        """The answer ``(side, side, classes)`` to a tile that differs from that of ``sound``."""
        return self.answer_of(self._run(tile, sound, {}))

    def answer_of(self, trace: Trace) -> NDArray[np.int8]:
        """The answer ``(side, side, classes)`` in a trace."""
        answer: NDArray[np.int8] = trace[self._answer][0]
        return answer

    def with_parameter(self, name: str, value: NDArray[Any]) -> Answerer:
        """What the network answers if a parameter has another value.

        Raises RuntimeError if OpenVINO does not compile it.
        """
        initializers = self._initializers | {name: numpy_helper.from_array(value, name)}
        changed = {
            number: self._compile(part, initializers)
            for number, part in enumerate(self._parts)
            if name in part.parameters
        }
        return lambda tile, sound: self.answer_of(self._run(tile, sound, changed))

    def _run(self, tile: NDArray[np.int8], sound: Trace, changed: Mapping[int, Any]) -> Trace:
        values = dict(sound) | {self._source: tile[None]}
        other = set() if _is_equal(sound, self._source, tile[None]) else {self._source}
        for number, part in enumerate(self._parts):
            if number not in changed and other.isdisjoint(part.inputs):
                continue
            answers = changed.get(number, self._compiled[number])(
                {name: values[name] for name in part.inputs}
            )
            for place, name in enumerate(part.outputs):
                found = answers[place].copy()
                if not _is_equal(sound, name, found):
                    other.add(name)
                values[name] = found
        return values

    def _compile(self, part: _Part, initializers: Mapping[str, onnx.TensorProto]) -> Any:
        graph = helper.make_graph(
            part.nodes,
            "part",
            [self._tensors[name] for name in part.inputs],
            [self._tensors[name] for name in part.outputs],
            [initializers[name] for name in sorted(part.parameters)],
        )
        model = self._core.read_model(helper.make_model(graph, **self._form).SerializeToString())
        return self._core.compile_model(model, "CPU", self._properties)


def _is_equal(sound: Trace, name: str, found: NDArray[Any]) -> bool:
    return name in sound and np.array_equal(sound[name], found)


def _tensors(model: onnx.ModelProto) -> dict[str, onnx.ValueInfoProto]:
    """Types and shapes of all tensors, for one tile."""
    single = onnx.ModelProto()
    single.CopyFrom(model)
    for tensor in (*single.graph.input, *single.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_value = 1
    graph = shape_inference.infer_shapes(single).graph
    return {one.name: one for one in (*graph.input, *graph.value_info, *graph.output)}


def _parts(graph: onnx.GraphProto) -> list[_Part]:
    groups, constants = _groups(graph)
    wanted = {graph.output[0].name}
    parts = []
    for group in reversed(groups):
        made = {name for node in group for name in node.output}
        before, parameters = _constants_of(group, constants)
        taken = {name for node in group for name in node.input if name} - made - constants.keys()
        parts.append(
            _Part((*before, *group), tuple(sorted(taken)), tuple(sorted(made & wanted)), parameters)
        )
        wanted |= taken
    return parts[::-1]


def _groups(
    graph: onnx.GraphProto,
) -> tuple[list[list[onnx.NodeProto]], dict[str, onnx.NodeProto | None]]:
    """The nodes of each part in order, and the constants: None, or the node that computes them."""
    sizes = {one.name: math.prod(one.dims) for one in graph.initializer}
    constants: dict[str, onnx.NodeProto | None] = dict.fromkeys(sizes)
    groups: list[list[onnx.NodeProto]] = [[]]
    for node in graph.node:
        if all(name in constants for name in node.input if name):
            constants |= dict.fromkeys(node.output, node)  # each part computes those that it uses
            continue
        groups[-1].append(node)
        if node.op_type == "QuantizeLinear":
            quantisations = sum(one.op_type == "QuantizeLinear" for one in groups[-1])
            weights = sum(sizes[name] for name in _constants_of(groups[-1], constants)[1])
            if quantisations == _QUANTISATIONS or weights > _WEIGHTS:
                groups.append([])
    return [group for group in groups if group], constants


def _constants_of(
    group: Sequence[onnx.NodeProto], constants: Mapping[str, onnx.NodeProto | None]
) -> tuple[list[onnx.NodeProto], frozenset[str]]:
    """The nodes that compute the group's constants, and the initializers that it takes."""
    nodes: list[onnx.NodeProto] = []
    parameters = set()
    waiting = [name for node in group for name in node.input if name in constants]
    while waiting:
        name = waiting.pop()
        node = constants[name]
        if node is None:
            parameters.add(name)
        elif node not in nodes:
            nodes.append(node)
            waiting += node.input
    return nodes[::-1], frozenset(parameters)
