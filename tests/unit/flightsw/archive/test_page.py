"""Two runs of real masks, compared pixel by pixel and shown on one page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from flightsw.archive.agreement import Agreement, compare_outcomes
from flightsw.archive.comparison import ComparedScene, compare_runs
from flightsw.archive.outcome import Outcome, write_outcome
from flightsw.archive.page import write_page
from flightsw.archive.run_order import RunOrder
from tests.unit.flightsw.archive.conftest import CountingChain

pytest.importorskip("jinja2", reason="needs the extra archive")


def _run(folder: Path, outcome: Outcome, mask: np.ndarray) -> None:
    place = folder / outcome.folder
    write_outcome(place, outcome)
    np.save(place / "scene_cloud_mask.npy", mask)


@pytest.fixture
def outcome(order: RunOrder, chain: CountingChain) -> Outcome:
    return chain.station(order).answer("s3://stub/scene_0000001.json").outcome


def test_masks_of_two_runs_are_compared_and_shown(tmp_path: Path, outcome: Outcome) -> None:
    this, other = tmp_path / "this", tmp_path / "other"
    mask = np.zeros((600, 500), np.uint8)
    mask[0], mask[1, :10] = 255, 1
    changed = mask.copy()
    changed[599, 499], changed[1, :10] = 1, 0
    _run(this, outcome, mask)
    _run(other, outcome, changed)
    found = compare_outcomes(this, outcome, other)
    assert found is not None
    assert (found.pixels, found.only_this, found.only_other) == (599 * 500, 10, 1)
    scene = ComparedScene("a <b>", outcome.tile, outcome.sensed_at, outcome.folder, found)
    page = tmp_path / "page.html"
    write_page(page, compare_runs([scene], {outcome.tile: "forest"}), 3, this, other)
    text = page.read_text()
    assert "1 of 3 scenes have products in both runs" in text
    assert "99.996 % of 299,500 pixels" in text
    assert text.count("<img alt=") == text.count('src="data:image/png;base64,') == 2
    assert text.count("<svg") == 1
    assert "a &lt;b&gt;" in text
    assert "forest" in text


def test_a_scene_without_a_mask_in_both_runs_is_not_compared(
    tmp_path: Path, outcome: Outcome
) -> None:
    this, other = tmp_path / "this", tmp_path / "other"
    _run(this, outcome, np.zeros((9, 9), np.uint8))
    assert compare_outcomes(this, outcome, other) is None
    write_outcome(other / outcome.folder, replace(outcome, contaminated=None, code="CORRUPT_IMAGE"))
    assert compare_outcomes(this, outcome, other) is None


def test_masks_of_other_sizes_count_by_their_shares_alone(tmp_path: Path, outcome: Outcome) -> None:
    this, other = tmp_path / "this", tmp_path / "other"
    _run(this, outcome, np.zeros((9, 9), np.uint8))
    _run(other, outcome, np.zeros((5, 5), np.uint8))
    share = outcome.contaminated
    assert share is not None
    assert compare_outcomes(this, outcome, other) == Agreement(this=share, other=share)
