from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploy.benchmark import scaling
from deploy.benchmark.page import render
from deploy.benchmark.scaling import fit_area, growth_of, measure_scaling
from tests.unit.deploy.benchmark.run_facts import RUN


def _run(size: int, seconds: float, above_idle: int) -> dict[str, Any]:
    return {
        "scenario": "twin",
        "size": size,
        "seconds": seconds,
        "cpu_seconds": seconds,
        "idle_bytes": 100,
        "peak_bytes": 100 + above_idle,
    }


def test_time_in_proportion_to_area_has_a_ratio_of_one_and_no_intercept() -> None:
    fit = fit_area([_run(1000, 2.0, 10), _run(2000, 8.0, 20), _run(4000, 32.0, 40)])
    assert fit["seconds_per_pixel_ratio"] == pytest.approx(1.0)
    assert fit["slope"] == pytest.approx(2.0)
    assert fit["intercept"] == pytest.approx(0.0, abs=1e-9)
    assert fit["memory_ratio"] == pytest.approx(4.0)


def test_a_constant_start_is_the_intercept_and_makes_large_scenes_cheaper() -> None:
    fit = fit_area([_run(1000, 3.0, 10), _run(2000, 9.0, 10), _run(4000, 33.0, 10)])
    assert fit["intercept"] == pytest.approx(1.0)
    assert fit["seconds_per_pixel_ratio"] == pytest.approx((33 / 16) / 3)
    assert fit["memory_ratio"] == 1.0


def test_growth_compares_the_ends_without_the_very_first_scene() -> None:
    series = [{"seconds": 9.0, "resident_bytes": 1e6}]
    series += [{"seconds": 1.0 + number, "resident_bytes": number * 1e6} for number in range(20)]
    growth = growth_of(series)
    assert (growth["first_seconds"], growth["last_seconds"]) == (1.5, 19.5)
    assert (growth["first_megabytes"], growth["last_megabytes"]) == (0.5, 18.5)
    assert growth["scenes"] == 21


def test_real_scenes_are_simulated_run_in_a_row_and_shown_on_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(name: str, scene: Path) -> dict[str, Any]:
        assert scene.suffix == ".SAFE"
        size = int(scene.parent.name.removeprefix("scene_"))
        return _run(size, size**2 / 1e6, 1_000_000) | {"scenario": name}

    monkeypatch.setattr(scaling, "run_scenario", run)
    monkeypatch.setattr(scaling, "_SMALL_SIDE", 64)  # of a scene that is there already
    results = measure_scaling(tmp_path, 64, 3)
    assert [one["size"] for one in results["runs"]] == [64, 128, 256] * 2
    assert results["fits"]["simulator"]["seconds_per_pixel_ratio"] == pytest.approx(1.0)
    assert len(results["series"]) == 3
    assert all(one["seconds"] > 0 < one["resident_bytes"] for one in results["series"])
    page = render({"scaling": results | RUN})
    assert "| twin | 256 x 256 | 16 |" in page
    assert "3 scenes of 64 x 64 in a row" in page


def _peer(name: str, distance: int, seconds: float) -> dict[str, Any]:
    return {
        "name": name,
        "title": f"{name} {distance}",
        "licence": "Apache-2.0",
        "ground_sample_distance": distance,
        "usage": {"seconds": seconds, "peak_bytes": 22_000_000_000},
    }


def test_the_page_compares_ours_with_the_teacher_at_both_distances() -> None:
    gone = {"name": "rasterio", "title": "gone", "licence": "BSD", "ground_sample_distance": 10}
    peers = [
        _peer("flightsw-simulator", 10, 50.0),
        _peer("ukis-csmask", 10, 200.0),
        _peer("flightsw-simulator", 20, 10.0),
        gone | {"absent": "no library"},
    ]
    page = render({"peers": {"peers": peers} | RUN})
    assert "flightsw at 10 m, simulator computing | ≥ 3.5 | 4.00 |" in page
    assert "flightsw at 20 m, simulator computing | ≥ 12 | 20.00 |" in page
    assert "| ukis-csmask 10 | Apache-2.0 | 10 m | 200.0 s | 4.00 x | 22,000 MB |" in page
    assert "| flightsw-simulator 20 | Apache-2.0 | 20 m | 10.0 s | 1.00 x | 22,000 MB |" in page
    assert "| gone | BSD | 10 m | absent: no library | - | - |" in page


def test_the_engines_report_goes_one_heading_down() -> None:
    markdown = "# flightsw bench\n\ntext\n\n## A tile\n\nrows\n"
    page = render({"engines": {"markdown": markdown} | RUN})
    assert "## The engines, by the reference protocol\n\ntext\n" in page
    assert "\n### A tile\n" in page
    assert "flightsw bench" not in page
