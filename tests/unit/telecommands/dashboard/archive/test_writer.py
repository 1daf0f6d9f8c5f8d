from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest

from telecommands.codec import decode_packet, encode_packet
from telecommands.dashboard.alarms import OperatorAction, acknowledged
from telecommands.dashboard.archive.reader import ArchiveReader, ReaderPool
from telecommands.dashboard.archive.writer import LEVELS_NS, Archive, Arrival
from telecommands.dashboard.points.catalogue import PointCatalogue
from telecommands.dashboard.points.reduction import Gap, Sample
from telecommands.dictionary import Event, Severity
from telecommands.ground.errors import ArchiveError
from tests.unit.telecommands.dashboard.conftest import SECOND, START, arrival

_ALWAYS = 2**62


def _numbers(reader: ArchiveReader) -> list[tuple[int, int]]:
    return [(one.boot, one.seq) for one in reader.bodies("hk", 0, _ALWAYS)]


def test_packets_come_back_byte_by_byte(archive: Archive, reader: ArchiveReader) -> None:
    sent = [arrival(seq) for seq in (1, 2, 3)]
    assert [one.gap for one in archive.write(sent)] == [None, None, None]
    assert [one.body for one in reader.bodies("hk", 0, _ALWAYS)] == [
        bytes(one.packet.body) for one in sent
    ]
    assert reader.extent() == (3, START + SECOND, START + 3 * SECOND)


def test_a_packet_that_came_already_is_kept_once(archive: Archive, reader: ArchiveReader) -> None:
    archive.write([arrival(1), arrival(2), arrival(2)])
    assert archive.write([arrival(2)]) == []
    assert _numbers(reader) == [(1, 1), (1, 2)]


def test_a_gap_is_kept_between_the_packets_around_it(
    archive: Archive, reader: ArchiveReader
) -> None:
    stored = archive.write([arrival(1), arrival(5), arrival(6)])
    gap = Gap(START + SECOND, START + 5 * SECOND, 3)
    assert [one.gap for one in stored] == [None, gap, None]
    assert list(reader.gaps("hk", 0, _ALWAYS)) == [gap]
    assert list(reader.dropped(None)) == [Sample(START + 5 * SECOND, 3)]


def test_a_restart_continues_the_same_archive(path: Path) -> None:
    with Archive(path, PointCatalogue()) as archive:
        archive.write([arrival(1), arrival(2)])
    catalogue = PointCatalogue()
    with Archive(path, catalogue) as archive, ArchiveReader(path) as reader:
        assert "hk.heartbeats.commanding" in catalogue
        stored = archive.write([arrival(2), arrival(6)])
        assert [(one.arrival.packet.seq, one.gap) for one in stored] == [
            (6, Gap(START + 2 * SECOND, START + 6 * SECOND, 3))
        ]
        assert _numbers(reader) == [(1, 1), (1, 2), (1, 6)]


def test_numbers_restart_with_a_boot_and_with_another_unit(
    archive: Archive, reader: ArchiveReader
) -> None:
    archive.write([arrival(7)])
    archive.write([arrival(1, boot=2, t=START + 20 * SECOND)])
    archive.write([arrival(1, boot=1, t=START + 30 * SECOND)])
    archive.write([arrival(1, boot=1, t=START + 40 * SECOND)])  # its state was removed
    assert _numbers(reader) == [(1, 7), (2, 1), (1, 1), (1, 1)]
    assert list(reader.gaps("hk", 0, _ALWAYS)) == []


@pytest.mark.parametrize("level", LEVELS_NS)
def test_roll_ups_hold_the_extremes_whatever_the_batches(
    archive: Archive, reader: ArchiveReader, level: int
) -> None:
    values = [40.0, 90.0, 10.0, 50.0, 60.0, 20.0]
    sent = [arrival(seq, card_temperature_c=value) for seq, value in enumerate(values, 1)]
    archive.write(sent[:1])
    archive.write(sent[1:4])
    archive.write(sent[4:])
    assert list(reader.rollups("hk.card_temperature_c", level, 0, _ALWAYS)) == [
        Sample(START + 2 * SECOND, 90.0),
        Sample(START + 3 * SECOND, 10.0),
    ]


def test_what_cannot_be_written_is_reported_and_may_be_written_later(
    archive: Archive, reader: ArchiveReader
) -> None:
    archive.write([arrival(1)])
    archive._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(ArchiveError, match="cannot be used"):
        archive.write([arrival(2), arrival(3)])
    archive._connection.execute("PRAGMA query_only = OFF")
    assert [one.gap for one in archive.write([arrival(2), arrival(3)])] == [None, None]
    assert _numbers(reader) == [(1, 1), (1, 2), (1, 3)]


def test_two_bridges_do_not_share_an_archive(archive: Archive, path: Path) -> None:
    with pytest.raises(ArchiveError, match="another dashboard"):
        Archive(path, PointCatalogue())


