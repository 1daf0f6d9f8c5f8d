"""Which engine of a chain serves."""

from __future__ import annotations

import dataclasses

import pytest

from flightsw.config import DimcSettings, Settings
from flightsw.engines import fallback as selection
from flightsw.engines.engine import Engine
from flightsw.engines.fallback import EngineFallback, EngineNotices, open_engine
from flightsw.errors import EngineError, EngineUnavailable, InferenceFailed
from flightsw.model.package import ModelPackage, load_package
from telecommands.dictionary import EngineName

SETTINGS = Settings(dimc=DimcSettings(card="simulator"))
NO_CARD = Settings(dimc=DimcSettings(card="card"))
FAILURE = InferenceFailed("metis-0:3:0", "the card hangs", "Refresh it")


def _chain(
    names: tuple[EngineName, ...], settings: Settings = SETTINGS
) -> tuple[EngineFallback, list[EngineError]]:
    given_up: list[EngineError] = []
    return (
        EngineFallback(names, load_package(), settings, EngineNotices(given_up.append)),
        given_up,
    )


def test_an_absent_engine_says_so_in_one_line_and_the_chain_goes_on() -> None:
    chain, given_up = _chain(("torch-cuda", "tensorrt", "dimc"))
    assert chain.engine().info.name == "dimc"
    assert [error.subject for error in given_up] == ["torch-cuda", "tensorrt"]
    assert all("\n" not in str(error) and error.cure for error in given_up)
    chain.close()


def test_an_engine_that_is_given_up_makes_room_for_the_next_one() -> None:
    chain, given_up = _chain(("dimc", "torch-cpu"))
    assert chain.engine().info.name == "dimc"
    chain.give_up(FAILURE)
    assert chain.opened is None
    assert chain.engine().info.name == "torch-cpu"
    assert given_up == [FAILURE]
    chain.close()


def test_after_the_last_engine_the_first_failure_is_told_and_the_chain_begins_anew() -> None:
    chain, given_up = _chain(("dimc", "torch-cuda"))
    chain.engine()
    chain.give_up(FAILURE)
    with pytest.raises(InferenceFailed, match="the card hangs"):
        chain.engine()
    assert given_up == [FAILURE]
    assert chain.engine().info.name == "dimc"
    chain.close()


def test_where_one_engine_is_wanted_no_other_takes_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chain, given_up = _chain(("dimc", "torch-cpu"))
    chain.engine("dimc").close()

    def gone(*_: object) -> None:
        raise EngineUnavailable("dimc", "no card answers", "Check the slot")

    monkeypatch.setattr(selection, "open_dimc_engine", gone)
    with pytest.raises(EngineUnavailable, match="no card answers"):
        chain.engine("dimc")
    assert given_up == []
    assert chain.engine().info.name == "torch-cpu"
    chain.close()


def test_a_card_that_was_closed_and_does_not_come_back_is_refreshed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chain, _ = _chain(("dimc",))
    chain.engine().close()
    opened, refreshed = selection.open_dimc_engine, list[DimcSettings]()

    def wedged(package: ModelPackage, settings: DimcSettings) -> Engine:
        if not refreshed:
            raise EngineUnavailable("dimc", "the device is in use", "Refresh it")
        return opened(package, settings)

    def refresh(settings: DimcSettings) -> bool:
        refreshed.append(settings)
        return True

    monkeypatch.setattr(selection, "open_dimc_engine", wedged)
    monkeypatch.setattr(selection, "refresh_card", refresh)
    assert chain.engine().info.name == "dimc"
    assert len(refreshed) == 1
    chain.close()


@pytest.mark.parametrize(("simulated", "again"), [(True, "auto"), (False, "card")])
def test_no_simulator_ends_what_a_card_has_begun(
    monkeypatch: pytest.MonkeyPatch, *, simulated: bool, again: str
) -> None:
    opened, asked = selection.open_dimc_engine, list[str]()

    def open_it(package: ModelPackage, settings: DimcSettings) -> Engine:
        asked.append(settings.card)
        engine = opened(package, SETTINGS.dimc)
        monkeypatch.setattr(
            type(engine), "info", dataclasses.replace(engine.info, simulated=simulated)
        )
        return engine

    monkeypatch.setattr(selection, "open_dimc_engine", open_it)
    chain, _ = _chain(("dimc",), Settings(dimc=DimcSettings(card="auto")))
    chain.engine().close()
    chain.engine()
    chain.close()
    assert asked == ["auto", again]


def test_a_chain_without_any_engine_tells_why_the_first_is_absent() -> None:
    chain, _ = _chain(("dimc", "torch-cuda"), NO_CARD)
    with pytest.raises(EngineUnavailable, match="axelera"):
        chain.engine()


def test_every_engine_tells_the_same_model_and_its_own_arithmetic() -> None:
    package = load_package()
    with (
        open_engine("dimc", package, SETTINGS) as card,
        open_engine("torch-cpu", package, SETTINGS) as cpu,
    ):
        assert card.info.model_id == cpu.info.model_id == package.model_id
        assert (card.info.precision, cpu.info.precision) == ("int8", "fp32")
        assert (card.info.tag, cpu.info.tag) == ("axelera", "torch")
