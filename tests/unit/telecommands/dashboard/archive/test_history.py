from __future__ import annotations

import json
from typing import Any

import pytest

from telecommands.dashboard.archive import history as history_module
from telecommands.dashboard.archive.history import Range, history, read_range
from telecommands.dashboard.archive.reader import ArchiveReader
from telecommands.dashboard.archive.table import rows_of
from telecommands.dashboard.archive.writer import Archive
from telecommands.dashboard.points.catalogue import PointCatalogue
from telecommands.dashboard.points.point import Point
from telecommands.ground.errors import UsageError
from tests.unit.telecommands.dashboard.conftest import SECOND, START, arrival

_ALL = read_range({})


def _point(catalogue: PointCatalogue, key: str) -> Point:
    point = catalogue.get(key)
    assert point is not None
    return point


def _values(found: list[dict[str, Any]]) -> list[Any]:
    return [datum["value"] for datum in found]


def test_a_value_comes_with_its_time_number_and_boot(
    archive: Archive, reader: ArchiveReader, catalogue: PointCatalogue
) -> None:
    archive.write([arrival(1, card_temperature_c=86.0), arrival(2)])
    assert history(reader, _point(catalogue, "hk.card_temperature_c"), _ALL) == [
        {"timestamp": START / 1e6 + 1000, "value": 86.0, "seq": 1, "boot": 1},
        {"timestamp": START / 1e6 + 2000, "value": 41.0, "seq": 2, "boot": 1},
    ]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hk.jobs.queued", 0),
        ("hk.mode", 2),
        ("hk.engine", "dimc"),
        ("hk.heartbeats.commanding", 0.1),
        ("hk.cpu_temperature_c", None),
    ],
)
def test_every_kind_of_value_is_found(
    archive: Archive, reader: ArchiveReader, catalogue: PointCatalogue, key: str, value: Any
) -> None:
    archive.write([arrival(1)])
    assert _values(history(reader, _point(catalogue, key), _ALL)) == [value]


def test_latest_gives_the_last_of_the_span(
    archive: Archive, reader: ArchiveReader, catalogue: PointCatalogue
) -> None:
    archive.write([arrival(seq, card_power_w=float(seq)) for seq in range(1, 10)])
    point = _point(catalogue, "hk.card_power_w")
    asked = Range(0, START + 7 * SECOND, 3, "latest")
    assert _values(history(reader, point, asked)) == [5, 6, 7]
    assert _values(history(reader, point, Range(0, 2**62, None, "latest"))) == [9]


def test_a_gap_breaks_the_line(
    archive: Archive, reader: ArchiveReader, catalogue: PointCatalogue
) -> None:
    archive.write([arrival(1), arrival(4)])
    gap = {"timestamp": START / 1e6 + 2500, "value": None, "gap": 2}
    for asked in (_ALL, Range(0, 2**62, 100, "minmax")):
        assert history(reader, _point(catalogue, "hk.card_power_w"), asked)[1] == gap
    assert history(reader, _point(catalogue, "link.dropped"), _ALL)[0]["value"] == 2
    assert history(reader, _point(catalogue, "link.dropped.hk"), _ALL)[0]["value"] == 2
    assert history(reader, _point(catalogue, "link.dropped.evt"), _ALL) == []


@pytest.mark.parametrize("most", [50_000, 100])  # from packets, from roll-ups
def test_minmax_keeps_the_peak_of_many(
    archive: Archive,
    reader: ArchiveReader,
    catalogue: PointCatalogue,
    monkeypatch: pytest.MonkeyPatch,
    most: int,
) -> None:
    monkeypatch.setattr(history_module, "MOST_READ", most)
    archive.write(
        [arrival(seq, card_power_w=30.0 if seq == 333 else 9.0) for seq in range(1, 1201)]
    )
    asked = Range(START, START + 1200 * SECOND, 20, "minmax")
    found = history(reader, _point(catalogue, "hk.card_power_w"), asked)
    assert len(found) <= 20
    peak = next(datum for datum in found if datum["value"] == 30.0)
    assert peak["timestamp"] == START / 1e6 + 333_000
    times = [datum["timestamp"] for datum in found]
    assert times == sorted(times)


