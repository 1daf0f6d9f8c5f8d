"""The card's seam."""

from __future__ import annotations

from typing import Any

from deploy.benchmark.pages.table import markdown_table


def card_section(results: dict[str, Any]) -> str:
    """How busy the twin was kept, and the simulator beside OpenVINO."""
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
        + markdown_table(["twin", "card busy", "target", "throughput"], rows)
        + f"\nSimulator against bare OpenVINO, same INT8 graph, two threads, alternating rounds:"
        f" {overhead['simulator_ms']:.2f} ms against {overhead['openvino_ms']:.2f} ms a tile,"
        f" ratio **{overhead['ratio']:.3f}** (target ≤ 1.1).\n\n"
    )