def test_a_newer_archive_is_left_alone(path: Path) -> None:
    with Archive(path, PointCatalogue()):
        pass
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    for opened in (lambda: Archive(path, PointCatalogue()), lambda: ArchiveReader(path)):
        with pytest.raises(ArchiveError, match="version 99"):
            opened()
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"no database at all" * 100, b""])
def test_a_file_that_is_not_an_archive_is_reported(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ArchiveError):
        ArchiveReader(path)
    if content:
        with pytest.raises(ArchiveError):
            Archive(path, PointCatalogue())


def test_a_database_of_something_else_is_left_alone(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE packet (anything)")
    connection.close()
    with pytest.raises(ArchiveError, match="another kind of database"):
        Archive(path, PointCatalogue())


def test_a_query_that_takes_too_long_is_given_up(archive: Archive, path: Path) -> None:
    archive.write([arrival(seq) for seq in range(1, 300)])
    with ArchiveReader(path) as reader:
        with reader.deadline(0), pytest.raises(ArchiveError, match="interrupted"):
            reader._all("SELECT count(*) FROM packet a, packet b, packet c")
        assert reader.count("hk", 0, _ALWAYS, 1000) == 299


def test_readers_are_lent_and_come_back(archive: Archive, path: Path) -> None:
    pool = ReaderPool(path, 1)
    for _ in range(3):
        with pool.borrowed() as reader:
            assert reader.extent() == (0, None, None)
    pool.close()


@pytest.mark.parametrize("mode", [None, 0o644])
def test_only_the_owner_may_read_the_archive(path: Path, mode: int | None) -> None:
    if mode is not None:  # as earlier releases left it
        Archive(path, PointCatalogue()).close()
        path.chmod(mode)
    with Archive(path, PointCatalogue()) as archive:
        archive.write([arrival(1)])
        files = list(path.parent.glob(f"{path.name}*"))
        assert len(files) >= 3
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_alarms_are_kept_with_the_packets_that_raised_them(path: Path) -> None:
    with Archive(path, PointCatalogue()) as archive:
        archive.write([arrival(1, card_temperature_c=90.0)])
        archive.change_alarm("hk.card_temperature_c", acknowledged(OperatorAction(by="me", at=1)))
        kept = archive.alarms.open()
        identity = archive.bridge
    with Archive(path, PointCatalogue()) as archive:
        assert archive.alarms.open() == kept
        assert archive.bridge == identity
        archive.write([arrival(1, card_temperature_c=20.0), arrival(2, card_temperature_c=70.0)])
        assert archive.alarms.open() == ()


def test_an_alarm_of_packets_that_could_not_be_archived_is_not_raised(path: Path) -> None:
    with Archive(path, PointCatalogue()) as archive:
        with sqlite3.connect(path) as other:
            other.execute("ALTER TABLE alarm RENAME TO lost")
        with pytest.raises(ArchiveError):
            archive.write([arrival(1, card_temperature_c=90.0)])
        with sqlite3.connect(path) as other:
            other.execute("ALTER TABLE lost RENAME TO alarm")
        other.close()
        assert archive.write([arrival(1, card_temperature_c=20.0)])
        assert archive.alarms.open() == ()


def test_alarms_follow_a_parameter_that_is_a_limit_also_after_a_restart(path: Path) -> None:
    catalogue = PointCatalogue()
    with Archive(path, catalogue) as archive:
        archive.write([arrival(1, card_temperature_c=70.0)])
        assert archive.alarms.open() == ()
        archive.write([_changed(1, "fdir.warm_c", 60.0), arrival(2, card_temperature_c=70.0)])
        assert [one.severity for one in archive.alarms.open()] == ["WARNING"]
    point = catalogue.get("hk.card_temperature_c")
    assert point is not None
    assert point.limits == {"warning_high": 60.0, "critical_high": 85.0}
    with Archive(path, PointCatalogue()) as archive:
        archive.write([arrival(3, card_temperature_c=59.0)])
        archive.change_alarm("hk.card_temperature_c", acknowledged(OperatorAction(by="me", at=1)))
        assert archive.alarms.open() == ()
        archive.write([arrival(4, card_temperature_c=61.0)])
        assert [one.beyond for one in archive.alarms.open()] == ["WARNING"]


def test_a_parameter_that_could_not_be_archived_is_archived_the_next_time(path: Path) -> None:
    with Archive(path, PointCatalogue()) as archive:
        with sqlite3.connect(path) as other:
            other.execute("ALTER TABLE parameter RENAME TO lost")
        with pytest.raises(ArchiveError):
            archive.write([_changed(1, "fdir.warm_c", 60.0)])
        with sqlite3.connect(path) as other:
            other.execute("ALTER TABLE lost RENAME TO parameter")
        other.close()
        assert archive.write([_changed(1, "fdir.warm_c", 60.0)])
    with Archive(path, PointCatalogue()) as archive:
        archive.write([arrival(1, card_temperature_c=61.0)])
        assert len(archive.alarms.open()) == 1


def _changed(seq: int, name: str, value: float) -> Arrival:
    record = Event(
        event="PARAMETER_CHANGED",
        severity=Severity.ACTIVITY,
        message="",
        fields={"name": name, "value": value},
    )
    frames = encode_packet("evt", record, unit="sat-a", boot=1, sequence=seq, t=START)
    return Arrival("evt", *decode_packet(*frames))
