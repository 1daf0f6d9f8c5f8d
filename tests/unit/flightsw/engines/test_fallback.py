"""Which engine of a chain serves."""

from __future__ import annotations

import dataclasses
import sys
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flightsw.config import DimcSettings, Settings
from flightsw.dimc.errors import ConnectionError as CardGone
from flightsw.dimc.simulator import instance
from flightsw.engines import fallback
from flightsw.engines.engine import Engine
from flightsw.engines.fallback import EngineFallback, EngineNotices, open_engine
from flightsw.engines.reconnecting import ReconnectingEngine
from flightsw.errors import EngineError, EngineUnavailable, InferenceFailed
from flightsw.model.package import ModelPackage, load_package
from telecommands.dictionary import EngineName

SETTINGS = Settings(dimc=DimcSettings(card="simulator"))
NO_CARD = Settings(dimc=DimcSettings(card="card"))
FAILURE = InferenceFailed("metis-0:3:0", "the card hangs", "Refresh it")


def _chain(
    names: tuple[EngineName, ...], settings: Settings = SETTINGS, *, package: Path
) -> tuple[EngineFallback, list[EngineError]]:
    given_up: list[EngineError] = []
    return (
        EngineFallback(names, load_package(package), settings, EngineNotices(given_up.append)),
        given_up,
    )


def test_an_absent_engine_says_so_in_one_line_and_the_chain_continues(small_package: Path) -> None:
    chain, given_up = _chain(("torch-cuda", "tensorrt", "dimc"), package=small_package)
    assert chain.engine().info.name == "dimc"
    assert [error.subject for error in given_up] == ["torch-cuda", "tensorrt"]
    assert all("\n" not in str(error) and error.cure for error in given_up)
    chain.close()


