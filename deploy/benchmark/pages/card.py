"""The card's seam."""

from __future__ import annotations

from collections import defaultdict
from statistics import median
from typing import Any, Final

from deploy.benchmark.pages.table import markdown_table

_TARGETS: Final = {
    (0.94, "spatial"): "≥ 99 %, 1,050 tiles/s",
    (0.47, "spatial"): "",
    (0.47, "batch"): "≥ 99 %, 2,000 tiles/s",
    (0.47, "instances"): "",
}


_COLUMNS: Final = (
    *("twin", "columns of a strip", "card busy", "least to most", "target", "throughput"),
    "jitter added (target ≤ 0.05 ms)",
)


def card_section(results: dict[str, Any]) -> str:
    """How busy the twin was kept, and the simulator beside OpenVINO."""
    rounds: dict[tuple[float, str, int], list[dict[str, float]]] = defaultdict(list)
    for one in results["busy"]:
        rounds[one["latency_ms"], one["arrangement"], one["columns"]].append(one)
    rows = [
        [
            f"{latency} ms a tile, {arrangement}",
            f"{columns:,}",
            f"{median(one['busy_share'] for one in runs):.2%}",
            (
                f"{min(one['busy_share'] for one in runs):.1%} to"
                f" {max(one['busy_share'] for one in runs):.1%}"
            ),
            _TARGETS[latency, arrangement],
            f"{median(one['tiles_per_second'] for one in runs):.0f} tiles/s",
            _jitter([one["added_jitter_ms"] for one in runs]),
        ]
        for (latency, arrangement, columns), runs in rounds.items()
    ]
    overhead = results["overhead"]
    return (
        "## The card's seam\n\n"
        "A full scene from memory (strips already decoded) through the twin, in turn; medians. In"
        " panels of 2,048 columns, as most scenes come, and over the whole width. What"
        " the software adds to the card's cadence are its pauses between two frames; the jitter is"
        " the sigma of these, a tile.\n\n"
        + markdown_table(_COLUMNS, rows)
        + f"\nSimulator against bare OpenVINO, same INT8 graph, two threads, alternating rounds:"
        f" {overhead['simulator_ms']:.2f} ms against {overhead['openvino_ms']:.2f} ms a tile,"
        f" ratio **{overhead['ratio']:.3f}** (target ≤ 1.1).\n\n"
    )


def _jitter(sigmas: list[float | None]) -> str:
    known = [one for one in sigmas if one is not None]
    if not known:
        return "-"
    return f"{median(known):.3f} ms ({min(known):.3f} to {max(known):.3f})"
