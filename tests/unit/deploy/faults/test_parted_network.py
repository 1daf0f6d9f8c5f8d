from __future__ import annotations

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from deploy.faults.parted_network import PartedNetwork
from flightsw.dimc.simulator.int8_graph import exact_arithmetic, load_openvino
from flightsw.model.package import load_package

_CHANGED = "onnx::Conv_837_quantized"  # of the decoder, in the middle of the shipped network
_ROUNDED = 0.15  # of the logits, by a step: floats are summed in another order in parts


@pytest.fixture(scope="module")
def graph() -> onnx.ModelProto:
    return onnx.load(str(load_package().read_compiled_model("spatial").graph))


def test_parts_answer_as_the_whole_network_with_and_without_another_parameter(
    graph: onnx.ModelProto,
) -> None:
    network, golden = PartedNetwork(graph), load_package().golden_tiles()
    tile = golden.tiles[golden.names.index("coast")]
    trace = network.trace(tile)
    sound = network.answer_of(trace)
    value = network.parameters[_CHANGED].copy()
    assert _share_of_other(sound, _whole(graph, value, tile)) < _ROUNDED
    np.testing.assert_array_equal(network.with_parameter(_CHANGED, value)(tile, trace), sound)
    value[:4] ^= 0x40
    found = network.with_parameter(_CHANGED, value)(tile, trace)
    assert _share_of_other(found, sound) > 2 * _ROUNDED
    assert _share_of_other(found, _whole(graph, value, tile)) < _ROUNDED
    other = tile[::-1].copy()
    np.testing.assert_array_equal(
        network.logits(other, trace), network.answer_of(network.trace(other))
    )


def _share_of_other(one: NDArray[np.int8], two: NDArray[np.int8]) -> float:
    return float(np.mean(one != two))


def _whole(
    graph: onnx.ModelProto, value: NDArray[np.int8], tile: NDArray[np.int8]
) -> NDArray[np.int8]:
    changed = onnx.ModelProto()
    changed.CopyFrom(graph)
    (place,) = (one for one in changed.graph.initializer if one.name == _CHANGED)
    place.CopyFrom(numpy_helper.from_array(value, _CHANGED))
    openvino = load_openvino()
    core = openvino.Core()
    compiled = core.compile_model(
        core.read_model(changed.SerializeToString()),
        "CPU",
        {**exact_arithmetic(openvino, int8=False), openvino.properties.inference_num_threads: 1},
    )
    answer: NDArray[np.int8] = compiled(tile[None])[0][0]
    return answer
