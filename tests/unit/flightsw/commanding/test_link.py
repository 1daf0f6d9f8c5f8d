from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import zmq

from flightsw.commanding import link as link_file
from flightsw.commanding.context import Completed, Outcome, TelecommandContext, reference_of
from flightsw.commanding.link import TelecommandLink
from telecommands.dictionary import MAX_BODY_BYTES, Code, Stage, Verification
from tests.unit.flightsw.commanding.harness import Harness, stage_texts

PATIENCE_S = 20.0
SCENE = {"scene": "a.SAFE"}


class Station:
    """A running link and peers to talk to it."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.context = zmq.Context()
        router = self.context.socket(zmq.ROUTER)
        router.setsockopt(zmq.LINGER, 0)
        self.endpoint = f"tcp://127.0.0.1:{router.bind_to_random_port('tcp://127.0.0.1')}"
        self.router = router
        self.peers: list[zmq.Socket[bytes]] = []
        self.tick: Callable[[], None] = lambda: None
        self.beats = threading.Semaphore(0)
        self.ticks = threading.Semaphore(0)
        self.link = TelecommandLink(router, harness.dispatcher, self.beats.release, self._ticked)

    def peer(self) -> zmq.Socket[bytes]:
        peer: zmq.Socket[bytes] = self.context.socket(zmq.DEALER)
        peer.setsockopt(zmq.LINGER, 0)
        peer.setsockopt(zmq.RCVTIMEO, int(PATIENCE_S * 1000))
        peer.setsockopt(zmq.SNDTIMEO, int(PATIENCE_S * 1000))
        peer.connect(self.endpoint)
        self.peers.append(peer)
        return peer

    def close(self) -> None:
        assert self.link.stop(PATIENCE_S)
        for peer in self.peers:
            peer.close()
        self.context.term()

    def _ticked(self) -> None:
        self.ticks.release()
        self.tick()


def _next(peer: zmq.Socket[bytes]) -> Verification:
    (frame,) = peer.recv_multipart()
    return msgspec.msgpack.decode(frame, type=Verification)


def _stages(peer: zmq.Socket[bytes], count: int) -> list[str]:
    return stage_texts(tuple(_next(peer) for _ in range(count)))


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    harness = Harness(tmp_path)
    one = Station(harness)
    one.link.start()
    yield one
    one.close()
    harness.state.close()


def test_each_stage_is_answered_in_a_message_of_its_own(station: Station) -> None:
    peer = station.peer()
    peer.send_multipart(station.harness.frames("PING", {}))
    assert _stages(peer, 3) == ["ACCEPTED", "STARTED", "COMPLETED"]


def test_later_stages_reach_all_clients_that_sent_the_telecommand(
    station: Station,
) -> None:
    sender, other, silent = station.peer(), station.peer(), station.peer()
    sender.send_multipart(station.harness.frames("PROCESS_SCENE", SCENE, "job"))
    assert _stages(sender, 1) == ["ACCEPTED"]
    other.send_multipart(station.harness.frames("PROCESS_SCENE", SCENE, "job"))
    assert _stages(other, 1) == ["ACCEPTED"]
    silent.send_multipart(station.harness.frames("PING", {}))
    assert _stages(silent, 3)[-1] == "COMPLETED"
    station.harness.report("job", Stage.STARTED)
    station.harness.report("job", Stage.COMPLETED)
    for peer in (sender, other):
        assert _stages(peer, 2) == ["STARTED", "COMPLETED"]
        peer.send_multipart(station.harness.frames("PING", {}))
        assert _next(peer).name == "PING"  # and nothing of the job any more
    silent.send_multipart(station.harness.frames("PING", {}, "again"))
    assert _next(silent).id == "again"


def test_a_forged_telecommand_does_not_subscribe_to_anothers_stages(station: Station) -> None:
    sender, forger = station.peer(), station.peer()
    sender.send_multipart(station.harness.frames("PROCESS_SCENE", SCENE, "job"))
    _next(sender)
    header, body = station.harness.frames("PROCESS_SCENE", SCENE, "job")
    forger.send_multipart([header[:-1] + bytes([header[-1] ^ 1]), body])
    assert _next(forger).code is Code.BAD_MAC
    station.harness.report("job", Stage.STARTED)
    assert _stages(sender, 1) == ["STARTED"]
    forger.send_multipart(station.harness.frames("PING", {}))
    assert _next(forger).name == "PING"


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([b""], Code.MALFORMED),
        ([b"", b""], Code.MALFORMED),
        ([b"x"] * 5000, Code.MALFORMED),
        ([b"\x94" * 200, b"\x94" * 60_000], Code.MALFORMED),
        ([b"h" * 257, b""], Code.OVERSIZED),
        ([b"h", b"b" * (MAX_BODY_BYTES + 1)], Code.OVERSIZED),
    ],
)
def test_hostile_messages_are_answered_and_the_link_continues(
    station: Station, frames: list[bytes], code: Code
) -> None:
    peer = station.peer()
    peer.send_multipart(frames)
    assert _next(peer).code is code
    peer.send_multipart(station.harness.frames("PING", {}))
    assert _stages(peer, 3)[-1] == "COMPLETED"


def test_bytes_that_are_not_zmq_leave_the_link_unaffected(station: Station) -> None:
    port = int(station.endpoint.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n" * 100)
        peer = station.peer()
        peer.send_multipart(station.harness.frames("PING", {}))
        assert _stages(peer, 3)[-1] == "COMPLETED"


def test_every_telecommand_of_a_flood_is_answered_and_ticks_go_on(station: Station) -> None:
    station.harness.rate = 100
    peer = station.peer()
    peer.setsockopt(zmq.RCVHWM, 0)
    for _ in range(2000):
        peer.send_multipart(station.harness.frames("PING", {}))
    ended: set[str] = set()
    while len(ended) < 2000:
        stage = _next(peer)
        if stage.stage.closes:
            ended.add(stage.id)
    counts = station.harness.dispatcher.counts()
    assert counts.accepted + counts.rejected == 2000
    assert counts.rejected_by_code == {"RATE_LIMITED": counts.rejected}
    for called in (station.beats, station.ticks):
        assert sum(called.acquire(blocking=False) for _ in range(10_000)) >= 2000 // 64


def test_a_peer_that_never_reads_changes_nothing_for_the_others(station: Station) -> None:
    silent, peer = station.peer(), station.peer()
    silent.setsockopt(zmq.RCVHWM, 1)
    for _ in range(3000):
        silent.send_multipart(station.harness.frames("LIST_SCHEDULE", {}))
    for _ in range(20):
        peer.send_multipart(station.harness.frames("PING", {}))
        while not _next(peer).stage.closes:
            pass


def test_a_peer_that_is_gone_does_not_block_others(station: Station) -> None:
    gone, peer = station.peer(), station.peer()
    gone.send_multipart(station.harness.frames("PROCESS_SCENE", SCENE, "job"))
    assert _stages(gone, 1) == ["ACCEPTED"]
    gone.close()
    peer.send_multipart(station.harness.frames("PROCESS_SCENE", SCENE, "job"))
    assert _stages(peer, 1) == ["ACCEPTED"]
    station.harness.report("job", Stage.COMPLETED)
    assert _stages(peer, 1) == ["COMPLETED"]


def test_a_tick_that_fails_stops_neither_answers_nor_heartbeats(station: Station) -> None:
    failed = threading.Event()

    def fail() -> None:
        failed.set()
        raise ZeroDivisionError

    station.tick = fail
    assert failed.wait(PATIENCE_S)
    peer = station.peer()
    peer.send_multipart(station.harness.frames("PING", {}))
    assert _stages(peer, 3)[-1] == "COMPLETED"
    while station.beats.acquire(blocking=False):
        pass
    assert station.beats.acquire(timeout=PATIENCE_S)


def test_stopping_sends_what_was_reported_and_closes_the_socket(tmp_path: Path) -> None:
    inside, leave = threading.Event(), threading.Event()

    def hold(_telecommand: object, _order: TelecommandContext) -> Outcome:
        inside.set()
        assert leave.wait(PATIENCE_S)
        return Completed()

    harness = Harness(tmp_path, {"REPORT_LATEST": hold})
    station = Station(harness)
    station.link.start()
    peer = station.peer()
    peer.send_multipart(harness.frames("PROCESS_SCENE", SCENE, "job"))
    peer.send_multipart(harness.frames("PROCESS_SCENE", SCENE, "late"))
    assert _stages(peer, 2) == ["ACCEPTED"] * 2
    peer.send_multipart(harness.frames("REPORT_LATEST", {}))
    assert inside.wait(PATIENCE_S)
    assert not station.link.stop(0)
    harness.report("job", Stage.FAILED, code=Code.INTERRUPTED)
    leave.set()
    assert station.link.stop(PATIENCE_S)
    assert _stages(peer, 4) == ["ACCEPTED", "STARTED", "COMPLETED", "FAILED INTERRUPTED"]
    assert station.router.closed
    harness.report("late", Stage.COMPLETED)  # nobody is there to send it: no error
    station.close()
    harness.state.close()


def test_a_link_that_never_started_closes_its_socket_too(harness: Harness) -> None:
    station = Station(harness)
    assert station.link.stop(0)
    assert station.router.closed
    station.close()


def test_reports_nobody_sends_take_a_bounded_amount_of_memory(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_file, "_INBOX", 3)
    station = Station(harness)  # never started
    harness.send("PROCESS_SCENE", SCENE, "job")
    for step in range(10):
        harness.report("job", Stage.PROGRESS, step=step)
    assert [one.step for one in station.link._inbox.take()] == [7, 8, 9]
    assert station.link.lost == 7
    station.close()


def test_only_so_many_telecommands_and_senders_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stage(telecommand: str) -> Verification:
        return Verification(id=telecommand, name="", stage=Stage.STARTED, at=0)

    monkeypatch.setattr(link_file, "_OPEN_IDS", 2)
    monkeypatch.setattr(link_file, "_SENDERS", 2)
    waiting = link_file._Waiting()
    for telecommand in ("a", "b", "c"):
        for identity in (b"1", b"2", b"2", b"3"):
            waiting.add(reference_of("", telecommand), identity)
    assert waiting.of(stage("a")) == []
    assert waiting.of(stage("b")) == waiting.of(stage("c")) == [b"2", b"3"]


def test_the_link_sleeps_until_something_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_file, "_TURN_MS", 3 * PATIENCE_S * 1000)
    harness = Harness(tmp_path)
    station = Station(harness)
    station.link.start()
    peer = station.peer()
    peer.send_multipart(harness.frames("PROCESS_SCENE", SCENE, "job"))
    assert _stages(peer, 1) == ["ACCEPTED"]
    for step in range(10):
        harness.report("job", Stage.PROGRESS, step=step)
        assert _next(peer).step == step
    station.close()
    assert sum(station.beats.acquire(blocking=False) for _ in range(1000)) <= 25
    harness.state.close()
