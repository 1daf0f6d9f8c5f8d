from __future__ import annotations

from typing import Any

from deploy.benchmark.page import render
from deploy.benchmark.scenario import OPENVINO_TILES, SCENARIOS

_RUN = {"command": "python -m deploy.benchmark", "date": "2026-05-04", "machine": "a computer"}
_TIMING = {"mean": 1.0, "p50": 1.0, "p95": 1.0, "p99": 1.0, "sigma": 1.0, "max": 1.0}


def _usage(cpu_seconds: float, joules: float = 0.0) -> dict[str, Any]:
    summary = {"tiles": 1200, "tiles_without_data": 200, "energy_joules": joules}
    summary["stages"] = {"accelerator": _TIMING}
    used = {"seconds": cpu_seconds / 2, "cpu_seconds": cpu_seconds}
    return {**used, "idle_bytes": 1e8, "peak_bytes": 2e8, "summary": summary}


def test_the_fast_decode_is_compared_with_the_sum_of_its_terms() -> None:
    one = {name: _usage(50.0) for name in SCENARIOS}
    one |= {"decode_fast": _usage(20.0), "openvino": _usage(OPENVINO_TILES * 0.01)}
    one |= {"simulator_fast": _usage(31.5), "twin": _usage(50.0, 100.0)}
    one |= {"twin_fast": _usage(24.0, 40.0), "twin_fast_20m": _usage(8.0, 10.0)}
    ratios = {name: usage["seconds"] / 25 for name, usage in one.items()}
    page = render({"chain": {"rounds": [one], "ratios": ratios, "bits_per_pixel": 7.0, **_RUN}})
    assert "| fast decode over exact decode, CPU | ≤ 0.42 | 0.400 |" in page
    assert "(20.0 s) and bare OpenVINO on its tiles (10.0 s), CPU | ≤ 1.05 | 1.050 |" in page
    assert "exact; fast; fast at 20 m | in proportion | 175 J; 76 J; 22 J |" in page
    assert "twin's timing, fast decode, 20 m, over bare decode | ≤ 0.15 | 0.160 |" in page


def test_each_way_through_the_chain_is_compared_with_the_teacher() -> None:
    peers = [
        {"name": name, "title": name, "licence": "x", "ground_sample_distance": distance}
        | {"usage": {"seconds": seconds, "peak_bytes": 1e9}}
        for name, distance, seconds in [
            ("ukis-csmask", 10, 180.0),
            ("flightsw-simulator", 10, 40.0),
            ("flightsw-twin-fast", 10, 12.0),
            ("flightsw-twin-fast", 20, 4.5),
        ]
    ]
    page = render({"peers": {"peers": peers, **_RUN}})
    assert "at 10 m, simulator computing | ≥ 3.5 | 4.50 |" in page
    assert "at 10 m, twin's timing, fast decode | ≥ 12 | 15.00 |" in page
    assert "at 20 m, twin's timing, fast decode | ≥ 35 | 40.00 |" in page


def test_masks_of_the_fast_decode_are_judged_by_sets_of_real_images() -> None:
    sets = [
        {"set": name, "images": 2, "pixels": 1000, "worst_image": 0.98, "agreement": agreement}
        | {"contaminated": 0.5, "contaminated_fast": 0.5 + shift}
        for name, agreement, shift in [
            ("one", 0.998, 0.001),
            ("other", 0.996, -0.0015),
            ("simulated", 0.9, 0.1),
        ]
    ]
    labelled = [
        {"image": name, "f2": change, "balanced_accuracy": 0.0, "iou": 0.0}
        for name, change in [("one", 0.001), ("other", -0.002)]
    ]
    page = render({"fast_masks": {"sets": sets, "labelled": labelled, **_RUN}})
    assert "worst set | ≥ 99.5 %; ≥ 99.2 % | 99.70%; 99.60% |" in page
    assert "largest | ± 0.2 % | -0.15% |" in page
    assert "F2 of 2 labelled images, fast less exact, mean; largest" in page
    assert "| -0.0005; -0.0020 |" in page
