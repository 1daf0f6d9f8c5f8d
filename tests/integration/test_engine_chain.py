"""Scenes through the chain of engines, with a card that fails in every way."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

from flightsw.chain import ProcessedScene, SceneRequest, open_chain
from flightsw.config import DimcSettings, FaultSettings, PipelineSettings, Settings
from flightsw.dimc import injection
from flightsw.dimc.injection import injector_of
from flightsw.engines.fallback import EngineNotices
from flightsw.errors import AnswerWrong, EngineError, EngineUnavailable, InferenceFailed
from flightsw.pipeline import stages
from flightsw.products.contents import FinishedRows
from telecommands.dictionary import EngineName
from tests.conftest import Simulated, run_command
from tests.unit.flightsw.scene.safe_writer import SafeProduct

CARD = DimcSettings(card="simulator")
MASK = frozenset({"mask"})


class _Chains(Protocol):
    """Settings of chains with the model that ships; of the card alone, with one layer's."""

    def __call__(self, *engines: EngineName, faults: FaultSettings | None = None) -> Settings: ...


@pytest.fixture(scope="session")
def settings_of(light_package: Path, small_package: Path) -> _Chains:
    def made(*engines: EngineName, faults: FaultSettings | None = None) -> Settings:
        model = small_package if engines == ("dimc",) else light_package
        dimc, pipeline = replace(CARD, faults=faults), PipelineSettings(golden_every=5)
        return Settings(model=model, engines=engines, dimc=dimc, pipeline=pipeline)

    return made


def _mask(processed: ProcessedScene) -> NDArray[np.uint8]:
    mask: NDArray[np.uint8] = np.load(processed.products.paths("mask")[0])
    return mask


class _Heard:
    def __init__(self) -> None:
        self.given_up: list[EngineError] = []
        self.recovered: list[EngineError] = []
        self.corrected: list[EngineError] = []

    @property
    def notices(self) -> EngineNotices:
        return EngineNotices(
            self.given_up.append, self.recovered.append, corrected=self.corrected.append
        )


@pytest.fixture(scope="session")
def masks(
    settings_of: _Chains, simulated: Simulated, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, NDArray[np.uint8]]:
    """The masks of sound engines: those of the model that ships, and of the card alone."""
    found, scene, folder = {}, simulated.scene, tmp_path_factory.mktemp("masks")
    with open_chain(settings_of("dimc", "torch-cpu")) as chain:
        for name in ("dimc", "torch-cpu"):
            found[name] = _mask(
                chain.process(SceneRequest(scene, folder / name, MASK, engine=name))
            )
    with open_chain(settings_of("dimc")) as chain:
        found["card alone"] = _mask(chain.process(SceneRequest(scene, folder / "alone", MASK)))
    return found


@pytest.fixture(autouse=True)
def _unused_injectors() -> None:
    injector_of.cache_clear()


def _faults(first: int, most: int | None = None, **rates: float) -> FaultSettings:
    """Faults from a card's frame number ``first`` on, ``most`` of them."""
    return FaultSettings(first=first, most=most, **rates)  # type: ignore[arg-type]


def test_int8_and_fp32_agree_as_the_release_says(masks: dict[str, NDArray[np.uint8]]) -> None:
    assert (masks["dimc"] == masks["torch-cpu"]).mean() > 0.98


def test_a_card_that_is_lost_once_is_reopened_in_the_middle_of_a_scene(
    settings_of: _Chains,
    simulated: Simulated,
    tmp_path: Path,
    masks: dict[str, NDArray[np.uint8]],
) -> None:
    faults, heard = _faults(8, 1, connection_error=1.0), _Heard()
    with open_chain(settings_of("dimc", faults=faults), heard.notices) as chain:
        processed = chain.process(SceneRequest(simulated.scene, tmp_path, MASK))
    np.testing.assert_array_equal(_mask(processed), masks["card alone"])
    assert [type(one) for one in heard.recovered] == [InferenceFailed]
    assert heard.given_up == []


