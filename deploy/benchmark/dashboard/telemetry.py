"""What is sent while the dashboard is measured: of each number the content is known beforehand."""

from __future__ import annotations

import math
from typing import Final

import msgspec

from deploy.benchmark.archive import housekeeping
from telecommands.dashboard.points.catalogue import PointCatalogue
from telecommands.dashboard.points.reduction import is_number
from telecommands.dictionary import (
    LATENCY_STAGES,
    LATENCY_STATISTICS,
    CloudFraction,
    Record,
    Topic,
)

PERIOD_S: Final = 0.1
SHOWN: Final = 50


def telemetry_of(number: int, boot: int) -> dict[Topic, Record]:
    """One period's packets, by topic."""
    return {
        "hk": msgspec.structs.replace(
            housekeeping(number), boots=boot, uptime_s=round(number * PERIOD_S, 1)
        ),
        "sci.cloud_fraction": _cloud_fraction(number),
    }


def values_of(topic: str, record: Record) -> int:
    """Numbers that the bridge finds in a packet."""
    values = PointCatalogue().values(topic, record)
    return sum(is_number(value) for _, value in values)


def shown_points() -> tuple[str, ...]:
    """Keys of the first 50 that the dictionary declares and that tell a number each period."""
    catalogue = PointCatalogue()
    declared = {point.key for folder in catalogue.folders() for point in folder.points}
    found = [
        point.key
        for topic, record in telemetry_of(1, 1).items()
        for point, value in catalogue.values(topic, record)
        if point.key in declared and point.type == "number" and is_number(value)
    ]
    return tuple(found[:SHOWN])


def _cloud_fraction(number: int) -> CloudFraction:
    """The outcome of a made-up scene; its latencies move."""
    stages = {
        stage: {
            statistic: place + depth / 10 + math.sin(number / 30 + depth)
            for depth, statistic in enumerate(LATENCY_STATISTICS)
        }
        for place, stage in enumerate(LATENCY_STAGES, 2)
    }
    return CloudFraction(
        job="job", scene="scene", model="dtacsnet-cd-0.1.0", engine="dimc",
        ground_sample_distance=10, height=900, width=900, valid_pixels=810_000 - number % 1000,
        contaminated=0.5 + 0.4 * math.sin(number / 50), fractions={}, rows=5, columns=5,
        tile_map=bytes(25), seconds=4 + math.sin(number / 70), inference_seconds=2.0,
        stages_ms=stages, energy_j=4.0 * number,
    )  # fmt: skip
