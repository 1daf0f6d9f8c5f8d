"""The dashboard."""

from __future__ import annotations

from typing import Any

from deploy.benchmark.pages.table import markdown_table


def dashboard_section(results: dict[str, Any]) -> str:
    """Figures of page and bridge beside their targets."""
    rows = [
        *_endurance_rows(results["endurance"]),
        *_value_rows(results["values"]),
        *_reconnection_rows(results["reconnection"]),
        *_first_paint_rows(results["first_paint"]),
        *_archive_rows(results["archive"], results["plot"]),
    ]
    minutes, keys = results["endurance"]["seconds"] / 60, results["values"]["keys"]
    return (
        "## The dashboard\n\n"
        f"`groundsim dashboard` in a process of its own; packets of the dictionary at 10 Hz from"
        f" the service's own telemetry link in another, encrypted; Chromium without a window and"
        f" without a GPU. For {minutes:.0f} minutes a display shows {keys} of the values they"
        f" carry: the latest of each, four plots and a table of the last minute. Every few seconds"
        f" the legend of a plot is opened or closed. Memory is taken after a full garbage"
        f" collection; its growth is a straight line through all but the first fifth.\n\n"
        + markdown_table(["figure", "target", "measured"], rows)
        + "\n"
        + _samples(results["endurance"]["samples"])
        + "\n"
    )


def _endurance_rows(told: dict[str, Any]) -> list[list[str]]:
    gaps, clicks, growth = told["frame_gaps_ms"], told["clicks_ms"], told["growth_per_minute"]
    return [
        [
            f"page: gap between {told['frames']} frames, P50; P95; P99; max",
            "responsive",
            _milliseconds(gaps, "p50", "p95", "p99", "max"),
        ],
        [
            f"page: a click to the next paint, P50; P95; max of {told['clicks']}",
            "responsive",
            _milliseconds(clicks, "p50", "p95", "max"),
        ],
        [
            "page: tasks above 50 ms; the longest",
            "",
            f"{told['long_tasks']}; {told['long_task_worst_ms']:.0f} ms",
        ],
        ["page: growth of the heap a minute", "flat", f"{growth['heap_mb']:+.2f} MB"],
        ["page: growth of DOM nodes a minute", "flat", f"{growth['nodes']:+.1f}"],
        ["page: growth of the renderer a minute", "flat", f"{growth['renderer_mb']:+.1f} MB"],
        ["page: share of a core (renderer)", "", f"{told['renderer_core_share']:.0%}"],
        ["bridge: growth of memory a minute", "flat", f"{growth['bridge_mb']:+.2f} MB"],
        ["bridge: share of a core", "", f"{told['bridge_core_share']:.0%}"],
    ]


def _value_rows(told: dict[str, Any]) -> list[list[str]]:
    archive, page = told["archive"], told["page"]
    return [
        [
            f"of {archive['sent']} values sent: not in the archive; in it twice; in it but changed",
            "0; 0; 0",
            f"{archive['missing']}; {archive['repeated']}; {archive['wrong']}",
        ],
        [
            f"of {page['sent']} values shown, not handed to the page's views; handed twice",
            "",
            f"{page['missing']}; {page['repeated']}",
        ],
    ]


def _reconnection_rows(told: dict[str, Any]) -> list[list[str]]:
    service, bridge = told["service"], told["bridge"]
    return [
        [
            f"service killed and started: first packet to page, median; max of {service['times']}",
            "≤ 2 s",
            f"{service['median_s']:.2f} s; {service['max_s']:.2f} s",
        ],
        [
            f"bridge killed and started: first answer to page, median; max of {bridge['times']}",
            "≤ 2 s",
            f"{bridge['median_s']:.2f} s; {bridge['max_s']:.2f} s",
        ],
    ]


def _first_paint_rows(told: dict[str, Any]) -> list[list[str]]:
    paint, overview = told["first_paint_ms"], told["overview_ms"]
    return [
        [
            f"first contentful paint (a word that it loads), median; max of {told['visits']}",
            "≤ 3 s",
            f"{paint['median'] / 1000:.2f} s; {paint['max'] / 1000:.2f} s",
        ],
        [
            "the same visits: to the overview with its values",
            "≤ 3 s",
            f"{overview['median'] / 1000:.2f} s; {overview['max'] / 1000:.2f} s",
        ],
    ]


def _archive_rows(archive: dict[str, Any], plot: dict[str, Any]) -> list[list[str]]:
    size = f"{archive['days']} days of 50 values at 1 Hz, {archive['bytes'] / 1e9:.1f} GB"
    asked = f"a plot request of {size}: by HTTP, median; max of {plot['requests']}"
    return [
        [asked, "≤ 300 ms", f"{plot['median_ms']:.1f} ms; {plot['max_ms']:.1f} ms"],
        *(
            [f"the same archive, asked itself: {name}", "≤ 300 ms", f"{took:.1f} ms"]
            for name, took in archive["milliseconds"].items()
        ),
    ]


def _milliseconds(told: dict[str, float], *names: str) -> str:
    return "; ".join(f"{told[name]:.0f} ms" for name in names)


def _samples(samples: list[dict[str, float]]) -> str:
    header = ["after", "heap", "DOM nodes", "listeners", "renderer", "bridge"]
    rows = [
        [
            f"{one['seconds'] / 60:.1f} min",
            f"{one['heap_mb']:.1f} MB",
            f"{one['nodes']:.0f}",
            f"{one['listeners']:.0f}",
            f"{one['renderer_mb']:.0f} MB",
            f"{one['bridge_mb']:.1f} MB",
        ]
        for one in samples
    ]
    return markdown_table(header, rows)