def test_a_card_that_goes_wrong_for_a_while_is_tested_and_the_scene_begins_again(
    settings_of: _Chains,
    simulated: Simulated,
    tmp_path: Path,
    masks: dict[str, NDArray[np.uint8]],
) -> None:
    faults, heard = _faults(6, 1, inverted=1.0), _Heard()
    with open_chain(settings_of("dimc", faults=faults), heard.notices) as chain:
        processed = chain.process(SceneRequest(simulated.scene, tmp_path, MASK))
    np.testing.assert_array_equal(_mask(processed), masks["card alone"])
    assert "golden tile" in str(heard.recovered[0])


def test_a_wrong_answer_between_two_golden_tiles_is_computed_again_and_the_scene_continues(
    settings_of: _Chains,
    simulated: Simulated,
    tmp_path: Path,
    masks: dict[str, NDArray[np.uint8]],
) -> None:
    faults, heard = _faults(8, 1, inverted=1.0), _Heard()
    with open_chain(settings_of("dimc", faults=faults), heard.notices) as chain:
        processed = chain.process(SceneRequest(simulated.scene, tmp_path, MASK))
    np.testing.assert_array_equal(_mask(processed), masks["card alone"])
    assert [type(one) for one in heard.corrected] == [AnswerWrong]
    assert "tile row 1, column 1" in str(heard.corrected[0])
    assert heard.recovered == heard.given_up == []


