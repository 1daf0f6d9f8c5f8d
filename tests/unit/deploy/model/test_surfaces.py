"""Surfaces of cloud-free tiles, and what is kept clear of them."""

from __future__ import annotations

import numpy as np
import pytest

from deploy.model.contender import Contender
from deploy.model.dataset import BANDS, Tile
from deploy.model.surfaces import SURFACES, is_cloud_free, surface_rows, surfaces_of

# Reflectance of B02, B03, B04, B08, B11.
_SPECTRA = {
    "water": (0.04, 0.05, 0.03, 0.02, 0.01),
    "snow": (0.80, 0.82, 0.80, 0.75, 0.10),
    "vegetation": (0.03, 0.06, 0.03, 0.35, 0.15),
    "bright ground": (0.30, 0.35, 0.38, 0.40, 0.45),
    "other ground": (0.08, 0.10, 0.13, 0.20, 0.25),
}
SIDE = 8


def _tile(name: str = "fields_s2_1", region: str = "somewhere", *, swir: bool = True) -> Tile:
    """A stripe of each surface, in the order of :data:`SURFACES`."""
    columns = np.array([_SPECTRA[one] for one in SURFACES], np.float32).T
    bands = np.repeat(columns[:, None, :], SIDE, axis=1)
    names = (*BANDS, "B11")
    if not swir:
        bands, names = bands[:4], BANDS
    return Tile(name, region, "l1c", 10, names, bands, np.ones(bands.shape[1:], np.bool_))


def test_each_surface_is_known_by_its_bands() -> None:
    assert surfaces_of(_tile())[0].tolist() == [0, 1, 2, 3, 4]


def test_without_short_waves_snow_is_bright_ground() -> None:
    assert SURFACES[surfaces_of(_tile(swir=False))[0, 1]] == "bright ground"


@pytest.mark.parametrize(
    ("name", "allowed", "free"),
    [
        ("fields_s2_1", None, True),
        ("fields_s2_cloudy_1", None, False),
        ("chip", (1, 0, 0), True),
        ("chip", (1, 0, 1), False),
        ("chip", (0, 1, 0), False),
    ],
)
def test_a_tile_is_cloud_free_by_its_labels_or_its_name(
    name: str, allowed: tuple[int, ...] | None, free: bool
) -> None:
    tile = _tile(name)
    if allowed is not None:
        planes = np.array(allowed, np.float32)[:, None, None] * np.ones((1, SIDE, 5), np.float32)
        tile = Tile(name, "somewhere", "l1c", 10, tile.names, tile.bands, tile.valid, planes)
    assert is_cloud_free(tile) is free


def test_false_alarms_count_for_the_surface_on_which_they_are_and_by_part() -> None:
    def alarmed(tile: Tile) -> np.ndarray:
        found = np.zeros(tile.valid.shape, np.float32)
        found[: SIDE // 4, 3] = 1  # a quarter of the bright ground
        return found

    tiles = [_tile(), _tile(region="s1f11_spain"), _tile("fields_s2_cloudy_2")]
    rows = {
        (row.surface, row.kept_out): row
        for row in surface_rows(tiles, [Contender("alarmed", alarmed)])
    }
    assert len(rows) == 2 * len(SURFACES)
    for kept_out in (True, False):
        assert rows["bright ground", kept_out].clear_kept.value == 0.75
        assert rows["snow", kept_out].clear_kept.value == 1
        assert (rows["snow", kept_out].tiles, rows["snow", kept_out].pixels) == (1, SIDE)
