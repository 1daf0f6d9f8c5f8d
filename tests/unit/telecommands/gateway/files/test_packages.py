from __future__ import annotations

import threading
from pathlib import Path
from typing import cast

import pytest

from telecommands.gateway.files.packages import PackageRelay
from telecommands.ground.commanding import TelecommandClient
from telecommands.ground.errors import GroundError, NoAnswer
from telecommands.ground.package_archive import open_package
from telecommands.ground.station import Station
from tests.unit.telecommands.ground.test_uplink import Link


class Stationed(Link):
    """A station whose link fails as often as ``silent`` says."""

    silent = 0

    def commanding(self) -> TelecommandClient:
        if self.silent:
            self.silent -= 1
            raise NoAnswer("tcp://nowhere", "did not answer")
        return self.client

    def __enter__(self) -> Stationed:
        return self

    def __exit__(self, *_: object) -> None:
        return


@pytest.fixture
def waiting(tmp_path: Path) -> Path:
    """A folder with one archive, as the receiver leaves it."""
    package, waiting = tmp_path / "tiny", tmp_path / "up"
    for folder in (package, waiting):
        folder.mkdir()
    (package / "SHA256SUMS").write_text("list\n")
    with open_package(package) as archive:
        (waiting / "tiny-1.0.tar.2-7").write_bytes(archive.read(0, archive.size))
    return waiting


def run(station: Link, waiting: Path) -> tuple[list[str], list[str]]:
    """Until one archive is done or refused; what was done, and the codes of what failed."""
    stop, done, failures = threading.Event(), list[str](), list[str]()

    def finished(what: str) -> None:
        done.append(what)
        stop.set()

    def failed(error: GroundError) -> None:
        failures.append(error.code)
        if not isinstance(error, NoAnswer):
            stop.set()
        relay.wake()

    relay = PackageRelay(cast(Station, station), waiting, finished, failed, 0.01)
    relay.wake()
    relay.run(stop)
    return done, failures


def test_an_archive_is_uplinked_under_its_name_and_then_removed(
    tmp_path: Path, waiting: Path
) -> None:
    (done,), failures = run(Stationed(tmp_path / "inbox"), waiting)
    assert done.startswith("package=tiny-1.0 sha256=")
    assert failures == []
    assert (tmp_path / "inbox" / "tiny-1.0" / "SHA256SUMS").exists()
    assert list(waiting.iterdir()) == []


def test_an_archive_waits_for_a_service_that_does_not_answer(tmp_path: Path, waiting: Path) -> None:
    station = Stationed(tmp_path / "inbox")
    station.silent = 2
    done, failures = run(station, waiting)
    assert len(done) == 1
    assert failures == ["NO_ANSWER"]


def test_what_the_service_refuses_and_what_is_not_a_package_is_dropped_with_its_reason(
    tmp_path: Path, waiting: Path
) -> None:
    assert run(Stationed(tmp_path / "inbox", quota=10), waiting) == ([], ["TRANSFER_FAILED"])
    assert list(waiting.iterdir()) == []
    (waiting / "text.2-8").write_bytes(b"not an archive")
    assert run(Stationed(tmp_path / "inbox"), waiting) == ([], ["USAGE"])
    assert list(waiting.iterdir()) == []


def test_few_archives_wait_and_only_plain_names_are_admitted(tmp_path: Path) -> None:
    relay = PackageRelay(cast(Station, None), tmp_path, print, print)
    assert relay.admits("m.tar", 1)
    assert not relay.admits("m.tar", 0)
    assert not relay.admits("../m", 1)
    assert not relay.admits("x" * 65, 1)
    for number in range(16):
        (tmp_path / f"m.2-{number}").touch()
    assert not relay.admits("m.tar", 1)
