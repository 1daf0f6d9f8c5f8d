"""Packets as a link would give them, and an archive that holds some."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from telecommands.codec import decode_packet, encode_packet
from telecommands.dashboard.archive.reader import ArchiveReader
from telecommands.dashboard.archive.writer import Archive, Arrival
from telecommands.dashboard.points.catalogue import PointCatalogue
from telecommands.dictionary import Event, Record, Severity, Topic
from tests.unit.telecommands.flight_stand_in import housekeeping

SECOND = 10**9
START = 1_780_000_000 * SECOND


def arrival(
    seq: int, boot: int = 1, topic: Topic = "hk", t: int | None = None, **fields: Any
) -> Arrival:
    """The packet of that number; a second between two."""
    record: Record = (
        Event(event="JOB_STARTED", severity=Severity.ACTIVITY, message=f"number {seq}")
        if topic == "evt"
        else housekeeping(**fields)
    )
    at = START + seq * SECOND if t is None else t
    frames = encode_packet(topic, record, unit="sat-a", boot=boot, sequence=seq, t=at)
    return Arrival(topic, *decode_packet(*frames))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "archive.sqlite"


@pytest.fixture
def catalogue() -> PointCatalogue:
    return PointCatalogue()


@pytest.fixture
def archive(path: Path, catalogue: PointCatalogue) -> Iterator[Archive]:
    with Archive(path, catalogue) as archive:
        yield archive


@pytest.fixture
def reader(archive: Archive, path: Path) -> Iterator[ArchiveReader]:
    with ArchiveReader(path) as reader:
        yield reader