def test_too_many_without_a_strategy_come_as_minmax(
    archive: Archive,
    reader: ArchiveReader,
    catalogue: PointCatalogue,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history_module, "MOST", 50)
    archive.write([arrival(seq) for seq in range(1, 400)])
    assert 0 < len(history(reader, _point(catalogue, "hk.uptime_s"), _ALL)) <= 50
    assert len(history(reader, _point(catalogue, "hk.engine"), _ALL)) == 50


def test_a_table_has_the_fields_of_its_rows(
    archive: Archive, reader: ArchiveReader, catalogue: PointCatalogue
) -> None:
    archive.write([arrival(1, topic="evt"), arrival(3, topic="evt")])
    first, gap, last = history(reader, _point(catalogue, "evt"), _ALL)
    assert (first["event"], first["severity"]) == ("JOB_STARTED", "ACTIVITY")
    assert gap["gap"] == 1
    assert last["message"] == "number 3"


def test_the_link_has_its_history(
    archive: Archive, reader: ArchiveReader, catalogue: PointCatalogue
) -> None:
    archive.write_link(START, up=False)
    archive.write_link(START + SECOND, up=True)
    assert _values(history(reader, _point(catalogue, "link.state"), _ALL)) == [0, 1]
    latest = Range(START + 900 * SECOND, 2**62, 1, "latest")  # it is so since long
    assert _values(history(reader, _point(catalogue, "link.state"), latest)) == [1]
    before = Range(0, START - 1, 1, "latest")
    assert history(reader, _point(catalogue, "link.state"), before) == []


@pytest.mark.parametrize("key", ["link.dropped", "link.dropped.hk"])
def test_before_the_first_loss_nothing_was_dropped_since_the_archive_began(
    archive: Archive, reader: ArchiveReader, catalogue: PointCatalogue, key: str
) -> None:
    point, latest = _point(catalogue, key), Range(START + 900 * SECOND, 2**62, 1, "latest")
    assert history(reader, point, latest) == []
    archive.write_link(START, up=False)
    archive.write_link(START + SECOND, up=True)
    [nothing] = history(reader, point, latest)
    assert (nothing["value"], nothing["timestamp"]) == (0, START / 1e6)
    assert history(reader, point, _ALL) == []
    assert history(reader, point, Range(0, START - 1, 1, "latest")) == []
    archive.write([arrival(1), arrival(4)])
    assert _values(history(reader, point, latest)) == [2]
    assert _values(history(reader, point, _ALL)) == [2]


@pytest.mark.parametrize(
    "query",
    [
        {"start": "tomorrow"},
        {"start": "nan"},
        {"end": "inf"},
        {"start": "-1"},
        {"end": "1e300"},
        {"start": "2000", "end": "1000"},
        {"size": "0"},
        {"size": "-5"},
        {"size": "9" * 400},
        {"size": "2.5"},
        {"strategy": "guess"},
    ],
)
def test_absurd_ranges_are_refused(query: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        read_range(query)


def test_rows_for_programs_keep_gaps_and_name_states(
    archive: Archive, reader: ArchiveReader, catalogue: PointCatalogue
) -> None:
    archive.write([arrival(1), arrival(4), arrival(1, topic="evt")])
    rows = list(rows_of(reader, _point(catalogue, "hk.mode"), 0, 2**62))
    assert [(row.value, row.text, row.gap) for row in rows] == [
        (2.0, "OPERATIONAL", None),
        (None, None, 2),
        (2.0, "OPERATIONAL", None),
    ]
    [row] = rows_of(reader, _point(catalogue, "evt"), 0, 2**62)
    assert json.loads(row.text or "")["event"] == "JOB_STARTED"
