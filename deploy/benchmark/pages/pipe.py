"""Ten scenes in the pipe."""

from __future__ import annotations

from statistics import median
from typing import Any

from deploy.benchmark.pages.table import markdown_table


def pipe_section(results: dict[str, Any]) -> str:
    """The slower stage's share of the whole, by the card's latency and round."""
    rounds, size = results["rounds"], results["size"]
    latencies = sorted({one["latency_ms"] for one in rounds})
    rows = [
        [
            f"{one['latency_ms']:g} ms a tile",
            f"{one['decode_seconds']:.1f} s",
            f"{one['card_seconds']:.1f} s",
            f"{one['seconds']:.1f} s",
            f"{one['share']:.3f}",
            f"{one['decode_cpu_seconds'] / one['cpu_seconds']:.3f}",
        ]
        for one in rounds
    ]
    shares = ", ".join(
        f"**{median(one['share'] for one in rounds if one['latency_ms'] == latency_ms):.3f}** at"
        f" {latency_ms:g} ms"
        for latency_ms in latencies
    )
    header = ["twin", "decode alone", "card busy", "end to end", "share", "CPU share"]
    return (
        "## Two scenes in the pipe\n\n"
        f"Ten scenes of {size:,} x {size:,} in a row, JP2 to products; each begins to be decoded"
        " while the one before is computed. The share is the slower stage's time over the whole's"
        f" (target ≥ 0.97): {shares} (median). The time of decoding alone is that of two scenes"
        " before and two after, for ten; its share of the CPU time tells what the rest costs"
        " whatever else the machine does.\n\n" + markdown_table(header, rows) + "\n"
    )
