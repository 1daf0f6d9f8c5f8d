from __future__ import annotations

import numpy as np
import pytest

from flightsw.dimc.simulator.int8_graph import exact_arithmetic, load_openvino
from flightsw.host.processor import sums_int8_products_exactly
from flightsw.model.package import load_package

_SATURATES = pytest.mark.skipif(
    not sums_int8_products_exactly(), reason="INT8 sums of this processor saturate"
)


@pytest.mark.parametrize("int8", [False, pytest.param(True, marks=_SATURATES)])
def test_integers_and_floats_give_the_golden_answers(int8: bool) -> None:
    package = load_package()
    golden = package.golden_tiles()
    openvino = load_openvino()
    core = openvino.Core()
    graph = core.read_model(package.compiled_model("spatial") / "quantized_model.onnx")
    compiled = core.compile_model(graph, "CPU", exact_arithmetic(openvino, int8))
    found = np.concatenate([compiled(tile[None])[0] for tile in golden.tiles]).astype(np.int64)
    assert np.abs(found - golden.logits).mean() < golden.largest_mean_deviation
