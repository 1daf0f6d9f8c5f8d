"""Flipped bits in memory: a sample of the campaign of ``make faults``, the same code."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from deploy.faults.judged_tiles import JudgedTile
from deploy.faults.memory import (
    NETWORK,
    SHARES,
    MemoryLaboratory,
    is_beyond_bounds,
    text_of_memory,
)
from flightsw.model.package import load_package
from flightsw.pipeline.quantisation import quantisation_table


@pytest.fixture(scope="module")
def laboratory(small_package: Path, tmp_path_factory: pytest.TempPathFactory) -> MemoryLaboratory:
    package = load_package(small_package)
    side, bands = package.tile_size, len(package.bands)
    tables = np.stack([quantisation_table(0, 10_000, *package.input.as_pair())] * bands)
    ramp = np.broadcast_to(
        np.arange(1500, 1500 + 10 * side, 10, dtype=np.uint16), (bands, side, side)
    )
    tiles = [JudgedTile("ramp", ramp.copy(), tables)]
    return MemoryLaboratory(tmp_path_factory.mktemp("masks"), package, tiles)


@pytest.mark.parametrize("kind", [kind for kind in SHARES if kind not in NETWORK])
def test_a_bit_of_a_table_or_tile_is_noticed_and_one_elsewhere_changes_one_pixel_at_most(
    laboratory: MemoryLaboratory, kind: str
) -> None:
    found = [laboratory.flip_of(kind, random.Random(seed)) for seed in range(20)]
    assert not any(map(is_beyond_bounds, found))
    silent = [one for one in found if not one["noticed"]]
    assert max((one["most"] for one in silent), default=0) <= 1  # a network of one pixel
    assert bool(silent) == (kind not in ("table", "input tile"))


@pytest.mark.parametrize("kind", NETWORK)
def test_a_bit_of_the_network_is_noticed_by_a_golden_tile_or_changes_no_pixel(
    laboratory: MemoryLaboratory, kind: str
) -> None:
    found = [laboratory.flip_of(kind, random.Random(seed)) for seed in range(4)]
    assert not any(map(is_beyond_bounds, found))
    assert any("golden tile" in one["noticed"] for one in found)


def test_a_flip_is_drawn_by_its_seed_and_the_table_counts_each_once(
    laboratory: MemoryLaboratory,
) -> None:
    found = [laboratory.flip(seed) for seed in range(12)]
    assert laboratory.flip(7) == found[7]
    assert len({one["where"] for one in found}) > 10
    assert text_of_memory(found).splitlines()[-1].startswith("| all | 12 |")
    silent = dict.fromkeys(("kind", "where"), "weight") | {"noticed": "", "most": 10_000}
    assert is_beyond_bounds(silent)
    assert not is_beyond_bounds(silent | {"noticed": "golden tile snow"})
