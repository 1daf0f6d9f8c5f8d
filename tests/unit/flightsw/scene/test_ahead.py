"""The next scene is begun while the present one is computed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from flightsw.errors import CorruptImage, JobCancelled, SceneNotFound
from flightsw.pipeline.stages import StopSignal
from flightsw.scene.ahead import SceneAhead, SceneRecipe
from flightsw.scene.scene import Scene
from tests.conftest import Simulated


@pytest.fixture
def recipe(simulated: Simulated) -> SceneRecipe:
    return SceneRecipe(simulated.scene, ("B02", "B03", "B04", "B08"), 10, None, "cpu", 2)


def _pixels(scene: Scene) -> NDArray[np.uint16]:
    with scene.strips(2) as strips:
        return np.concatenate([strip.digital_numbers for strip in strips], axis=1)


def _decoding_threads() -> list[str]:
    names = ("decode", "check", "ahead")
    return [one.name for one in threading.enumerate() if one.name.startswith(names)]


def test_a_scene_begun_ahead_has_the_same_pixels_and_metadata(recipe: SceneRecipe) -> None:
    ahead = SceneAhead()
    with ahead.scene(recipe) as scene:
        expected, metadata = _pixels(scene), scene.metadata
    ahead.begin(lambda: recipe)
    with ahead.scene(recipe) as scene:
        assert any(name.startswith("decode") for name in _decoding_threads())  # it has begun
        np.testing.assert_array_equal(_pixels(scene), expected)
        assert scene.metadata == metadata
    ahead.close()
    assert _decoding_threads() == []


def test_another_scene_than_the_one_begun_is_opened_again(recipe: SceneRecipe) -> None:
    ahead = SceneAhead()
    ahead.begin(lambda: recipe)
    other = replace(recipe, ground_sample_distance=20)
    with ahead.scene(other) as scene:
        assert not any(name.startswith("decode") for name in _decoding_threads())
        assert scene.metadata.ground_sample_distance == 20
        assert _pixels(scene).shape == (4, 300, 300)
    ahead.close()
    assert _decoding_threads() == []


def _missing(recipe: SceneRecipe) -> SceneRecipe | None:
    return replace(recipe, path=recipe.path / "gone")


def _none(_: SceneRecipe) -> SceneRecipe | None:
    return None


def _unforeseen(_: SceneRecipe) -> SceneRecipe | None:
    raise ValueError("nobody thought of this")


@pytest.mark.parametrize("upcoming", [_missing, _none, _unforeseen])
def test_a_scene_that_cannot_be_begun_disturbs_nobody_and_fails_in_its_own_turn(
    recipe: SceneRecipe, upcoming: Callable[[SceneRecipe], SceneRecipe | None]
) -> None:
    ahead = SceneAhead()
    ahead.begin(lambda: upcoming(recipe))
    with ahead.scene(recipe) as scene:
        assert _pixels(scene).shape == (4, 600, 600)
    ahead.begin(lambda: upcoming(recipe))
    ahead.leave()
    ahead.begin(lambda: _missing(recipe))
    with pytest.raises(SceneNotFound), ahead.scene(replace(recipe, path=Path("/gone"))):
        pass
    ahead.close()
    assert _decoding_threads() == []


def test_only_one_scene_is_begun_and_leaving_it_stops_its_threads(recipe: SceneRecipe) -> None:
    ahead, asked = SceneAhead(), []

    def upcoming() -> SceneRecipe:
        asked.append(recipe)
        return recipe

    ahead.begin(upcoming)
    ahead.begin(upcoming)
    ahead.leave()
    assert len(asked) == 1
    assert not any(name.startswith("decode") for name in _decoding_threads())
    ahead.close()
    ahead.close()


@dataclass(frozen=True)
class _RecipeOnAHungDisk(SceneRecipe):
    """The disk answers once the event is set."""

    answers: threading.Event = threading.Event()  # noqa: RUF009 - each test makes its own

    def open(self) -> Scene:
        assert self.answers.wait(60)
        return super().open()


@pytest.fixture
def hung(recipe: SceneRecipe) -> Iterator[_RecipeOnAHungDisk]:
    one = _RecipeOnAHungDisk(**vars(recipe), answers=threading.Event())
    yield one
    one.answers.set()


@pytest.mark.parametrize("begun", [False, True])
def test_a_scene_that_hangs_while_it_is_opened_fails_at_its_deadline(
    recipe: SceneRecipe, hung: _RecipeOnAHungDisk, begun: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = SceneAhead()
    with monkeypatch.context() as patched:
        patched.setattr("flightsw.scene.ahead.OPEN_SECONDS", 0.01)
        if begun:
            ahead.begin(lambda: hung)
        with pytest.raises(CorruptImage, match="did not end within"), ahead.scene(hung):
            pass
    ahead.begin(lambda: recipe)  # the thread that hangs is in nobody's way
    with ahead.scene(recipe) as scene:
        assert _pixels(scene).shape == (4, 600, 600)
    ahead.close()


@pytest.mark.parametrize("begun", [False, True])
def test_a_scene_that_hangs_while_it_is_opened_can_be_cancelled(
    hung: _RecipeOnAHungDisk, begun: bool
) -> None:
    ahead, stop = SceneAhead(), StopSignal()
    if begun:
        ahead.begin(lambda: hung)
    cancelling = threading.Timer(0.01, stop.request, [JobCancelled("the job", "was cancelled")])
    cancelling.start()
    with pytest.raises(JobCancelled), ahead.scene(hung, stop.listen):
        pass
    cancelling.join()
    ahead.close()
