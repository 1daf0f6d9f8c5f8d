"""A full scene, JP2 to products."""

from __future__ import annotations

from statistics import median
from typing import Any, Final

from deploy.benchmark.pages.table import markdown_table

_MEGABYTE: Final = 1e6

_SCENARIO_TITLES: Final = {
    "decode": "bare strip decode (glymur)",
    "twin": "twin's timing",
    "simulator": "simulator computing",
    "twin_imagery": "twin's timing, with cloud fill and quick-look",
    "simulator_20m": "simulator computing, 20 m",
}


def chain_section(results: dict[str, Any]) -> str:
    """Scenarios, targets, and the stages of the last round."""
    rounds, ratios = results["rounds"], results["ratios"]

    def middle(name: str, key: str) -> float:
        return float(median(one[name][key] for one in rounds))

    rows = [
        [
            _SCENARIO_TITLES[name],
            f"{middle(name, 'seconds'):.1f} s",
            f"{middle(name, 'cpu_seconds'):.1f} s",
            f"{ratios[name]:.3f}",
            f"{(middle(name, 'peak_bytes') - middle(name, 'idle_bytes')) / _MEGABYTE:.0f} MB",
        ]
        for name in ratios
    ]
    coarse = median(one["simulator_20m"]["seconds"] / one["simulator"]["seconds"] for one in rounds)
    targets = [
        ["twin's timing over bare decode", "≤ 1.05", f"{ratios['twin']:.3f}"],
        ["simulator computing over bare decode", "≤ 1.5", f"{ratios['simulator']:.3f}"],
        ["20 m over 10 m, simulator computing", "≤ 0.35", f"{coarse:.3f}"],
        [
            "peak memory above the idle process",
            "≤ 700 MB",
            f"{max(_above_idle(one, name) for one in rounds for name in ratios):.0f} MB",
        ],
    ]
    return (
        f"## A full scene, JP2 to products\n\n"
        f"A simulated scene of 10,980 x 10,980 pixels, four bands at"
        f" {results['bits_per_pixel']:.1f} bits a pixel, decoded with two threads; mask, GeoTIFF"
        f" and report unless said otherwise. Medians of {len(rounds)} interleaved rounds, each run"
        f" in a process of its own.\n\n"
        + markdown_table(["scenario", "wall", "CPU", "over bare decode", "peak above idle"], rows)
        + "\n"
        + markdown_table(["figure", "target", "measured"], targets)
        + "\n"
        + _stages(rounds[-1])
    )


def _stages(one_round: dict[str, Any]) -> str:
    rows = [
        [
            _SCENARIO_TITLES[name],
            stage,
            *(f"{timing[key]:.2f}" for key in ("mean", "p50", "p95", "p99", "sigma", "max")),
        ]
        for name in ("twin", "simulator")
        for stage, timing in one_round[name]["summary"]["stages"].items()
    ]
    header = ["scenario", "stage (ms a tile)", "mean", "P50", "P95", "P99", "sigma", "max"]
    return markdown_table(header, rows) + "\n"


def _above_idle(one: dict[str, Any], name: str) -> float:
    return float(one[name]["peak_bytes"] - one[name]["idle_bytes"]) / _MEGABYTE
