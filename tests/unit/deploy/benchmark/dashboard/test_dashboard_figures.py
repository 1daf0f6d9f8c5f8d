from __future__ import annotations

import sqlite3
from itertools import pairwise
from pathlib import Path

import pytest

from deploy.benchmark.archive import build
from deploy.benchmark.dashboard.archived import account_of
from deploy.benchmark.dashboard.display import PLOTS, TABLE
from deploy.benchmark.dashboard.endurance import Sample, growth_per_minute
from deploy.benchmark.dashboard.telemetry import shown_points, telemetry_of, values_of
from telecommands.codec import decode_packet, encode_packet
from telecommands.dashboard.archive.reader import ArchiveReader
from telecommands.dashboard.archive.writer import LEVELS_NS, Archive, Arrival
from telecommands.dashboard.points.catalogue import PointCatalogue
from telecommands.dashboard.points.reduction import Gap
from telecommands.dictionary import Topic

SECOND = 10**9
DAY = 1200
"""Seconds: a short one, of whole roll-ups."""


def _arrival(topic: Topic, seq: int, content: int | None = None, boot: int = 1) -> Arrival:
    record = telemetry_of(seq if content is None else content, boot)[topic]
    frames = encode_packet(topic, record, boot=boot, sequence=seq, t=seq * SECOND)
    return Arrival(topic, *decode_packet(*frames))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "archive.sqlite"


def _fill(path: Path, *arrivals: Arrival) -> None:
    with Archive(path, PointCatalogue()) as archive:
        archive.write(arrivals)


def _values(topic: Topic) -> int:
    return values_of(topic, telemetry_of(1, 1)[topic])


def test_fifty_values_are_shown_some_of_them_in_plots_and_a_table() -> None:
    shown = shown_points()
    assert len(set(shown)) == 50
    assert {key for plot in PLOTS for key in plot} | set(TABLE) <= set(shown)


def test_what_was_sent_and_is_there_is_neither_missing_nor_repeated_nor_wrong(path: Path) -> None:
    topics: tuple[Topic, ...] = ("hk", "sci.cloud_fraction")
    _fill(path, *(_arrival(topic, seq) for seq in (3, 4, 5) for topic in topics))
    account = account_of(path, boot=1, periods=5)  # the bridge heard the third as its first
    values = 3 * sum(map(_values, topics))
    assert (account.sent, account.archived) == (values, values)
    assert (account.missing, account.repeated, account.wrong) == (0, 0, 0)


def test_missing_repeated_and_changed_packets_are_counted_value_by_value(path: Path) -> None:
    topics: tuple[Topic, ...] = ("sci.cloud_fraction", "hk")
    _fill(path, *(_arrival(topic, 1) for topic in topics), _arrival("hk", 3, content=7))
    _fill(path, *(_arrival("sci.cloud_fraction", seq) for seq in (2, 3, 4)))
    with sqlite3.connect(path) as connection:
        connection.execute(
            "INSERT INTO packet (topic, t, boot, seq, body) SELECT topic, t, boot, seq, body"
            " FROM packet WHERE seq = 3 AND topic = (SELECT id FROM topic WHERE name = 'hk')"
        )
    connection.close()
    account = account_of(path, boot=1, periods=4)
    assert account.missing == 2 * _values("hk")
    assert account.repeated == _values("hk")
    assert account.wrong == 2 * _values("hk")


def test_another_boot_is_none_of_this_ones_business(path: Path) -> None:
    topics: tuple[Topic, ...] = ("hk", "sci.cloud_fraction")
    for boot in (1, 2):
        _fill(path, *(_arrival(topic, 1, boot=boot) for topic in topics))
    assert account_of(path, boot=2, periods=1).archived == sum(map(_values, topics))


def test_growth_is_that_of_the_time_after_settling() -> None:
    def sample(minute: float, heap_mb: float) -> Sample:
        return Sample(60 * minute, heap_mb, 1000, 50, 200, 60)

    samples = [sample(0, 10), sample(1, 40), *(sample(m, 50 + 2 * m) for m in range(2, 11))]
    growth = growth_per_minute(samples, settled_s=120)
    assert growth["heap_mb"] == pytest.approx(2)
    assert growth["nodes"] == pytest.approx(0)


def test_an_archive_of_copied_days_is_what_the_link_would_have_made(path: Path) -> None:
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
            "hk", telemetry_of(1, 3)["hk"], boot=3, sequence=last.seq + 3, t=last.t + 3 * SECOND
        )
        [stored] = archive.write([Arrival("hk", *decode_packet(*frames))])
    assert stored.gap == Gap(last.t, last.t + 3 * SECOND, 2)
