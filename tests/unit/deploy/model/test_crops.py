"""Which tiles the training windows come from."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from deploy.model.crops import CropStream, cut
from deploy.model.label import TaughtTile
from deploy.model.simulated import SIMULATED

WINDOWS = 400
BLUE = {"teacher": 0.1, "people": 0.3, SIMULATED: 0.7}
"""Apart even after the random gain and haze."""


def _tile(kind: str, side: int) -> TaughtTile:
    return TaughtTile(
        name=kind,
        region=kind,
        part="training",
        ground_sample_distance=10,
        bands=np.full((4, side, side), BLUE[kind], np.float32),
        valid=np.ones((side, side), np.bool_),
        probabilities=np.full((3, side, side), 1 / 3, np.float32),
        labelled=kind != "teacher",
    )


def test_simulated_tiles_do_not_displace_what_people_labelled() -> None:
    """However large they are: each kind has its share of the windows."""
    stream = CropStream([_tile("teacher", 256), _tile("people", 224), _tile(SIMULATED, 1024)], 1)
    blues = np.array([float(window[0][0].mean()) for window in islice(iter(stream), WINDOWS)])
    shares = {
        "teacher": np.mean(blues < 0.2),
        "people": np.mean((blues > 0.2) & (blues < 0.48)),
        SIMULATED: np.mean(blues > 0.48),
    }
    expected = {"teacher": 0.58, "people": 0.3, SIMULATED: 0.12}
    assert shares == pytest.approx(expected, abs=0.06)


@pytest.mark.parametrize("tile_side", [48, 160])
def test_windows_have_the_side_that_was_asked_for(tile_side: int) -> None:
    stream = CropStream([_tile("teacher", tile_side)], 1, side=96)
    assert [part.shape[-2:] for part in next(iter(stream))] == [(96, 96)] * 3
    window = cut(_tile("teacher", tile_side), np.random.default_rng(1), side=96)
    assert window.weight.all(), "a tile that is smaller continues as its mirror image"
