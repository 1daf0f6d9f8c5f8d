"""Four instances with a thread each: order, failures, and what is left behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import product, zip_longest
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from flightsw.config import DimcSettings, PipelineSettings, TwinSettings
from flightsw.dimc.simulator import runtime as simulator
from flightsw.engines.dimc import instance_pool
from flightsw.engines.dimc.engine import DimcEngine, open_dimc_engine
from flightsw.errors import EngineUnavailable, InferenceFailed
from flightsw.pipeline import process_scene
from flightsw.products.contents import FinishedRows
from tests.unit.flightsw.dimc.compiled_package import (
    TinyNetwork,
    random_tiles,
    write_compiled_model,
)
from tests.unit.flightsw.engines.dimc.test_engine import BUFFERING, Package, push_all
from tests.unit.flightsw.small_parts import ArrayScene

NETWORK = TinyNetwork()


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    folder = tmp_path_factory.mktemp("package")
    write_compiled_model(folder)
    write_compiled_model(folder, batch=4, arrangement="batch")
    return Package(folder=folder)


@pytest.fixture(autouse=True)
def no_thread_is_left_behind() -> Iterator[None]:
    yield
    assert instance_threads() == []


def instance_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("instance")]


def open_instances(package: Package, **settings: Any) -> DimcEngine:
    given = {"card": "simulator", "threads": 1, "arrangement": "instances", **settings}
    return open_dimc_engine(package, DimcSettings(**given))


class Failing:
    """Stands in for an instance's ``run`` and fails at its call number ``at``."""

    def __init__(self, instance: simulator.ModelInstance, at: int, error: BaseException) -> None:
        self._run = instance.run
        self._left = at
        self._error = error

    def __call__(self, inputs: Any, outputs: Any) -> None:
        self._left -= 1
        if self._left < 0:
            raise self._error
        self._run(inputs, outputs)


def fail(engine: DimcEngine, number: int, at: int, error: BaseException) -> None:
    instance: Any = engine._drivers[number].instance
    instance.run = Failing(instance, at, error)


def test_four_instances_take_four_tiles_at_a_time_and_all_cores(package: Package) -> None:
    with open_instances(package) as engine:
        assert engine.info.batch == 4
        assert engine.info.device == "metis-0:3:0 (simulator)"
        assert instance_threads() == [f"instance {number}" for number in (1, 2, 3, 4)]


ARRANGEMENTS = ("spatial", "batch", "instances")


@pytest.mark.parametrize("twin", [None, TwinSettings(latency_ms=0.05, sigma_ms=0.04)])
def test_answers_are_the_same_bytes_by_every_arrangement_and_buffering(
    package: Package, twin: TwinSettings | None
) -> None:
    tiles, answers = random_tiles(61), set()
    for arrangement, double_buffer in product(ARRANGEMENTS, (False, True)):
        settings = {"arrangement": arrangement, "double_buffer": double_buffer, "twin": twin}
        with open_instances(package, **settings) as engine:
            starts = range(0, len(tiles), engine.info.batch)
            batches = [tiles[start : start + engine.info.batch] for start in starts]
            answers.add(np.concatenate([*push_all(engine, batches)]).tobytes())
    assert answers == {NETWORK.answer(tiles).tobytes()}


class Mask:
    """Collects a scene's mask."""

    def __init__(self) -> None:
        self.rows: list[bytes] = []

    def write(self, rows: FinishedRows) -> None:
        self.rows.append(rows.mask.tobytes())


def test_scene_gets_the_same_mask_by_every_arrangement_and_buffering(package: Package) -> None:
    # Near reflectance 0 this network changes its answer.
    numbers = np.random.default_rng(5).integers(1, 2000, (4, 45, 70)).astype(np.uint16)
    masks = set()
    for arrangement, double_buffer in product(ARRANGEMENTS, (False, True)):
        mask = Mask()
        with open_instances(
            package, arrangement=arrangement, double_buffer=double_buffer
        ) as engine:
            scene = ArrayScene(numbers, changes={"bands": package.bands})
            process_scene(scene, engine, PipelineSettings(device="cpu"), [mask])
        masks.add(b"".join(mask.rows))
    (mask_bytes,) = masks
    assert len(mask_bytes) == 45 * 70
    assert set(mask_bytes) == {0, 1}


