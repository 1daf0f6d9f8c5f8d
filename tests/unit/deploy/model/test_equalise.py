from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from deploy.model.equalise import equalised
from tests.unit.deploy.model.simulated_taught import simulated_reflectance

GAINS = np.array([4.0, 1.0, 0.1], np.float32)
"""Of the channels of the first convolution: their ranges differ by a factor of forty."""


def network(*, groups: int, activation: str = "Clip", used_twice: bool = False) -> onnx.ModelProto:
    """Convolution, activation, convolution; ``used_twice`` adds the activation to the answer."""
    random = np.random.default_rng(1)
    first = random.uniform(0.2, 1, (3, 4, 1, 1)).astype(np.float32) * GAINS[:, None, None, None]
    second = random.uniform(-1, 1, (3, 3 // groups, 1, 1)).astype(np.float32)
    constants = {
        "first": first,
        "bias": np.array([0.1, 0.0, 0.01], np.float32),
        "second": second,
        "low": np.array(0, np.float32),
        "high": np.array(6, np.float32),
    }
    limits = ["low", "high"] if activation == "Clip" else []
    nodes = [
        helper.make_node("Conv", ["reflectance", "first", "bias"], ["sums"]),
        helper.make_node(activation, ["sums", *limits], ["active"], "activation"),
        helper.make_node("Conv", ["active", "second"], ["mixed"], group=groups),
        helper.make_node("Add", ["mixed", "active" if used_twice else "mixed"], ["answer"]),
    ]
    shape = [1, 4, 8, 8]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("reflectance", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def answers(model: onnx.ModelProto, windows: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    if name not in {output.name for output in shown.graph.output}:
        shown.graph.output.append(helper.make_empty_tensor_value_info(name))
    session = onnxruntime.InferenceSession(
        shown.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    source = session.get_inputs()[0].name
    return np.concatenate([session.run([name], {source: one[None]})[0] for one in windows])


@pytest.fixture
def windows() -> NDArray[np.float32]:
    return np.random.default_rng(2).uniform(0, 0.5, (6, 4, 8, 8)).astype(np.float32)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("activation", ["Clip", "Relu"])
def test_answers_stay_the_same(groups: int, activation: str, windows: NDArray[np.float32]) -> None:
    model = network(groups=groups, activation=activation)
    found = answers(equalised(model, windows), windows, "answer")
    np.testing.assert_allclose(found, answers(model, windows, "answer"), rtol=1e-4, atol=1e-5)


def test_every_channel_reaches_the_limit_before_a_depthwise_layer(
    windows: NDArray[np.float32],
) -> None:
    model = network(groups=3)
    before = answers(model, windows, "active").max(axis=(0, 2, 3))
    after = answers(equalised(model, windows), windows, "active").max(axis=(0, 2, 3))
    assert before.max() > 10 * before.min()
    np.testing.assert_allclose(after, 6, rtol=1e-4)


def test_factors_into_a_dense_layer_are_bounded(windows: NDArray[np.float32]) -> None:
    model = network(groups=1)
    before = answers(model, windows, "active").max(axis=(0, 2, 3))
    after = answers(equalised(model, windows), windows, "active").max(axis=(0, 2, 3))
    np.testing.assert_allclose(after, np.minimum(6, 4 * before), rtol=1e-4)


def test_an_activation_with_two_users_is_left_alone(windows: NDArray[np.float32]) -> None:
    model = network(groups=3, used_twice=True)
    assert equalised(model, windows) == model


def bottleneck(*, part: str, between: bool) -> onnx.ModelProto:
    """A convolution without activation, read by a second one and by a third, joined with bands."""
    random = np.random.default_rng(4)
    gains = GAINS[:, None, None, None]
    constants = {
        "first": (random.uniform(-1, 1, (3, 4, 1, 1)) * gains).astype(np.float32),
        "second": random.uniform(-1, 1, (2, 3, 1, 1)).astype(np.float32),
        "third": random.uniform(-1, 1, (2, 7, 1, 1)).astype(np.float32),
        "scales": np.array([1, 1, 1, 1], np.float32),
    }
    joined = ["passed" if between else "narrow", "reflectance"]
    nodes = [
        helper.make_node("Conv", ["reflectance", "first"], ["narrow"]),
        helper.make_node("Resize", ["narrow", "", "scales"], ["passed"], mode="nearest"),
        helper.make_node("Concat", joined[:: 1 if part == "first" else -1], ["joined"], axis=1),
        helper.make_node("Conv", ["narrow", "second"], ["one"]),
        helper.make_node("Conv", ["joined", "third"], ["other"]),
        helper.make_node("Add", ["one", "other"], ["answer"]),
    ]
    if not between:
        del nodes[1]
    graph = helper.make_graph(
        nodes,
        "bottleneck",
        [helper.make_tensor_value_info("reflectance", TensorProto.FLOAT, [1, 4, 8, 8])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.mark.parametrize("part", ["first", "last"])
@pytest.mark.parametrize("between", [True, False])
def test_a_bottleneck_is_equalised_for_all_that_read_it(
    part: str, between: bool, windows: NDArray[np.float32]
) -> None:
    model = bottleneck(part=part, between=between)
    found = equalised(model, windows)
    np.testing.assert_allclose(
        answers(found, windows, "answer"), answers(model, windows, "answer"), rtol=1e-4, atol=1e-5
    )
    before, after = (
        np.abs(answers(one, windows, "narrow")).max(axis=(0, 2, 3)) for one in (model, found)
    )
    np.testing.assert_allclose(after, np.minimum(before.max(), 4 * before), rtol=1e-4)
    assert after.min() > before.min()


def test_a_whole_network_stays_the_same(float_graph: Path) -> None:
    model, tiles = onnx.load(str(float_graph)), simulated_reflectance(seed=3)
    answer = model.graph.output[0].name
    found = equalised(model, tiles)
    assert found != model
    np.testing.assert_allclose(
        answers(found, tiles, answer), answers(model, tiles, answer), rtol=1e-3, atol=1e-3
    )
