"""Two networks on the same tiles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from deploy.model.dataset import BANDS, Part
from deploy.model.label import TaughtTile
from deploy.model.networks import Network
from deploy.model.paired import PairedRow, as_markdown, paired_rows
from flightsw.errors import UsageError

SIDE = 32
SIX = (*BANDS, "B11", "B12")
BRIGHT = Network(lambda windows: np.stack((0.25 - windows[:, 0], windows[:, 0] - 0.25), 1), SIDE)
"""Calls all that is bright in blue contaminated: snow too."""
KNOWS_SNOW = Network(
    lambda windows: np.stack((0.25 - windows[:, 4], windows[:, 4] - 0.25), 1), SIDE, SIX
)
"""Sees that snow is dark in B11."""

Rows = dict[tuple[str, str], PairedRow]


def _tile(name: str, blue: float, swir: float, kind: int, part: Part = "held_out") -> TaughtTile:
    plane = np.ones((SIDE, SIDE), np.float32)
    return TaughtTile(
        name=name,
        region=name,
        part=part,
        ground_sample_distance=10,
        bands=np.stack([one * plane for one in (*[blue] * 4, swir, swir)]).astype(np.float32),
        valid=plane > 0,
        probabilities=np.stack([(kind == one) * plane for one in range(3)]),
        names=SIX,
    )


TILES = [
    _tile("place_s2_cloudy_1", 0.6, 0.5, kind=1),
    _tile("place_s2_cloudy_2", 0.2, 0.3, kind=1),
    _tile("place_s2_1", 0.1, 0.2, kind=0),
    _tile("taught_s2_1", 0.8, 0.1, kind=0, part="training"),
    _tile("taught_s2_2", 0.1, 0.2, kind=0, part="training"),
]


@pytest.fixture(scope="module")
def rows() -> Rows:
    return {(row.figure, row.tiles_were): row for row in paired_rows(TILES, BRIGHT, KNOWS_SNOW)}


def test_each_figure_is_given_for_both_with_the_difference(rows: Rows) -> None:
    thin = rows["thin cloud found, 10 m", "held_out"]
    assert (thin.tiles, thin.pixels) == (1, SIDE * SIDE)
    assert (thin.first.value, thin.second.value, thin.difference.value) == (0, 1, 1)
    agree = rows["pixels that agree, 10 m", "held_out"]
    assert agree.tiles == 3
    assert agree.first.value == pytest.approx(2 / 3)
    assert agree.difference.value == pytest.approx(1 / 3)


def test_taught_snow_is_counted_apart_and_other_taught_tiles_are_not_counted(rows: Rows) -> None:
    snow = rows["snow kept clear", "training"]
    assert (snow.tiles, snow.first.value, snow.second.value) == (1, 0, 1)
    assert ("other ground kept clear", "training") not in rows
    assert rows["other ground kept clear", "held_out"].tiles == 1


def test_the_truth_of_a_cloud_free_tile_is_clear_whatever_the_teacher_says() -> None:
    called_cloud = replace(TILES[2], probabilities=TILES[0].probabilities)
    found = {row.figure: row for row in paired_rows([called_cloud], BRIGHT, BRIGHT)}
    assert found["other ground kept clear"].first.value == 1
    assert found["thin cloud found, 10 m"].first.value == 0


def test_without_tiles_that_were_kept_out_there_is_nothing_to_compare() -> None:
    with pytest.raises(UsageError, match="have none that was kept out"):
        paired_rows(TILES[3:], BRIGHT, KNOWS_SNOW)


def test_the_table_has_a_line_for_each_row(rows: Rows) -> None:
    table = as_markdown(list(rows.values()), ("four", "six"))
    assert len(table.splitlines()) == 2 + len(rows)
    assert "| thin cloud found, 10 m | held_out | 1 | 1,024 | 0.00 % (0.0 to 0.0) |" in table
    assert "| +100.00 % (+100.0 to +100.0) |" in table