@hypothesis_settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.integers(1, 4), max_size=24), min_size=1, max_size=3), st.booleans())
def test_scenes_of_any_batches_come_back_in_order(
    package: Package, scenes: list[list[int]], double_buffer: bool
) -> None:
    with open_instances(package, double_buffer=double_buffer) as engine:
        for counts in scenes:
            batches = [random_tiles(count, seed) for seed, count in enumerate(counts)]
            for tiles, answer in zip_longest(batches, push_all(engine, batches)):
                np.testing.assert_array_equal(answer, NETWORK.answer(tiles))


@pytest.mark.parametrize("at", [0, 1, 5])
@pytest.mark.parametrize("number", [0, 3])
@BUFFERING
def test_failure_of_any_instance_surfaces_as_its_own_and_closes_the_engine(
    package: Package, number: int, at: int, double_buffer: bool
) -> None:
    engine = open_instances(package, double_buffer=double_buffer)
    fail(engine, number, at, simulator.InternalError("parity"))
    with pytest.raises(InferenceFailed, match="parity") as failed:
        list(push_all(engine, [random_tiles(4)] * 40))
    assert failed.value.subject == f"metis-0:3:0 (simulator), instance {number + 1}"
    assert failed.value.fields == {"fault": "InternalError"}
    assert instance_threads() == []
    with pytest.raises(InferenceFailed, match="closed itself because"):
        engine.push(random_tiles(1))
    with open_instances(package) as again:  # every core was given back
        np.testing.assert_array_equal(again.infer(random_tiles(2)), NETWORK.answer(random_tiles(2)))


def test_failure_while_flushing_surfaces_too(package: Package) -> None:
    engine = open_instances(package, double_buffer=True)
    fail(engine, 2, 2, simulator.InternalError("parity"))
    with pytest.raises(InferenceFailed, match="instance 3"):
        list(push_all(engine, [random_tiles(4)]))


def test_instance_that_never_answers_is_given_up(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instance_pool, "_ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(instance_pool, "_STOP_SECONDS", 0.05)
    engine = open_instances(package)
    let_go = threading.Event()
    hanging: Any = engine._drivers[1].instance
    hanging.run = lambda *_: let_go.wait(20)
    with pytest.raises(InferenceFailed, match=r"gave no answer within.*axdevice --refresh"):
        list(push_all(engine, [random_tiles(4)]))
    (left,) = [thread for thread in threading.enumerate() if thread.name == "instance 2"]
    assert left.daemon
    let_go.set()
    left.join(20)


def test_interrupted_wait_ends_the_threads(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> bool:
        raise KeyboardInterrupt

    engine = open_instances(package)
    monkeypatch.setattr(instance_pool._Answers, "wait_for", interrupt)
    with pytest.raises(KeyboardInterrupt):
        engine.infer(random_tiles(4))
    assert instance_threads() == []
    with pytest.raises(InferenceFailed, match="was interrupted"):
        engine.push(random_tiles(1))


def test_closing_with_tiles_in_flight_ends_the_threads(package: Package) -> None:
    engine = open_instances(package, twin=TwinSettings(latency_ms=1, sigma_ms=0, compute=False))
    for _ in range(3):
        assert engine.push(random_tiles(4)) is None
    engine.close()
    assert instance_threads() == []


def test_card_with_too_few_free_cores_is_unavailable_and_holds_nothing(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts = []
    connect = simulator.Context.device_connect

    def taken_thrice(context: Any, *arguments: Any) -> Any:
        contexts.append(context)
        if len(contexts) == 4:
            raise simulator.DeviceInUse("held by another process")
        return connect(context, *arguments)

    monkeypatch.setattr(simulator.Context, "device_connect", taken_thrice)
    with pytest.raises(EngineUnavailable, match="held by another process"):
        open_instances(package)
    with pytest.raises(simulator.InvalidArgument, match="released"):
        contexts[0].list_devices()
