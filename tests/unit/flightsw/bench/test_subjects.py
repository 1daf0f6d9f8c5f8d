from __future__ import annotations

from flightsw.bench.subjects import subjects
from flightsw.config import Settings

SETTINGS = Settings()


def test_the_baseline_stands_beside_torch_on_the_cpu_with_the_reference_s_windows() -> None:
    as_set, baseline = subjects(["torch-cpu"], SETTINGS, baseline=True)
    assert (as_set.title, as_set.settings) == ("torch-cpu", SETTINGS)
    assert (baseline.engine, baseline.description) == ("torch-cpu", "the reference's baseline")
    assert (baseline.settings.torch.tile_size, baseline.settings.torch.overlap) == (2048, 128)
    assert baseline.settings.pipeline.queue_depth == 1


def test_without_the_baseline_torch_on_the_cpu_stands_alone() -> None:
    assert [row.title for row in subjects(["torch-cpu"], SETTINGS)] == ["torch-cpu"]


def test_the_baseline_brings_nothing_to_other_engines() -> None:
    for names in (["dimc"], ["torch-cuda"], ["dimc", "torch-cuda"]):
        assert subjects(names, SETTINGS, baseline=True) == subjects(names, SETTINGS)
