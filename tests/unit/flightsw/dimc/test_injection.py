from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flightsw.config import FaultSettings, Rate
from flightsw.dimc import errors
from flightsw.dimc.injection import (
    EXCEPTIONS,
    FRAME_KINDS,
    KINDS,
    SETUP_KINDS,
    FaultInjector,
    FaultyContext,
)

_ANSWER = np.arange(-8, 8, dtype=np.int8).reshape(1, 4, 2, 2)


class _Runtime:
    """Context, connection and instance of a card that answers frame n with n more."""

    frames = 0

    def load_model(self, _: str) -> str:
        return "model"

    def device_connect(self, *_: object) -> _Runtime:
        return self

    def load_model_instance(self, _: object, **__: int) -> _Runtime:
        return self

    def run(self, _: list[Any], outputs: list[NDArray[np.int8]]) -> None:
        self.frames += 1
        outputs[0][...] = _ANSWER + self.frames


def _opened(injector: FaultInjector) -> Callable[[], NDArray[np.int8]]:
    """Open a card; runs a frame, of which the answer overwrites the one before."""
    context: Any = FaultyContext(_Runtime(), injector, (errors.RuntimeFault,))
    model = context.load_model("model.json")
    instance = context.device_connect(None, 1).load_model_instance(model)
    answer = np.zeros_like(_ANSWER)

    def run() -> NDArray[np.int8]:
        instance.run([None], [answer])
        return answer.copy()

    return run


def _injector(**settings: Any) -> FaultInjector:
    return FaultInjector(FaultSettings(**settings))


def test_each_probability_of_the_settings_is_a_kind_of_fault() -> None:
    hints = get_type_hints(FaultSettings, include_extras=True)
    rates = {name for name, hint in hints.items() if hint == Rate}
    assert get_origin(Rate) is Annotated
    assert get_args(Rate)[0] is float
    assert rates == set(KINDS)


def test_every_exception_of_the_vendor_is_a_kind_of_its_own_name() -> None:
    snake = {"".join(one.split("_")): EXCEPTIONS[one] for one in EXCEPTIONS}
    assert [snake[name.lower()] for name in errors.NAMES] == [*errors.NAMES]


@pytest.mark.parametrize("kind", [one for one in FRAME_KINDS if one in EXCEPTIONS])
def test_a_frame_raises_the_exception_of_the_runtime_once(kind: str) -> None:
    run = _opened(_injector(**{kind: 1.0}, first=2, most=1))
    for _ in range(2):
        run()
    with pytest.raises(errors.RuntimeFault, match=f"injected: {kind}") as caught:
        run()
    assert type(caught.value) is getattr(errors, EXCEPTIONS[kind])
    if kind != "lost_device":
        run()


def test_a_lost_device_neither_answers_nor_opens_again() -> None:
    injector = _injector(lost_device=1.0, first=1, most=1)
    run = _opened(injector)
    run()
    for _ in range(2):
        with pytest.raises(errors.ConnectionError):
            run()
    with pytest.raises(errors.ConnectionError):
        _opened(injector)


@pytest.mark.parametrize("kind", ["setup_in_use", "setup_mismatch"])
def test_a_card_that_does_not_open_opens_the_next_time(kind: str) -> None:
    injector = _injector(**{kind: 1.0}, most=1)
    with pytest.raises(getattr(errors, EXCEPTIONS[kind])):
        _opened(injector)
    _opened(injector)()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("inverted", lambda right, _: ~right),
        ("zero", lambda right, _: 0 * right),
        ("stale", lambda _, before: before),
    ],
)
def test_one_answer_is_wrong_in_its_way(kind: str, expected: Callable[..., Any]) -> None:
    run = _opened(_injector(**{kind: 1.0}, first=1, most=1))
    before = run()
    np.testing.assert_array_equal(run(), expected(_ANSWER + 2, before))
    np.testing.assert_array_equal(run(), _ANSWER + 3)


def test_noise_is_unlike_the_answer_and_of_the_seed() -> None:
    noise = [_opened(_injector(noise=1.0, seed=seed))().tolist() for seed in (1, 1, 2)]
    assert noise[0] == noise[1] != noise[2]
    assert noise[0] != (_ANSWER + 1).tolist()


@pytest.mark.parametrize("kind", ["hang", "spike", "setup_slow"])
def test_what_comes_late_is_right(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("flightsw.dimc.injection.sleep", waited.append)
    seconds = {"hang_seconds": 7.0, "spike_ms": 7000.0, "setup_seconds": 7.0}
    run = _opened(_injector(**{kind: 1.0}, **seconds, most=1))
    np.testing.assert_array_equal(run(), _ANSWER + 1)
    assert waited == [7.0]


def test_the_sensor_shows_too_much_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("flightsw.dimc.injection.monotonic", lambda: now[0])
    injector = _injector(over_temperature=1.0, celsius=90.0, hot_seconds=30.0, most=1)
    run = _opened(injector)
    assert injector.celsius is None
    run()
    assert injector.celsius == 90.0
    now[0] += 30
    assert injector.celsius is None


@given(
    seed=st.integers(0, 99),
    rates=st.dictionaries(st.sampled_from(KINDS), st.sampled_from((0.0, 0.3, 1.0))),
    first=st.integers(0, 5),
    most=st.none() | st.integers(0, 5),
)
def test_the_same_seed_draws_the_same_faults_within_the_bounds(
    seed: int, rates: dict[str, float], first: int, most: int | None
) -> None:
    settings = FaultSettings(seed=seed, first=first, most=most, **rates)
    turns = [SETUP_KINDS, *[FRAME_KINDS] * 20] * 2
    drawn = []
    for _ in range(2):
        injector = FaultInjector(settings)
        drawn.append([injector.draw(kinds) for kinds in turns])
    assert drawn[0] == drawn[1]
    faults = [kind for kind in drawn[0] if kind]
    assert all(rates.get(kind) for kind in faults)
    assert most is None or len(faults) <= most
    assert not any(drawn[0][1 : first + 1])
    if most is None and 1.0 in [rates.get(kind) for kind in FRAME_KINDS]:
        assert all(drawn[0][first + 1 : 21])


def test_draws_continue_when_the_card_is_opened_again() -> None:
    injector = _injector(internal_error=0.5, seed=3)
    drawn = []
    for _ in range(4):
        run = _opened(injector)
        for _ in range(5):
            try:
                run()
            except errors.InternalError:
                drawn.append(True)
            else:
                drawn.append(False)
    assert {*drawn[:10]} == {*drawn[10:]} == {True, False}
    assert drawn[:10] != drawn[10:]
