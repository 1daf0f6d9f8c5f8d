"""One fault of each kind, injected by the settings: what the chain does about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

from flightsw.chain import ProcessedScene, SceneProcessor, SceneRequest, open_chain
from flightsw.config import DimcSettings, FaultSettings, PipelineSettings, Settings
from flightsw.dimc.injection import FRAME_KINDS, SETUP_KINDS, FaultInjector, injector_of
from flightsw.engines.fallback import EngineNotices
from telecommands.dictionary import EngineName
from tests.conftest import Simulated

_STALL_SECONDS = 5.0  # also on a busy machine
_UNNOTICED = ("spike", "over_temperature", "setup_slow")
_CORRECTED = ("inverted", "zero", "noise", "stale")
_NEXT_ENGINE = ("lost_device", "setup_in_use", "setup_mismatch")


class _Unit:
    """An open chain, what it reported, and the faults of its card."""

    def __init__(self, chain: SceneProcessor, heard: dict[str, list[str]]) -> None:
        self.chain = chain
        self.heard = heard

    def process(self, scene: Path, out: Path) -> ProcessedScene:
        for causes in self.heard.values():
            causes.clear()
        return self.chain.process(SceneRequest(scene, out, frozenset({"mask"})))

    @property
    def reports(self) -> list[tuple[str, str]]:
        return [(name, cause) for name, causes in self.heard.items() for cause in causes]


@contextmanager
def _unit(package: Path, faults: FaultSettings | None, *engines: EngineName) -> Iterator[_Unit]:
    heard: dict[str, list[str]] = {"given up": [], "recovered": [], "corrected": []}
    notices = EngineNotices(
        lambda error: heard["given up"].append(str(error)),
        lambda error: heard["recovered"].append(str(error)),
        corrected=lambda error: heard["corrected"].append(str(error)),
    )
    settings = Settings(
        model=package,
        engines=engines,
        dimc=DimcSettings(card="simulator", faults=faults),
        pipeline=PipelineSettings(golden_every=5, stall_seconds=_STALL_SECONDS),
    )
    with open_chain(settings, notices) as chain:
        yield _Unit(chain, heard)


def _mask(processed: ProcessedScene) -> NDArray[np.uint8]:
    mask: NDArray[np.uint8] = np.load(processed.products.paths("mask")[0])
    return mask


@pytest.fixture(scope="module")
def unit(small_package: Path) -> Iterator[_Unit]:
    with _unit(small_package, FaultSettings(), "dimc") as unit:
        yield unit


@pytest.fixture(scope="module")
def sound(
    unit: _Unit, simulated: Simulated, tmp_path_factory: pytest.TempPathFactory
) -> NDArray[np.uint8]:
    """The card's mask without faults."""
    return _mask(unit.process(simulated.scene, tmp_path_factory.mktemp("sound")))


def _one_fault(kind: str) -> FaultSettings:
    return FaultSettings(
        first=0 if kind in SETUP_KINDS else 8,
        most=1,
        hang_seconds=2 * _STALL_SECONDS + 5,  # answers in flight may move for a while
        setup_seconds=0.1,
        **{kind: 1.0},  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("kind", [one for one in FRAME_KINDS if one not in _NEXT_ENGINE])
def test_no_fault_of_a_frame_reaches_the_mask_and_the_chain_reports_what_it_did(
    unit: _Unit,
    simulated: Simulated,
    tmp_path: Path,
    sound: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    injector = injector_of(FaultSettings())
    monkeypatch.setattr(injector, "__dict__", vars(FaultInjector(_one_fault(kind))))
    np.testing.assert_array_equal(_mask(unit.process(simulated.scene, tmp_path)), sound)
    assert injector.injected == {kind: 1}
    if kind in _UNNOTICED:
        assert unit.reports == []
        return
    ((what, why),) = unit.reports
    if kind in _CORRECTED:
        assert what == "corrected"
    else:
        assert what == "recovered"
        assert ("nothing moved" if kind == "hang" else f"injected: {kind}") in why


@pytest.mark.parametrize("kind", _NEXT_ENGINE)
def test_a_card_that_is_lost_or_does_not_open_leaves_the_scene_to_the_next_engine(
    simulated: Simulated, light_package: Path, tmp_path: Path, kind: str
) -> None:
    faults = _one_fault(kind)
    with _unit(light_package, faults, "dimc", "torch-cpu") as unit:
        reports = unit.reports
        processed = unit.process(simulated.scene, tmp_path)
        ((what, why),) = reports or unit.reports
    assert processed.engine.name == "torch-cpu"
    assert injector_of(faults).injected == {kind: 1}
    assert (what, f"injected: {kind}" in why) == ("given up", True)


def test_a_card_that_opens_slowly_is_waited_for(small_package: Path) -> None:
    faults = _one_fault("setup_slow")
    with _unit(small_package, faults, "dimc") as unit:
        assert unit.chain.self_test().passed
    assert injector_of(faults).injected == {"setup_slow": 1}


def test_a_sensor_that_shows_too_much_is_believed(
    unit: _Unit, monkeypatch: pytest.MonkeyPatch
) -> None:
    injector = injector_of(FaultSettings())
    faults = replace(_one_fault("over_temperature"), first=0)  # in the self-test's few tiles
    monkeypatch.setattr(injector, "__dict__", vars(FaultInjector(faults)))
    assert unit.chain.self_test().passed
    readings = unit.chain.readings
    assert readings is not None
    assert readings.temperature_celsius == 105.0
