from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from deploy.model.dataset import BANDS
from deploy.model.golden_tiles import golden_tiles
from deploy.model.networks import openvino_graph
from flightsw import sentinel_2
from flightsw.engines.engine import EngineInfo
from flightsw.engines.golden import GoldenAnswers, GoldenProbe, check_golden_tiles
from flightsw.errors import AnswerWrong, EngineUnavailable
from flightsw.model.package import ModelPackage, load_package
from tests.unit.flightsw.small_parts import ArithmeticEngine


def _as_released(engine: ArithmeticEngine, package: ModelPackage) -> EngineInfo:
    return replace(engine.info, model_id=package.model_id, tile_size=package.tile_size)


class GraphEngine(ArithmeticEngine):
    """An engine that computes a package's own graph, and can be made to forget a share of it."""

    def __init__(self, folder: Path, batch: int = 4, noise: int = 0) -> None:
        super().__init__(batch=batch)
        self.info = _as_released(self, load_package(folder))
        model = onnx.load(str(folder / "compiled_model" / "quantized_model.onnx"))
        self._run = openvino_graph(model)
        self._noise = noise

    def infer(self, tiles: NDArray[np.int8]) -> NDArray[np.int8]:
        assert 0 < len(tiles) <= self.info.batch
        logits = self._run(tiles).astype(np.int16)
        random = np.random.default_rng(0)
        logits += random.integers(-self._noise, self._noise + 1, logits.shape, np.int16)
        return logits.clip(-128, 127).astype(np.int8)


@pytest.mark.parametrize("batch", [1, 4, 64])
def test_the_package_s_own_arithmetic_passes_whatever_the_batch(released: Path, batch: int) -> None:
    report = check_golden_tiles(GraphEngine(released, batch), load_package(released))
    assert report.passed
    assert (report.agreement, report.max_deviation) == (1.0, 0)
    assert "passed" in report.as_text()


def test_another_network_fails(released: Path) -> None:
    package = load_package(released)
    engine = ArithmeticEngine()
    engine.info = _as_released(engine, package)
    report = check_golden_tiles(engine, package)
    assert not report.passed
    assert "FAILED" in report.as_text()


def test_engines_that_golden_tiles_cannot_judge_are_not_judged(released: Path) -> None:
    package = load_package(released)
    for changes in ({"model_id": "brightness-threshold"}, {"tile_size": 2048}):
        engine = ArithmeticEngine()
        engine.info = replace(_as_released(engine, package), **changes)  # type: ignore[arg-type]
        with pytest.raises(EngineUnavailable, match="cannot judge"):
            check_golden_tiles(engine, package)


def test_noise_on_the_logits_fails(released: Path) -> None:
    assert not check_golden_tiles(GraphEngine(released, noise=40), load_package(released)).passed


def test_golden_tiles_follow_the_package_s_band_order() -> None:
    forward = golden_tiles(32, ("B02", "B03", "B04", "B08"))
    backward = golden_tiles(32, ("B08", "B04", "B03", "B02"))
    assert all((forward[name] == backward[name][..., ::-1]).all() for name in forward)


def test_golden_tiles_hold_the_extremes_of_the_input() -> None:
    tiles = golden_tiles(32, ("B02", "B03", "B04", "B08"))
    assert set(np.unique(tiles["no data"])) == {-128}
    assert set(np.unique(tiles["saturated"])) == {127}
    assert len(tiles) >= 8


def _asked(engine: GraphEngine, probe: GoldenProbe) -> None:
    """Send what a scene sends after its last tile."""
    for _ in range(probe.batches_at_end):
        probe.judge(engine.infer(probe.tiles()))


def test_a_weight_that_changes_a_little_is_found_by_the_next_scene(released: Path) -> None:
    engine = GraphEngine(released)
    answers = GoldenAnswers(engine.info, load_package(released))
    _asked(engine, GoldenProbe(answers))
    _asked(engine, GoldenProbe(answers))
    sound = engine.infer

    def one_step_off(tiles: NDArray[np.int8]) -> NDArray[np.int8]:
        logits = sound(tiles)
        logits[-1, 0, 0, 0] ^= 1
        return logits

    engine.infer = one_step_off  # type: ignore[method-assign]
    with pytest.raises(AnswerWrong, match="differently from the first time"):
        _asked(engine, GoldenProbe(answers))


def test_hardware_that_rounds_a_uniform_tile_otherwise_passes_in_a_scene_as_in_the_self_test(
    released: Path,
) -> None:
    package = load_package(released)
    engine, sound = GraphEngine(released, batch=1), GraphEngine(released, batch=1)
    uniform = package.golden_tiles().tiles[package.golden_tiles().names.index("no data")]

    def two_steps_off(tiles: NDArray[np.int8]) -> NDArray[np.int8]:
        logits = sound.infer(tiles).astype(np.int16)
        shift = np.array((-2, 2), np.int16) if np.array_equal(tiles[0], uniform) else np.int16(0)
        return (logits + shift).clip(-128, 127).astype(np.int8)

    engine.infer = two_steps_off  # type: ignore[method-assign]
    assert check_golden_tiles(engine, package).passed
    _asked(engine, GoldenProbe(GoldenAnswers(engine.info, package)))


def test_a_single_tile_of_a_scene_that_is_answered_wrongly_is_found(released: Path) -> None:
    package = load_package(released)
    engine = GraphEngine(released, batch=1)
    answers = GoldenAnswers(engine.info, package)
    for number, name in enumerate(package.golden_tiles().names):
        probe = GoldenProbe(answers)
        for _ in range(number):
            probe.judge(engine.infer(probe.tiles()))
        inverted = engine.infer(probe.tiles())[..., ::-1]
        with pytest.raises(AnswerWrong, match=name):
            probe.judge(inverted)


def test_a_floating_point_engine_may_round_otherwise_each_time(released: Path) -> None:
    engine = GraphEngine(released)
    package = load_package(released)
    engine.info = replace(engine.info, precision="fp32")
    answers = GoldenAnswers(engine.info, package)
    _asked(engine, GoldenProbe(answers))
    engine._noise = 1
    _asked(engine, GoldenProbe(answers))


def test_further_bands_leave_the_tiles_of_the_release_as_they_are() -> None:
    four, all_bands = golden_tiles(32, BANDS), golden_tiles(32, sentinel_2.BANDS)
    places = [sentinel_2.BANDS.index(band) for band in BANDS]
    for name, tile in four.items():
        assert all_bands[name].shape == (32, 32, 13)
        np.testing.assert_array_equal(all_bands[name][..., places], tile)
