"""Which tiles the training windows come from."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch

from deploy.model.clouded import CLOUDED
from deploy.model.crops import CropStream, bright_clear, cut
from deploy.model.label import TaughtTile
from deploy.model.sea import SEA
from deploy.model.simulated import SIMULATED

WINDOWS = 400
NEAR_INFRARED = {"teacher": 0.05, "people": 0.12, SIMULATED: 0.28, CLOUDED: 0.6, SEA: 0.6}
"""Apart even after the random gain, which haze changes least in B08."""


def _tile(kind: str, side: int) -> TaughtTile:
    return TaughtTile(
        name=kind,
        region=kind,
        part="training",
        ground_sample_distance=10,
        bands=np.full((4, side, side), NEAR_INFRARED[kind], np.float32),
        valid=np.ones((side, side), np.bool_),
        probabilities=np.full((3, side, side), 1 / 3, np.float32),
        labelled=kind != "teacher",
    )


@pytest.mark.parametrize(
    "expected",
    [
        {"teacher": 0.42, "people": 0.3, SIMULATED: 0.08, CLOUDED: 0.2},
        {"teacher": 0.62, "people": 0.3, SIMULATED: 0.08},
        {"teacher": 0.5, "people": 0.3, SEA: 0.2},
        {"teacher": 0.7, "people": 0.3},
    ],
    ids=" ".join,
)
def test_each_kind_of_tile_has_its_share_of_the_windows_and_the_teacher_has_the_rest(
    expected: dict[str, float],
) -> None:
    """However large they are: simulated tiles do not displace what people labelled."""
    sides = {"teacher": 256, "people": 224, SIMULATED: 1024, CLOUDED: 300, SEA: 480}
    stream = CropStream([_tile(kind, sides[kind]) for kind in expected], 1)
    found = np.array([float(window[0][3].mean()) for window in islice(iter(stream), WINDOWS)])
    nearest = [
        min(expected, key=lambda kind: abs(np.log(one / NEAR_INFRARED[kind]))) for one in found
    ]
    shares = {kind: nearest.count(kind) / WINDOWS for kind in expected}
    assert shares == pytest.approx(expected, abs=0.06)


def test_bright_ground_is_bright_in_all_visible_bands_together_and_surely_clear() -> None:
    reflectance = torch.tensor([[0.3, 0.1], [0.3, 0.1], [0.3, 0.1], [0.0, 0.9]])[None, :, None]
    sure, doubtful = (
        torch.tensor([[clear] * 2, [1 - clear] * 2])[None, :, None] for clear in (0.9, 0.7)
    )
    assert bright_clear(reflectance, sure).tolist() == [[[True, False]]]
    assert not bright_clear(reflectance, doubtful).any()
    reordered = reflectance[:, [3, 0, 1, 2]]
    assert bright_clear(reordered, sure, ("B08", "B02", "B03", "B04")).tolist() == [[[True, False]]]


@pytest.mark.parametrize("tile_side", [48, 160])
def test_windows_have_the_side_that_was_asked_for(tile_side: int) -> None:
    stream = CropStream([_tile("teacher", tile_side)], 1, side=96)
    assert [part.shape[-2:] for part in next(iter(stream))] == [(96, 96)] * 3
    window = cut(_tile("teacher", tile_side), np.random.default_rng(1), side=96)
    assert window.weight.all(), "a tile that is smaller continues as its mirror image"
