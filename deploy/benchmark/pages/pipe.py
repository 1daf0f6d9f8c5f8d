"""Ten scenes in the pipe."""

from __future__ import annotations

from typing import Any

from deploy.benchmark.pages.table import markdown_table


def pipe_section(results: dict[str, Any]) -> str:
    """The slower stage's share of the whole, by the card's latency."""
    rows = [
        [
            f"{pipe['latency_ms']:g} ms a tile",
            f"{pipe['decode_seconds']:.1f} s",
            f"{pipe['card_seconds']:.1f} s",
            f"{pipe['seconds']:.1f} s",
            f"**{pipe['share']:.3f}**",
        ]
        for pipe in results["pipes"]
    ]
    header = ["twin", "decode alone", "card busy", "end to end", "share of the slower"]
    return (
        "## Two scenes in the pipe\n\n"
        "Ten full scenes in a row, JP2 to products; each begins to be decoded while the one before"
        " is computed. The share is the slower stage's time over the whole's (target ≥ 0.97). The"
        " time of decoding alone is that of two scenes before and two after, for ten.\n\n"
        + markdown_table(header, rows)
        + "\n"
    )
