from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from msgspec import field
from msgspec.structs import replace
from numpy.typing import NDArray

from deploy.rig.flight_unit import wait_until
from flightsw.config import DimcSettings, TwinSettings
from flightsw.dimc.runtime import Runtime, open_runtime
from flightsw.dimc.simulator import runtime as simulator
from flightsw.engines.dimc.engine import DimcEngine, open_dimc_engine
from flightsw.engines.engine import Engine, Logits
from flightsw.errors import EngineUnavailable, InferenceFailed, PackageInvalid
from flightsw.model.description import Quantisation
from flightsw.model.package import ModelPackage
from tests.unit.flightsw.dimc.compiled_package import (
    INPUT_ZERO_POINT,
    OUTPUT_ZERO_POINT,
    SCALE,
    SIZE,
    TinyNetwork,
    random_tiles,
    write_compiled_model,
)

BUFFERING = pytest.mark.parametrize("double_buffer", [False, True])
ARRANGEMENTS = pytest.mark.parametrize("arrangement", ["spatial", "batch", "instances"])
NETWORK = TinyNetwork()


class Package(ModelPackage, frozen=True, kw_only=True):
    """A package of the tiny network, which no list of checksums verifies."""

    name: str = "tiny"
    version: str = "1"
    model_id: str = "tiny-1"
    bands: tuple[str, ...] = ("B08", "B04", "B03", "B02")
    levels: tuple[str, ...] = ("L2A",)
    classes: tuple[str, ...] = ("clear", "contaminated")
    tile_size: int = SIZE
    stride: int = SIZE - 2
    ground_sample_distances: tuple[int, ...] = (10,)
    quantification: float = 10_000.0
    input: Quantisation = Quantisation(SCALE, INPUT_ZERO_POINT)
    output: Quantisation = Quantisation(SCALE, OUTPUT_ZERO_POINT)
    licence: str = "none"
    training_data: tuple[()] = ()
    teacher: None = None
    measured: dict[str, float] = field(default_factory=dict)

    def compiled_model(self, arrangement: Literal["spatial", "batch"]) -> Path:
        return self.folder / arrangement


@pytest.fixture
def package(tmp_path: Path) -> Package:
    write_compiled_model(tmp_path, input_padding=[0, 0, 3, 3, 3, 5, 0, 0])
    write_compiled_model(tmp_path, batch=4, arrangement="batch")
    return Package(folder=tmp_path)


def simulated(**settings: Any) -> DimcSettings:
    return DimcSettings(card="simulator", threads=1, **settings)


def push_all(engine: Engine, batches: Sequence[NDArray[np.int8]]) -> Iterator[Logits]:
    for tiles in batches:
        logits = engine.push(tiles)
        if logits is not None:
            yield logits
    yield from engine.flush()


def test_info_gives_the_package_and_the_device(package: Package) -> None:
    with open_dimc_engine(package, simulated(arrangement="batch")) as engine:
        info = engine.info
    assert (info.name, info.tag, info.precision, info.batch) == ("dimc", "axelera", "int8", 4)
    assert info.device == "metis-0:3:0 (simulator)"
    assert info.bands == ("B08", "B04", "B03", "B02")
    assert info.input == Quantisation(SCALE, -100)
    assert info.output == Quantisation(SCALE, 7)
    assert (info.tile_size, info.stride, info.model_id) == (SIZE, SIZE - 2, "tiny-1")


@BUFFERING
@pytest.mark.parametrize("arrangement", ["batch", "instances"])
@pytest.mark.parametrize("counts", [[1], [4] * 15, [4, 1, 3], [2, 4], [1] * 20 + [4, 3] * 8])
def test_every_batch_comes_back_once_in_order_with_as_many_tiles(
    package: Package, double_buffer: bool, arrangement: str, counts: list[int]
) -> None:
    batches = [random_tiles(count, seed) for seed, count in enumerate(counts)]
    settings = simulated(arrangement=arrangement, double_buffer=double_buffer)
    with open_dimc_engine(package, settings) as engine:
        for _ in range(2):  # a second scene starts on a card with spent frames in it
            answers = list(push_all(engine, batches))
            assert [len(answer) for answer in answers] == counts
            for tiles, answer in zip(batches, answers, strict=True):
                np.testing.assert_array_equal(answer, NETWORK.answer(tiles))


def test_tiles_of_a_padded_input_are_answered_as_unpadded_ones(package: Package) -> None:
    tiles = random_tiles(1)
    with open_dimc_engine(package, simulated()) as engine:
        np.testing.assert_array_equal(engine.infer(tiles), NETWORK.answer(tiles))


