"""Scenes in a row, as the benchmark measures them and the page shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.benchmark.alone import run_alone
from deploy.benchmark.page import render
from deploy.benchmark.pipe import fill_pipe, slower_share
from tests.unit.deploy.benchmark.run_facts import RUN
from tests.unit.flightsw.scene.safe_writer import SafeProduct


def test_the_share_is_that_of_the_slower_stage() -> None:
    assert slower_share(9.7, 2.0, 10.0) == pytest.approx(0.97)
    assert slower_share(9.0, 9.9, 10.0) == pytest.approx(0.99)


def test_real_scenes_in_a_row_are_measured_and_shown_on_the_page(tmp_path: Path) -> None:
    rounds = run_alone(fill_pipe, SafeProduct().write(tmp_path), 2.0, 2)
    assert len(rounds) == 2
    for one in rounds:
        assert one["decode_seconds"] > 0
        assert 0 < one["card_seconds"] < one["seconds"]
        assert min(one["decode_cpu_seconds"], one["cpu_seconds"]) > 0
    page = render({"pipe": {"size": 900, "rounds": [one | {"share": 0.5} for one in rounds]} | RUN})
    assert page.count("| 2 ms a tile |") == 2
    assert "**0.500** at 2 ms" in page
