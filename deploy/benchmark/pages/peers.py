"""The same scene through other software."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from deploy.benchmark.pages.table import markdown_table
from flightsw.bench.peers import OURS
from flightsw.bench.report import peers_table
from flightsw.bench.results import PeerResult

_TEACHER: Final = "ukis-csmask"
_OURS: Final = {OURS: "simulator computing", "flightsw-twin": "twin's timing"}
_TARGETS: Final = {10: "≥ 3.5", 20: "≥ 12"}


def peers_section(results: dict[str, Any]) -> str:
    """Everybody's time and memory, then ours against ``ukis-csmask``."""
    peers = msgspec.convert(results["peers"], tuple[PeerResult, ...])
    seconds = {
        (peer.name, peer.ground_sample_distance): peer.usage.seconds for peer in peers if peer.usage
    }
    theirs = seconds.get((_TEACHER, 10))
    rows = [
        [f"{_TEACHER} at 10 m over flightsw at {distance} m, {told}", target,
         f"{theirs / seconds[name, distance]:.2f}"]
        for distance, target in _TARGETS.items()
        for name, told in _OURS.items()
        if theirs and (name, distance) in seconds
    ]  # fmt: skip
    return (
        "## The same scene through other software\n\n"
        "Each in a process of its own, two threads, four bands; what is timed begins with"
        " libraries and models loaded. `ukis-csmask` gets whole bands in reflectance through its"
        " own API.\n\n"
        + peers_table(peers)
        + "\n\n"
        + markdown_table(["figure", "target", "measured"], rows)
        + "\n"
    )
