"""Every engine that is present against torch's FP32, on real tiles that training never saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.model.card_input import INPUT_LIMIT
from deploy.model.dataset import BANDS, read_split, read_tiles
from flightsw.config import DimcSettings, Settings
from flightsw.engines.engine import Engine, Tiles
from flightsw.engines.fallback import open_engine
from flightsw.errors import EngineUnavailable
from flightsw.model.package import load_package
from telecommands.dictionary import EngineName

SETTINGS = Settings(dimc=DimcSettings(card="simulator"))
SIDE = 224

# Mean and worst tile: what INT8 was released with, and what FP16 rounding moves.
STATED: dict[EngineName, tuple[float, float]] = {
    "dimc": (0.99, 0.97),
    "tensorrt": (0.999, 0.995),
    "torch-cuda": (0.999, 0.995),
    "torch-cpu": (1.0, 1.0),
}


@pytest.fixture(scope="module")
def windows(shared_data: Path) -> NDArray[np.float32]:
    """Reflectance ``(n, 224, 224, 4)`` in the order of the shipped package's bands."""
    split = read_split()
    kept_out = [
        tile.four_bands[:, :SIDE, :SIDE]
        for tile in read_tiles(shared_data)
        if split.part_of(tile.region) == "held_out" and min(tile.four_bands.shape[1:]) >= SIDE
    ]
    channels = [BANDS.index(band) for band in load_package().bands]
    return np.stack(kept_out[::3])[:, channels].transpose(0, 2, 3, 1).clip(0, INPUT_LIMIT)


@pytest.fixture(scope="module")
def reference(windows: NDArray[np.float32]) -> NDArray[np.bool_]:
    with open_engine("torch-cpu", load_package(), SETTINGS) as engine:
        return _masks(engine, windows)


def _masks(engine: Engine, windows: NDArray[np.float32]) -> NDArray[np.bool_]:
    found, batch = [], engine.info.batch
    for start in range(0, len(windows), batch):
        logits = engine.infer(_as_taken(engine, windows[start : start + batch]))
        found.append(logits[..., 1:].max(axis=-1) > logits[..., 0])
    return np.concatenate(found)


def _as_taken(engine: Engine, windows: NDArray[np.float32]) -> Tiles:
    given = engine.info.input
    if given is None:
        return windows.astype(engine.info.tile_dtype)
    steps = np.rint(windows.astype(np.float64) / given.scale + given.zero_point)
    return np.ascontiguousarray(steps.clip(-128, 127).astype(np.int8))


@pytest.mark.parametrize("name", [*STATED])
def test_an_engine_gives_the_mask_of_fp32_within_its_stated_agreement(
    name: EngineName, windows: NDArray[np.float32], reference: NDArray[np.bool_]
) -> None:
    try:
        engine = open_engine(name, load_package(), SETTINGS)
    except EngineUnavailable as absent:
        pytest.skip(str(absent))
    with engine:
        agreement = (_masks(engine, windows) == reference).mean(axis=(1, 2))
    mean, worst = STATED[name]
    assert len(agreement) >= 8
    assert 0.02 < reference.mean() < 0.98  # clear and contaminated alike
    assert agreement.mean() >= mean
    assert agreement.min() >= worst
