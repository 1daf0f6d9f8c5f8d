from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.model.evaluate import as_text, score, summary
from deploy.model.judged import class_probabilities, read_judged_tiles
from deploy.model.networks import Network
from deploy.model.scores import Confusion
from tests.unit.deploy.model.simulated_taught import BRIGHT


def by_brightness(threshold: float = BRIGHT, classes: int = 2) -> Network:
    """A network that calls every pixel with a bright blue band contaminated (thick cloud)."""

    def logits(windows: np.ndarray) -> np.ndarray:
        answers = np.zeros((len(windows), classes, *windows.shape[2:]), np.float32)
        answers[:, 1] = np.where(windows[:, 0] > threshold, 5, -5)
        answers[:, 2:] = -9
        return answers

    return Network(logits, 32)


def test_the_figures_follow_their_formulas() -> None:
    found = Confusion(
        both_clear=110,
        both_contaminated=60,
        only_a=10,
        only_b=20,
        valid_only_in_a=0,
        valid_only_in_b=0,
        distances=None,
    )
    precision, recall = 60 / 80, 60 / 70
    assert found.f2 == pytest.approx(5 * precision * recall / (4 * precision + recall))
    assert found.intersection_over_union == pytest.approx(60 / 90)
    assert found.balanced_accuracy == pytest.approx((recall + 110 / 130) / 2)
    assert found.agreement == pytest.approx(170 / 200)


def test_a_perfect_network_scores_one_on_every_tile(taught: Path) -> None:
    tiles = read_judged_tiles(taught, "held_out")
    scores = score(by_brightness(), tiles, against=by_brightness())
    figures = summary(scores)
    assert len(tiles) > 1
    assert {figures[key] for key in ("f2", "iou", "boa", "mean_agreement")} == {1.0}
    assert all(tile.name in as_text(scores) for tile in tiles)


def test_a_worse_network_shows_in_the_worst_tile(taught: Path) -> None:
    tiles = read_judged_tiles(taught, "held_out")
    figures = summary(score(by_brightness(), tiles, against=by_brightness(threshold=0.5)))
    assert figures["worst_agreement"] < figures["mean_agreement"] < 1


def test_cloud_alone_is_judged_where_the_network_has_four_classes(taught: Path) -> None:
    tiles = read_judged_tiles(taught, "held_out")
    assert summary(score(by_brightness(classes=4), tiles))["cloud_iou"] == 1.0
    assert "cloud_iou" not in summary(score(by_brightness(), tiles))


def test_human_labels_are_read_in_the_order_that_the_index_gives(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text(
        '{"chip": {"order": ["B08", "B04", "B03", "B02"], "level": "L2A"}}'
    )
    bands = np.arange(1, 5, dtype=np.uint16)[:, None, None] * np.full((4, 8, 9), 1000, np.uint16)
    np.savez(tmp_path / "chip.npz", bands=bands, label=np.ones((8, 9), np.uint8))
    (tile,) = read_judged_tiles(tmp_path)
    assert np.allclose(tile.bands[:, 0, 0], [0.4, 0.3, 0.2, 0.1])
    assert not tile.knows_shadow


@given(height=st.integers(1, 100), width=st.integers(1, 100))
def test_an_image_of_any_size_is_covered_once_and_for_all(height: int, width: int) -> None:
    bands = np.random.default_rng(0).random((4, height, width), np.float32)
    found = class_probabilities(by_brightness(0.5), bands)
    assert found.shape == (2, height, width)
    assert np.allclose(found.sum(axis=0), 1)
    assert ((found[1] > found[0]) == (bands[0] > 0.5)).all()
