"""A failing engine is reopened, and the scene continues unaffected."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flightsw.engines.engine import CardReadings, Engine, Logits, Tiles
from flightsw.engines.reconnecting import ReconnectingEngine
from flightsw.errors import EngineUnavailable, InferenceFailed
from tests.unit.flightsw.small_parts import ArithmeticEngine


class _Fragile(ArithmeticEngine):
    """Fails at one call, counted over pushes, or when its answers are flushed; then it is lost."""

    def __init__(self, delay: int, fails_at: int | None, *, at_flush: bool = False) -> None:
        super().__init__(delay=delay)
        self._fails_at = fails_at
        self._at_flush = at_flush
        self.closed = False

    def push(self, tiles: Tiles) -> NDArray[np.int8] | None:
        if self.closed or self.tiles_seen == self._fails_at:
            raise InferenceFailed("metis-0:3:0", "the card raised InternalError", "Refresh it")
        return super().push(tiles)

    def flush(self) -> Iterator[NDArray[np.int8]]:
        if self._at_flush:
            raise InferenceFailed("metis-0:3:0", "the card went away", "Refresh it")
        yield from super().flush()

    def readings(self) -> CardReadings | None:
        return CardReadings(self.tiles_seen, self.tiles_seen, 2.0, 4.4, 40.0)

    def close(self) -> None:
        self.closed = True


def _tiles(count: int) -> list[NDArray[np.int8]]:
    random = np.random.default_rng(count)
    return [random.integers(-128, 128, (1, 8, 8, 4), np.int8) for _ in range(count)]


def _answers(engine: Engine, batches: list[NDArray[np.int8]]) -> list[Logits]:
    pushed = [engine.push(tiles) for tiles in batches]
    return [*(logits for logits in pushed if logits is not None), *engine.flush()]


@given(
    delay=st.integers(0, 3),
    reopened_delay=st.integers(0, 3),
    count=st.integers(1, 9),
    fails_at=st.integers(0, 8),
    at_flush=st.booleans(),
)
def test_every_batch_is_answered_once_and_in_order_whenever_the_engine_fails(
    delay: int, reopened_delay: int, count: int, fails_at: int, at_flush: bool
) -> None:
    failures: list[InferenceFailed] = []
    engine = ReconnectingEngine(
        _Fragile(delay, fails_at, at_flush=at_flush),
        lambda: ArithmeticEngine(delay=reopened_delay),
        failures.append,
    )
    batches = _tiles(count)
    found = _answers(engine, batches)
    expected = [ArithmeticEngine().infer(tiles) for tiles in batches]
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    fails = fails_at < count or (at_flush and min(delay, count) > 0)
    assert len(failures) == fails


def test_a_batch_that_fails_twice_is_given_up_with_its_own_error() -> None:
    reopened = _Fragile(0, 0)
    engine = ReconnectingEngine(_Fragile(0, 2), lambda: reopened, lambda _: None)
    batches = _tiles(3)
    assert engine.push(batches[0]) is not None
    assert engine.push(batches[1]) is not None
    with pytest.raises(InferenceFailed, match="the card raised InternalError"):
        engine.push(batches[2])
    assert reopened.closed
    assert list(engine.flush()) == []


def test_engines_that_fail_now_and_then_carry_a_scene_to_its_end() -> None:
    failures: list[InferenceFailed] = []
    engine = ReconnectingEngine(_Fragile(2, 4), lambda: _Fragile(2, 5), failures.append)
    assert len(_answers(engine, _tiles(20))) == 20
    assert len(failures) > 2


def test_an_engine_that_cannot_be_opened_again_says_so_and_why_it_was_tried() -> None:
    def reopen() -> Engine:
        raise EngineUnavailable("dimc", "no card answers", "Check the slot")

    engine = ReconnectingEngine(_Fragile(1, 1), reopen, lambda _: None)
    engine.push(_tiles(1)[0])
    with pytest.raises(EngineUnavailable, match="no card answers") as caught:
        engine.push(_tiles(1)[0])
    assert isinstance(caught.value.__cause__, InferenceFailed)


def test_what_the_card_measured_before_it_was_reopened_still_counts() -> None:
    engine = ReconnectingEngine(_Fragile(0, 3), lambda: _Fragile(0, None), lambda _: None)
    _answers(engine, _tiles(5))
    readings = engine.readings()
    assert readings is not None
    assert readings.busy_ns == 5
    assert readings.energy_joules == 4.0


def test_an_interrupt_is_not_a_failure_of_the_card() -> None:
    class _Interrupted(ArithmeticEngine):
        def push(self, tiles: Tiles) -> NDArray[np.int8] | None:
            raise KeyboardInterrupt

    engine = ReconnectingEngine(_Interrupted(), ArithmeticEngine, lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        engine.push(_tiles(1)[0])
    assert list(engine.flush()) == []


def test_a_closed_engine_answers_nothing_more_however_late_it_is_asked() -> None:
    reopened: list[Engine] = []
    engine = ReconnectingEngine(_Fragile(1, None), lambda: reopened[0], lambda _: None)
    engine.push(_tiles(1)[0])
    engine.close()
    with pytest.raises(InferenceFailed, match="closed"):
        engine.push(_tiles(1)[0])
    assert list(engine.flush()) == []
    assert engine.closed


def test_a_closed_engine_that_speaks_up_late_is_not_opened_again() -> None:
    opened, recovered = list[Engine](), list[InferenceFailed]()

    class _Late(_Fragile):
        def push(self, tiles: Tiles) -> NDArray[np.int8] | None:
            engine.close()  # the chain gave it up while it hung
            return super().push(tiles)

    def reopen() -> Engine:
        opened.append(_Fragile(0, None))
        return opened[-1]

    engine = ReconnectingEngine(_Late(0, None), reopen, recovered.append)
    with pytest.raises(InferenceFailed):
        engine.push(_tiles(1)[0])
    assert opened == recovered == []


def test_an_engine_that_opens_after_it_was_given_up_is_closed_again() -> None:
    opened, recovered = list[_Fragile](), list[InferenceFailed]()

    def reopen() -> Engine:
        opened.append(_Fragile(0, None))
        engine.close()
        return opened[-1]

    engine = ReconnectingEngine(_Fragile(0, 0), reopen, recovered.append)
    with pytest.raises(InferenceFailed, match="InternalError"):
        engine.push(_tiles(1)[0])
    assert [one.closed for one in opened] == [True]
    assert recovered == []
