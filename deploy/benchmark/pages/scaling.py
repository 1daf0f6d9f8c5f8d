"""Larger scenes, and more of them."""

from __future__ import annotations

from typing import Any

from deploy.benchmark.pages.table import markdown_table


def scaling_section(results: dict[str, Any]) -> str:
    """Time and memory against area, then over a series of scenes."""
    smallest = results["runs"][0]["size"]
    rows = [
        [
            one["scenario"],
            f"{one['size']:,} x {one['size']:,}",
            f"{(one['size'] / smallest) ** 2:.0f}",
            f"{one['seconds']:.2f} s",
            f"{one['seconds'] / one['size'] ** 2 * 1e6:.3f} s",
            f"{(one['peak_bytes'] - one['idle_bytes']) / 1e6:.0f} MB",
        ]
        for one in results["runs"]
    ]
    fits = [
        [
            name,
            f"{fit['intercept']:.2f} s + {fit['slope']:.3f} s a megapixel",
            f"{fit['seconds_per_pixel_ratio']:.3f}",
            f"{fit['memory_ratio']:.2f}",
        ]
        for name, fit in results["fits"].items()
    ]
    growth, size = results["growth"], results["series_size"]
    header = ["scenario", "pixels", "times the area", "wall", "per megapixel", "peak above idle"]
    return (
        "## Larger scenes, and many of them\n\n"
        "Simulated scenes, JP2 to products, each in a process of its own. Strips have the"
        " height of the file's JPEG 2000 tiles, so memory follows the width up to a full scene,"
        " never the height.\n\n"
        + markdown_table(header, rows)
        + "\n"
        + markdown_table(
            ["scenario", "fit", "time a pixel, largest over smallest", "memory, the same"], fits
        )
        + f"\n{growth['scenes']} scenes of {size} x {size} in a row in one process: a scene took"
        f" {growth['first_seconds']:.2f} s at first (the very first left out) and"
        f" {growth['last_seconds']:.2f} s at last"
        f" (ratio **{growth['last_seconds'] / growth['first_seconds']:.3f}**); memory after a scene"
        f" {growth['first_megabytes']:.0f} MB and {growth['last_megabytes']:.0f} MB"
        f" (**{growth['last_megabytes'] - growth['first_megabytes']:+.1f} MB**).\n\n"
    )