@BUFFERING
@ARRANGEMENTS
def test_tiles_are_answered_whatever_their_memory_looks_like(
    tmp_path: Path, arrangement: str, double_buffer: bool
) -> None:
    write_compiled_model(tmp_path)  # without padding: the card may read a tile where it lies
    write_compiled_model(tmp_path, batch=4, arrangement="batch")
    settings = simulated(arrangement=arrangement, double_buffer=double_buffer)
    with open_dimc_engine(Package(folder=tmp_path), settings) as engine:
        count = engine.info.batch
        whole = [random_tiles(count, seed) for seed in range(3)]
        turned = [tiles.transpose(0, 2, 1, 3) for tiles in whole]
        batches = [whole[0], turned[1], whole[2], turned[0], whole[1], turned[2]]
        for tiles, answer in zip(batches, push_all(engine, batches), strict=True):
            np.testing.assert_array_equal(answer, NETWORK.answer(tiles))


@BUFFERING
def test_infer_answers_its_own_tiles_each_time(package: Package, double_buffer: bool) -> None:
    with open_dimc_engine(package, simulated(double_buffer=double_buffer)) as engine:
        for seed in range(4):
            tiles = random_tiles(1, seed)
            np.testing.assert_array_equal(engine.infer(tiles), NETWORK.answer(tiles))


def test_infer_is_refused_while_a_batch_is_in_flight(package: Package) -> None:
    with open_dimc_engine(package, simulated()) as engine:
        assert engine.push(random_tiles(1)) is None
        with pytest.raises(InferenceFailed, match=r"still has batches in flight.*Flush"):
            engine.infer(random_tiles(1))


@BUFFERING
def test_answers_belong_to_the_caller(package: Package, double_buffer: bool) -> None:
    batches = [random_tiles(1, seed) for seed in range(8)]
    with open_dimc_engine(package, simulated(double_buffer=double_buffer)) as engine:
        answers = []
        for answer in push_all(engine, batches):
            answers.append(answer.copy())
            answer[:] = 0
    for tiles, answer in zip(batches, answers, strict=True):
        np.testing.assert_array_equal(answer, NETWORK.answer(tiles))


def test_flush_of_an_idle_engine_yields_nothing(package: Package) -> None:
    with open_dimc_engine(package, simulated()) as engine:
        assert list(engine.flush()) == []


@pytest.mark.parametrize(
    "tiles",
    [
        random_tiles(5),
        random_tiles(0),
        random_tiles(1).astype(np.uint8),
        random_tiles(1)[..., :3],
        random_tiles(1)[0],
    ],
    ids=["too many", "none", "unsigned", "three bands", "no batch axis"],
)
def test_unfit_tiles_are_refused_and_the_engine_continues(
    package: Package, tiles: NDArray[np.int8]
) -> None:
    with open_dimc_engine(package, simulated(arrangement="batch")) as engine:
        with pytest.raises(InferenceFailed, match=r"takes tiles of 1 to 4 int8 \(8, 8, 4\)"):
            engine.push(tiles)
        good = random_tiles(3)
        np.testing.assert_array_equal(engine.infer(good), NETWORK.answer(good))


@BUFFERING
@pytest.mark.parametrize("arrangement", ["batch", "instances"])
def test_readings_of_the_twin_add_up(
    package: Package, arrangement: str, double_buffer: bool
) -> None:
    twin = TwinSettings(latency_ms=0.5, sigma_ms=0, compute=False)
    settings = simulated(arrangement=arrangement, double_buffer=double_buffer, twin=twin)
    with open_dimc_engine(package, settings) as engine:
        assert len(list(push_all(engine, [random_tiles(4)] * 6))) == 6
        readings = engine.readings()
    assert readings is not None
    assert readings.busy_ns == 6 * 2_000_000
    assert readings.span_ns is not None
    assert readings.span_ns >= readings.busy_ns
    assert readings.energy_joules is not None
    assert readings.energy_joules > 10.1 * 0.012
    assert readings.power_watts is not None
    assert 4.4 <= readings.power_watts <= 10.1
    assert readings.temperature_celsius is not None
    assert 39 < readings.temperature_celsius < 51


def test_simulator_without_twin_has_no_sensors(package: Package) -> None:
    with open_dimc_engine(package, simulated()) as engine:
        engine.infer(random_tiles(1))
        readings = engine.readings()
    assert readings is not None
    assert readings.busy_ns is not None
    assert readings.span_ns is not None
    assert 0 < readings.busy_ns <= readings.span_ns
    assert readings.energy_joules is readings.power_watts is readings.temperature_celsius is None


