"""Scenes in a row, as the benchmark measures and tells them."""

from __future__ import annotations

import msgspec
import pytest

from deploy.benchmark.pages.pipe import pipe_section
from deploy.benchmark.pipe import PipeRound, measure_pipe
from tests.conftest import Simulated


def test_the_share_is_that_of_the_slower_stage() -> None:
    decode_bound = PipeRound(9.7, 19.0, 2.0, 10.0, 20.0)
    card_bound = PipeRound(9.0, 18.0, 9.9, 10.0, 20.0)
    assert decode_bound.share == pytest.approx(0.97)
    assert card_bound.share == pytest.approx(0.99)


def test_real_scenes_in_a_row_are_measured_and_told_on_the_page(simulated: Simulated) -> None:
    pipe = measure_pipe(simulated.scene, latency_ms=2.0, rounds=2)
    assert len(pipe.rounds) == 2
    for one in pipe.rounds:
        assert one.decode_seconds > 0
        assert 0 < one.card_seconds < one.seconds
        assert min(one.decode_cpu_seconds, one.cpu_seconds) > 0
    rows = [{"latency_ms": 2.0, "share": 0.5} | msgspec.to_builtins(one) for one in pipe.rounds]
    page = pipe_section({"size": 900, "rounds": rows})
    assert page.count("| 2 ms a tile |") == 2
    assert "**0.500** at 2 ms" in page
