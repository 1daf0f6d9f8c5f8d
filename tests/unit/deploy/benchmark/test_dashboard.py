from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from deploy.benchmark.dashboard import build, counted, housekeeping
from deploy.benchmark.page import render
from telecommands.codec import decode_packet, encode_packet
from telecommands.dashboard.archive.reader import ArchiveReader
from telecommands.dashboard.archive.writer import LEVELS_NS, Archive, Arrival
from telecommands.dashboard.points.catalogue import PointCatalogue
from telecommands.dashboard.points.reduction import Gap
from tests.unit.deploy.benchmark.run_facts import RUN

SECOND = 10**9
DAY = 1200
"""Seconds: a short one, of whole roll-ups."""


def test_missing_and_repeated_packets_are_counted_from_the_first_to_the_last() -> None:
    assert counted([3, 4, 5]) == {"sent": 3, "missing": 0, "repeated": 0}
    assert counted([3, 7, 4, 4]) == {"sent": 5, "missing": 2, "repeated": 1}


def test_a_point_that_never_arrives_is_missing() -> None:
    assert counted([])["missing"] == 1


def test_the_page_shows_losses_and_the_queries_of_the_archive() -> None:
    both = {"median": 13.27, "max": 20.0}
    results = {
        "minutes": 1,
        "points": 50,
        "packets": {"sent": 600, "missing": 0, "repeated": 0},
        "values": {"sent": 30_000, "missing": 2, "repeated": 1},
        "frame_gaps_ms": {"p50": 17, "p99": 50, "max": 183},
        "first_paint": {"visits": 7, "first_paint_ms": both, "overview_ms": both},
        "archive": {"days": 30, "bytes": 2.8e9, "requests": 20, "milliseconds": {"a day": both}},
    }
    page = render({"dashboard": results | RUN})
    assert "| of 600 packets: missing in the archive; stored twice | 0; 0 | 0; 0 |" in page
    assert "handed twice | 0; 0 | 2; 1 |" in page
    assert (
        "| a plot request of a day by HTTP, median; max of 20 | ≤ 300 ms | 13.3 ms; 20.0 ms" in page
    )


def test_an_archive_of_copied_days_is_what_the_link_would_have_made(tmp_path: Path) -> None:
    path = tmp_path / "archive.sqlite"
    build(path, days=3, day=DAY)
    key = "hk.card_temperature_c"
    with ArchiveReader(path) as reader:
        packets = list(reader.bodies("hk", 0, 2**62))
        assert [packet.seq for packet in packets] == list(range(1, 3 * DAY + 1))
        assert {b.t - a.t for a, b in pairwise(packets)} == {SECOND}
        for level in LEVELS_NS:
            days = [
                list(reader.rollups(key, level, first.t, first.t + DAY * SECOND - 1))
                for first in packets[::DAY]
            ]
            values = [[one.value for one in day] for day in days]
            assert len(values[0]) == 2 * DAY * SECOND // level
            assert values[0] == values[1] == values[2]
            assert days[2][0].t - days[0][0].t == 2 * DAY * SECOND
    last = packets[-1]
    with Archive(path, PointCatalogue()) as archive:
        frames = encode_packet(
            "hk",
            housekeeping(1),
            unit="bench",
            boot=3,
            sequence=last.seq + 3,
            t=last.t + 3 * SECOND,
        )
        [stored] = archive.write([Arrival("hk", *decode_packet(*frames))])
    assert stored.gap == Gap(last.t, last.t + 3 * SECOND, 2)
