"""The real T29UNU product, end to end at 60 m, against its own scene classification."""

from __future__ import annotations

from pathlib import Path

import pytest

from flightsw.config import DimcSettings, PipelineSettings, Settings


@pytest.mark.parametrize("fusion", ["or", "blend"])
def test_the_east_half_agrees_with_its_scene_classification(
    shared_data: Path, light_package: Path, fusion: str
) -> None:
    accuracy = pytest.importorskip("deploy.benchmark.accuracy")
    settings = Settings(
        model=light_package,
        dimc=DimcSettings(card="simulator"),
        pipeline=PipelineSettings(fusion=fusion),  # type: ignore[arg-type]
    )
    counted = accuracy.judge_real_product(shared_data, settings)
    assert counted.f2 >= 0.93