@pytest.mark.parametrize("name", ["torch-cpu", "torch-cuda", "tensorrt"])
def test_without_torch_an_engine_that_needs_it_says_how_to_install_it(
    name: EngineName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(EngineUnavailable, match=rf"{name} needs torch.*flightsw\[torch\]"):
        open_engine(name, load_package(), SETTINGS)


def _fail(engine: ReconnectingEngine) -> str:
    """Work that only the CPU completes."""
    if engine.info.name != "torch-cpu":
        raise FAILURE
    return engine.info.name


def _run(engine: ReconnectingEngine) -> str:
    """Work that needs answers."""
    tile = (1, engine.info.tile_size, engine.info.tile_size, len(engine.info.bands))
    engine.infer(np.zeros(tile, engine.info.tile_dtype))
    return engine.info.name


def test_an_engine_that_fails_twice_makes_room_for_the_next_one(light_package: Path) -> None:
    chain, given_up = _chain(("dimc", "torch-cpu"), package=light_package)
    first = chain.engine()
    assert chain.serve(_fail) == "torch-cpu"
    assert first.closed
    assert chain.engine().info.name == "torch-cpu"
    assert given_up == [FAILURE]
    chain.close()


def test_after_the_last_engine_the_first_failure_is_raised_and_the_chain_starts_over(
    small_package: Path,
) -> None:
    chain, given_up = _chain(("dimc", "torch-cuda"), package=small_package)
    with pytest.raises(InferenceFailed, match="the card hangs"):
        chain.serve(_fail)
    assert given_up == [FAILURE]
    assert chain.engine().info.name == "dimc"
    chain.close()


def test_where_one_engine_is_wanted_no_other_takes_its_place(
    monkeypatch: pytest.MonkeyPatch,
    light_package: Path,
) -> None:
    chain, given_up = _chain(("dimc", "torch-cpu"), package=light_package)
    chain.engine().close()
    _lose_card(monkeypatch)
    with pytest.raises(EngineUnavailable, match="does not answer"):
        chain.serve(_run, "dimc")
    assert given_up == []
    assert chain.engine().info.name == "torch-cpu"
    chain.close()


def test_what_is_unavailable_besides_the_engine_costs_no_engine(light_package: Path) -> None:
    chain, given_up = _chain(("dimc", "torch-cpu"), package=light_package)

    def work(_: ReconnectingEngine) -> None:
        raise EngineUnavailable("pipeline.device cuda", "is unavailable", "Set it to cpu")

    with pytest.raises(EngineUnavailable, match="cuda is unavailable"):
        chain.serve(work)
    assert given_up == []
    assert chain.engine().info.name == "dimc"
    chain.close()


def _lose_card(monkeypatch: pytest.MonkeyPatch, after: int = 0) -> None:
    """From call ``after`` on no answer comes, and then the card cannot be opened again."""
    run, calls = instance.ModelInstance.run, count()
    open_card, lost = fallback.open_dimc_engine, [after == 0]

    def run_or_fail(self: Any, inputs: Any, outputs: Any) -> None:
        if next(calls) >= after:
            lost[0] = True
            raise CardGone("the card left the bus")
        run(self, inputs, outputs)

    def open_or_fail(package: ModelPackage, settings: DimcSettings) -> Engine:
        if lost[0]:
            raise EngineUnavailable("the card", "does not answer", "Check the slot")
        return open_card(package, settings)

    monkeypatch.setattr(instance.ModelInstance, "run", run_or_fail)
    monkeypatch.setattr(fallback, "open_dimc_engine", open_or_fail)


def test_a_card_lost_before_the_golden_tiles_leaves_them_to_the_next_engine(
    monkeypatch: pytest.MonkeyPatch,
    light_package: Path,
) -> None:
    chain, given_up = _chain(("dimc", "torch-cpu"), package=light_package)
    chain.engine()
    _lose_card(monkeypatch)
    report = chain.find_sound()
    assert (report.engine, report.passed) == ("torch-cpu", True)
    assert [error.cause for error in given_up] == ["does not answer"]
    chain.close()


def test_a_card_lost_among_the_golden_tiles_leaves_them_to_the_next_engine(
    monkeypatch: pytest.MonkeyPatch,
    light_package: Path,
) -> None:
    chain, given_up = _chain(("dimc", "torch-cuda", "torch-cpu"), package=light_package)
    chain.engine()
    _lose_card(monkeypatch, after=2)
    assert chain.find_sound().engine == "torch-cpu"
    assert [error.subject for error in given_up] == ["the card", "torch-cuda"]
    chain.close()


def test_a_card_lost_in_the_middle_of_a_scene_leaves_it_to_the_next_engine(
    monkeypatch: pytest.MonkeyPatch,
    light_package: Path,
) -> None:
    chain, given_up = _chain(("dimc", "torch-cpu"), package=light_package)
    chain.engine()
    _lose_card(monkeypatch)
    assert chain.serve(_run) == "torch-cpu"
    assert [error.cause for error in given_up] == ["does not answer"]
    assert isinstance(given_up[0].__cause__, InferenceFailed)
    chain.close()


def test_a_card_lost_in_the_golden_tiles_after_its_reopening_leaves_the_scene_to_the_next_engine(
    monkeypatch: pytest.MonkeyPatch,
    light_package: Path,
) -> None:
    chain, given_up = _chain(("dimc", "torch-cpu"), package=light_package)
    chain.engine()
    _lose_card(monkeypatch, after=2)
    assert chain.serve(_fail) == "torch-cpu"
    assert given_up == [FAILURE]
    chain.close()


@pytest.mark.parametrize("lost_after", [0, 2])
def test_where_all_engines_are_lost_the_first_failure_ends_the_search(
    monkeypatch: pytest.MonkeyPatch, lost_after: int, small_package: Path
) -> None:
    chain, given_up = _chain(("dimc", "torch-cuda"), package=small_package)
    chain.engine()
    with monkeypatch.context() as patched:
        _lose_card(patched, lost_after)
        with pytest.raises(EngineUnavailable, match="the card does not answer"):
            chain.find_sound()
        assert len(given_up) == 1
        with pytest.raises(EngineUnavailable, match="the card does not answer"):
            chain.serve(_run)
    assert chain.find_sound().engine == "dimc"
    chain.close()


def test_a_lost_card_that_a_job_names_is_not_replaced(
    monkeypatch: pytest.MonkeyPatch, light_package: Path
) -> None:
    chain, given_up = _chain(("dimc", "torch-cpu"), package=light_package)
    chain.engine()
    _lose_card(monkeypatch)
    for _ in range(2):  # in the middle of a scene, and before the next one
        with pytest.raises(EngineUnavailable, match="the card does not answer"):
            chain.serve(_run, "dimc")
    assert given_up == []
    assert chain.serve(_run, "torch-cpu") == "torch-cpu"
    assert chain.serve(_run) == "torch-cpu"
    chain.close()


def test_a_card_that_was_closed_and_does_not_come_back_is_refreshed(
    monkeypatch: pytest.MonkeyPatch, small_package: Path
) -> None:
    chain, _ = _chain(("dimc",), package=small_package)
    chain.engine().close()
    opened, refreshed = fallback.open_dimc_engine, list[DimcSettings]()

    def wedged(package: ModelPackage, settings: DimcSettings) -> Engine:
        if not refreshed:
            raise EngineUnavailable("dimc", "the device is in use", "Refresh it")
        return opened(package, settings)

    def refresh(settings: DimcSettings) -> bool:
        refreshed.append(settings)
        return True

    monkeypatch.setattr(fallback, "open_dimc_engine", wedged)
    monkeypatch.setattr(fallback, "refresh_card", refresh)
    assert chain.engine().info.name == "dimc"
    assert len(refreshed) == 1
    chain.close()


@pytest.mark.parametrize(("simulated", "again"), [(True, "auto"), (False, "card")])
def test_no_simulator_ends_what_a_card_has_begun(
    monkeypatch: pytest.MonkeyPatch, small_package: Path, *, simulated: bool, again: str
) -> None:
    opened, asked = fallback.open_dimc_engine, list[str]()

    def open_it(package: ModelPackage, settings: DimcSettings) -> Engine:
        asked.append(settings.card)
        engine = opened(package, SETTINGS.dimc)
        monkeypatch.setattr(
            type(engine), "info", dataclasses.replace(engine.info, simulated=simulated)
        )
        return engine

    monkeypatch.setattr(fallback, "open_dimc_engine", open_it)
    chain, _ = _chain(("dimc",), Settings(dimc=DimcSettings(card="auto")), package=small_package)
    chain.engine().close()
    chain.engine()
    chain.close()
    assert asked == ["auto", again]


def test_a_chain_without_any_engine_says_why_the_first_is_absent(small_package: Path) -> None:
    chain, _ = _chain(("dimc", "torch-cuda"), NO_CARD, package=small_package)
    with pytest.raises(EngineUnavailable, match="axelera"):
        chain.engine()


def test_every_engine_gives_the_same_model_and_its_own_arithmetic(light_package: Path) -> None:
    package = load_package(light_package)
    with (
        open_engine("dimc", package, SETTINGS) as card,
        open_engine("torch-cpu", package, SETTINGS) as cpu,
    ):
        assert card.info.model_id == cpu.info.model_id == package.model_id
        assert (card.info.precision, cpu.info.precision) == ("int8", "fp32")
        assert (card.info.tag, cpu.info.tag) == ("axelera", "torch")
