"""The flight service."""

from __future__ import annotations

from typing import Any

from deploy.benchmark.pages.table import markdown_table


def service_section(results: dict[str, Any]) -> str:
    """Figures of the service beside their targets."""
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
        + markdown_table(["figure", "target", "measured"], rows)
        + f"\nThe flood's answers: {answers}.\n\n"
    )