@pytest.mark.parametrize("command", [(), ("/nonexistent/axlogdevice",)])
def test_a_real_card_whose_log_gives_nothing_has_no_temperature(
    package: Package, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    _pretend_that_the_simulator_is_a_card(monkeypatch)
    with open_dimc_engine(package, simulated(temperature_log=command)) as engine:
        assert _celsius(engine) is None


def test_a_real_card_has_the_temperature_that_its_log_gives(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    _pretend_that_the_simulator_is_a_card(monkeypatch)
    script = "print('core_temps=[41,40,40,42,40]'); import time; time.sleep(60)"
    settings = simulated(temperature_log=(sys.executable, "-c", script))
    with open_dimc_engine(package, settings) as engine:
        wait_until(lambda: _celsius(engine) is not None)
        assert _celsius(engine) == 42


def _celsius(engine: DimcEngine) -> float | None:
    readings = engine.readings()
    assert readings is not None
    assert readings.busy_ns is readings.span_ns is readings.energy_joules is None
    return readings.temperature_celsius


def _pretend_that_the_simulator_is_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    def card(settings: DimcSettings) -> Runtime:
        return dataclasses.replace(open_runtime(settings), simulated=False)

    monkeypatch.setattr("flightsw.engines.dimc.engine.open_runtime", card)


def test_fault_of_the_card_closes_the_engine_and_names_card_cause_and_cure(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(*_: object) -> None:
        raise simulator.ConnectionError("no answer within 30 s")

    engine = open_dimc_engine(package, simulated())
    monkeypatch.setattr(simulator.ModelInstance, "run", hang)
    with pytest.raises(InferenceFailed) as failed:
        engine.push(random_tiles(1))
    assert failed.value.subject == "metis-0:3:0 (simulator)"
    assert failed.value.fields == {"fault": "ConnectionError"}
    assert "no answer within 30 s" in failed.value.cause
    assert "axdevice --refresh" in failed.value.cure
    monkeypatch.undo()
    with pytest.raises(InferenceFailed, match="closed itself because"):
        engine.push(random_tiles(1))
    with open_dimc_engine(package, simulated()) as again:
        np.testing.assert_array_equal(again.infer(random_tiles(1)), NETWORK.answer(random_tiles(1)))


def test_interrupted_call_closes_the_engine_so_that_no_answer_is_misplaced(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    engine = open_dimc_engine(package, simulated())
    engine.push(random_tiles(1))
    with monkeypatch.context() as patched:
        patched.setattr(simulator.ModelInstance, "run", interrupt)
        with pytest.raises(KeyboardInterrupt):
            engine.push(random_tiles(1))
    with pytest.raises(InferenceFailed, match="was interrupted"):
        list(engine.flush())


def test_closed_engine_refuses_work_and_may_be_closed_again(package: Package) -> None:
    engine = open_dimc_engine(package, simulated())
    engine.close()
    engine.close()
    with pytest.raises(InferenceFailed, match="is closed"):
        engine.infer(random_tiles(1))


def test_card_that_refuses_the_model_is_unavailable(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken(*_: object) -> None:
        raise simulator.DeviceInUse("held by another process")

    monkeypatch.setattr(simulator.Context, "device_connect", taken)
    with pytest.raises(EngineUnavailable, match="DeviceInUse held by another process") as refused:
        open_dimc_engine(package, simulated())
    assert refused.value.fields == {"fault": "DeviceInUse"}


def test_required_card_that_is_missing_is_unavailable(package: Package) -> None:
    with pytest.raises(EngineUnavailable, match="Install the Voyager SDK"):
        open_dimc_engine(package, DimcSettings(card="card"))


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"bands": ("B04", "B03", "B02")}, "input_shapes"),
        ({"tile_size": 224}, "input_shapes"),
        ({"classes": ("clear", "thick", "thin", "shadow")}, "output_shapes"),
    ],
)
def test_package_that_promises_other_tiles_than_the_manifest_is_invalid(
    package: Package, change: dict[str, Any], key: str
) -> None:
    with pytest.raises(PackageInvalid) as refused:
        open_dimc_engine(replace(package, **change), simulated())
    assert refused.value.fields["key"] == key
    assert refused.value.fields["expected"]
    assert refused.value.fields["found"]


def test_several_tiles_a_frame_are_not_a_spatial_arrangement(tmp_path: Path) -> None:
    write_compiled_model(tmp_path, batch=4)
    with pytest.raises(PackageInvalid, match="input_shapes"):
        open_dimc_engine(Package(folder=tmp_path), simulated())


def test_graph_that_contradicts_its_manifest_is_an_invalid_package(package: Package) -> None:
    TinyNetwork(classes=3).write(package.folder / "tiny.onnx")
    with pytest.raises(PackageInvalid) as refused:
        open_dimc_engine(package, simulated())
    assert refused.value.fields["key"] == "output_shapes"


def test_what_openvino_says_of_an_unreadable_graph_is_kept(package: Package) -> None:
    (package.folder / "tiny.onnx").write_bytes(b"not a graph")
    with pytest.raises(PackageInvalid) as refused:
        open_dimc_engine(package, simulated())
    reason = refused.value.__cause__
    assert isinstance(reason, RuntimeError)
    assert refused.value.cause.rpartition("(")[2].removesuffix(")") in str(reason)


def test_engine_is_an_engine(package: Package) -> None:
    engine: Engine = open_dimc_engine(package, simulated())
    assert isinstance(engine, DimcEngine)
    engine.close()