def test_a_card_that_hangs_is_left_and_what_it_says_later_disturbs_nobody(
    settings_of: _Chains,
    simulated: Simulated,
    tmp_path: Path,
    masks: dict[str, NDArray[np.uint8]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release = threading.Event()
    monkeypatch.setattr(injection, "sleep", lambda _: release.wait(120))
    monkeypatch.setattr(stages, "_JOIN_SECONDS", 0.2)
    faults, heard = _faults(8, 1, hang=1.0), _Heard()
    settings = settings_of("dimc", faults=faults)
    settings = replace(settings, pipeline=PipelineSettings(stall_seconds=5.0))
    with open_chain(settings, heard.notices) as chain:
        processed = chain.process(SceneRequest(simulated.scene, tmp_path / "a", MASK))
        assert "nothing moved" in str(heard.recovered[0])
        release.set()
        again = chain.process(SceneRequest(simulated.scene, tmp_path / "b", MASK))
    np.testing.assert_array_equal(_mask(processed), masks["card alone"])
    np.testing.assert_array_equal(_mask(again), masks["card alone"])


@pytest.mark.parametrize("kind", ["connection_error", "lost_device", "inverted"])
def test_a_card_that_is_lost_for_good_hands_the_scene_to_the_next_engine(
    settings_of: _Chains,
    simulated: Simulated,
    tmp_path: Path,
    masks: dict[str, NDArray[np.uint8]],
    kind: str,
) -> None:
    faults, heard = _faults(6, None, **{kind: 1.0}), _Heard()
    with open_chain(settings_of("dimc", "torch-cpu", faults=faults), heard.notices) as chain:
        processed = chain.process(SceneRequest(simulated.scene, tmp_path, MASK))
        assert processed.engine.name == "torch-cpu"
        assert processed.products.paths("mask")[0].name.endswith("_torch_cloud_mask.npy")
        again = chain.process(SceneRequest(simulated.scene, tmp_path / "again", MASK))
    np.testing.assert_array_equal(_mask(processed), masks["torch-cpu"])
    np.testing.assert_array_equal(_mask(again), masks["torch-cpu"])
    assert len(heard.given_up) == 1


def test_a_named_engine_is_used_and_never_replaced(
    settings_of: _Chains, simulated: Simulated, tmp_path: Path, masks: dict[str, NDArray[np.uint8]]
) -> None:
    with open_chain(settings_of("dimc", "torch-cuda")) as chain:
        named = chain.process(SceneRequest(simulated.scene, tmp_path, MASK, engine="torch-cpu"))
        np.testing.assert_array_equal(_mask(named), masks["torch-cpu"])
        with pytest.raises(EngineUnavailable, match="CUDA"):
            chain.process(SceneRequest(simulated.scene, tmp_path / "b", MASK, engine="torch-cuda"))
        assert not (tmp_path / "b").exists()
        usual = chain.process(SceneRequest(simulated.scene, tmp_path / "c", MASK))
    np.testing.assert_array_equal(_mask(usual), masks["dimc"])


def test_a_named_engine_that_serves_and_fails_for_good_fails_its_job_alone(
    settings_of: _Chains,
    simulated: Simulated,
    tmp_path: Path,
    masks: dict[str, NDArray[np.uint8]],
) -> None:
    faults, heard = _faults(6, connection_error=1.0), _Heard()
    with open_chain(settings_of("dimc", "torch-cpu", faults=faults), heard.notices) as chain:
        with pytest.raises(InferenceFailed, match="ConnectionError"):
            chain.process(SceneRequest(simulated.scene, tmp_path / "a", MASK, engine="dimc"))
        assert heard.given_up == []
        assert not (tmp_path / "a").exists()
        usual = chain.process(SceneRequest(simulated.scene, tmp_path / "b", MASK))
    np.testing.assert_array_equal(_mask(usual), masks["torch-cpu"])


@pytest.mark.parametrize("last", ["torch-cuda", "tensorrt"])
def test_a_card_that_answers_no_golden_tile_ends_the_self_test(
    settings_of: _Chains, last: EngineName
) -> None:
    faults, heard = _faults(0, connection_error=1.0), _Heard()
    with (
        open_chain(settings_of("dimc", last, faults=faults), heard.notices) as chain,
        pytest.raises(InferenceFailed, match="ConnectionError"),
    ):
        chain.find_sound_engine()
    assert len(heard.given_up) == 1


def test_the_wrong_answers_of_the_only_engine_that_answers_are_reported(
    settings_of: _Chains,
) -> None:
    with open_chain(settings_of("dimc", "torch-cuda", faults=_faults(0, inverted=1.0))) as chain:
        report = chain.find_sound_engine()
    assert (report.engine, report.passed) == ("dimc", False)


def test_scenes_begun_ahead_give_the_masks_of_scenes_run_alone(
    settings_of: _Chains, simulated: Simulated, tmp_path: Path, masks: dict[str, NDArray[np.uint8]]
) -> None:
    requests = [SceneRequest(simulated.scene, tmp_path / str(number), MASK) for number in range(3)]
    waiting = [*requests]
    with open_chain(settings_of("dimc")) as chain:
        for request in requests:
            waiting.remove(request)
            processed = chain.process(request, upcoming=lambda: waiting[0] if waiting else None)
            np.testing.assert_array_equal(_mask(processed), masks["card alone"])


def test_the_mask_alone_is_made_in_panels_and_the_same_as_with_products_that_draw_on_the_bands(
    settings_of: _Chains,
    tmp_path: Path,
) -> None:
    scene = SafeProduct(height=260, width=2600, tile=(64, 1024)).write(tmp_path)
    masks, kept = {}, {}
    with open_chain(settings_of("dimc")) as chain:
        for products in (MASK, MASK | {"fill"}):
            bands = _BandsSeen()
            request = SceneRequest(scene, tmp_path / str(len(products)), products)
            processed = chain.process(request, begun=lambda _grid, _bytes, to=bands: [to])
            masks[products], kept[products] = _mask(processed), bands.seen
    np.testing.assert_array_equal(*masks.values())
    assert set(np.unique(masks[MASK])) == {0, 1}
    assert kept == {MASK: {False}, MASK | {"fill"}: {True}}


class _BandsSeen:
    """Whether finished rows came with their digital numbers."""

    def __init__(self) -> None:
        self.seen: set[bool] = set()

    def write(self, rows: FinishedRows) -> None:
        self.seen.add(rows.digital_numbers is not None)


def test_the_command_line_says_in_one_line_which_engine_is_absent(
    simulated: Simulated, small_package: Path, tmp_path: Path
) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text(
        f'model = "{small_package}"\nengines = ["torch-cuda", "dimc"]\n[dimc]\ncard = "simulator"\n'
    )
    common = ["process", str(simulated.scene), "--settings", str(settings), "--json"]
    done = run_command("flightsw", [*common, "-o", str(tmp_path / "a")])
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("\n") == 1
    assert "torch-cuda" in done.stderr
    assert json.loads(done.stdout)["contaminated_share"] > 0
    alone = run_command("flightsw", [*common, "-o", str(tmp_path / "b"), "--engine", "torch-cuda"])
    assert alone.returncode == 5
    assert json.loads(alone.stdout)["error"]["code"] == "ENGINE_UNAVAILABLE"
    assert not (tmp_path / "b").exists()
