"""Renders the measured figures as ``docs/benchmarks.md``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, Final

import psutil

_MEGABYTE: Final = 1e6
_INTRODUCTION: Final = """\
# Benchmarks

Written by `make bench` (`python -m deploy.benchmark`). Machine: {machine}.
It was shared with other work: the ratios are taken within one run and are what counts;
absolute times drift.

"""


def render(results: dict[str, Any]) -> str:
    """The page; a part that was not measured is left out and said."""
    page = _INTRODUCTION.format(
        machine=_machine(),
    )
    for part, section in _SECTIONS.items():
        if part not in results:
            page += f"## {part}\n\nNot measured.\n\n"
            continue
        page += section(results[part])
        page += f"Measured by `{results[part]['command']}` on {results[part]['date']}.\n\n"
    return page.rstrip() + "\n"


def _chain(results: dict[str, Any]) -> str:
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
        + _table(["scenario", "wall", "CPU", "over bare decode", "peak above idle"], rows)
        + "\n"
        + _table(["figure", "target", "measured"], targets)
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
    return _table(header, rows) + "\n"


def _card(results: dict[str, Any]) -> str:
    rows = [
        [
            f"{one['latency_ms']} ms a tile, {one['arrangement']}",
            f"{one['busy_share']:.2%}",
            "≥ 99 %",
            f"{one['tiles_per_second']:.0f} tiles/s",
        ]
        for one in results["busy"]
    ]
    overhead = results["overhead"]
    return (
        "## The card's seam\n\n"
        "A full scene from memory (strips already decoded) through the twin:\n\n"
        + _table(["twin", "card busy", "target", "throughput"], rows)
        + f"\nSimulator against bare OpenVINO, same INT8 graph, two threads, alternating rounds:"
        f" {overhead['simulator_ms']:.2f} ms against {overhead['openvino_ms']:.2f} ms a tile,"
        f" ratio **{overhead['ratio']:.3f}** (target ≤ 1.1).\n\n"
    )


def _accuracy(results: dict[str, Any]) -> str:
    chips = results["cloud_iou_by_chip"]
    rows = [
        [
            f"INT8 against FP32, {results['held_out_tiles']} tiles kept out, mean",
            "≥ 99.4 %",
            f"{results['mean_agreement_with_fp32']:.2%}",
        ],
        ["the same, worst tile", "≥ 97 %", f"{results['worst_agreement_with_fp32']:.2%}"],
        [
            "F2 against the teacher, INT8 less FP32",
            "± 0.005",
            f"{results['f2_int8'] - results['f2_fp32']:+.4f} ({results['f2_int8']:.3f})",
        ],
        [
            "binary agreement with the teacher, regions kept out",
            "≥ 94 %",
            f"{results['agreement_with_teacher']:.2%}",
        ],
        [
            "the same, against the mean of the teacher at 10 m and 20 m",
            "",
            f"{results['agreement_with_teacher_at_two_scales']:.2%}",
        ],
        [
            "for comparison: the teacher at 10 m against that mean",
            "",
            f"{results['teacher_with_itself_at_two_scales']:.2%}",
        ],
        [
            (
                f"called contaminated of {results['clear_tiles']} cloud-free tiles kept out"
                " (sea, farmland, towns, hills), mean; worst"
            ),
            "stay clear",
            (
                f"{results['contaminated_share_of_clear_tiles']:.2%};"
                f" {results['contaminated_share_of_worst_clear_tile']:.2%}"
            ),
        ],
        ["cloud IoU, labelled chip 1 (FP32)", "≥ .746", f"{chips['cloudn_chip1']:.3f}"],
        ["cloud IoU, labelled chip 2 (FP32)", "≥ .720", f"{chips['cloudn_chip2']:.3f}"],
        [
            "F2 on the east half of the real T29UNU product at 60 m (INT8, whole chain)",
            "≥ 0.93",
            f"{results['f2_of_real_product']:.3f}",
        ],
    ]
    return "## The mask\n\n" + _table(["figure", "target", "measured"], rows) + "\n"


def _service(results: dict[str, Any]) -> str:
    answers = ", ".join(f"{count} {code}" for code, count in results["flood_answers"].items())
    rows = [
        ["idle: memory", "≤ 350 MB", f"{results['idle_memory_mb']:.0f} MB"],
        ["idle: share of a core", "≤ 1 %", f"{results['idle_core_share']:.2%}"],
        [
            "telecommand to job start, idle, median; worst of 20",
            "≤ 50 ms",
            f"{results['start_ms']:.1f} ms; {results['start_worst_ms']:.1f} ms",
        ],
        ["PING, idle, P99", "", f"{results['ping_idle_p99_ms']:.1f} ms"],
        [
            f"PING while a full scene is processed, P50; P99 of {results['pings_under_load']}",
            "P99 ≤ 10 ms",
            (
                f"{results['ping_load_p50_ms']:.1f} ms; {results['ping_load_p99_ms']:.1f} ms"
                f" (max {results['ping_load_max_ms']:.1f})"
            ),
        ],
        [
            "processing in the service over `flightsw process`, full scene, simulator computing",
            "≤ 1.03",
            f"{results['ratio']:.3f}",
        ],
        [
            f"flood of {results['flood_offered']} telecommands at 1,000 a second, unanswered",
            "0",
            f"{results['flood_unanswered']}",
        ],
        ["flood: growth of memory", "flat", f"{results['flood_memory_growth_mb']:+.1f} MB"],
        ["flood: PING of another client, P99", "", f"{results['flood_ping_p99_ms']:.1f} ms"],
        [
            (
                f"lost by a good listener of {results['stuck_listener_packets']} packets beside one"
                " that never reads"
            ),
            "0",
            f"{results['stuck_listener_lost']}",
        ],
        [
            "downlink on loopback, encrypted, written and hashed (median of three products)",
            "≥ 300 MB/s",
            f"{results['downlink_mb_per_s']:.0f} MB/s",
        ],
        ["bare CURVE sockets, same run", "", f"{results['plain_curve_mb_per_s']:.0f} MB/s"],
    ]
    return (
        "## The flight service\n\n"
        "One daemon in a process of its own, encrypted links, client in another process; the two"
        " cores decode and compute meanwhile.\n\n"
        + _table(["figure", "target", "measured"], rows)
        + f"\nThe flood's answers: {answers}.\n\n"
    )


def _above_idle(one: dict[str, Any], name: str) -> float:
    return float(one[name]["peak_bytes"] - one[name]["idle_bytes"]) / _MEGABYTE


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _machine() -> str:
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    memory = psutil.virtual_memory().total / 2**30
    return f"{os.cpu_count()} cores of {names[0] if names else 'unknown'}, {memory:.0f} GiB"


_SCENARIO_TITLES: Final = {
    "decode": "bare strip decode (glymur)",
    "twin": "twin's timing",
    "simulator": "simulator computing",
    "twin_imagery": "twin's timing, with cloud fill and quick-look",
    "simulator_20m": "simulator computing, 20 m",
}
_SECTIONS: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "chain": _chain,
    "card": _card,
    "accuracy": _accuracy,
    "service": _service,
}
