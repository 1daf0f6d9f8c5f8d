from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from telecommands.gateway import peers as module
from telecommands.gateway.peers import MOST_PEERS, MOST_WAITING_BYTES, Peers
from tests.unit.telecommands.gateway.mission_control import SECONDS, MissionControl
from tests.unit.telecommands.gateway.samples import function


class _Serving:
    def __init__(self, peers: Peers) -> None:
        self.peers = peers
        self.faults: list[tuple[str, str]] = []
        self.changed = threading.Condition()

    def wait(self, fault: str) -> str:
        """What was reported of the first such fault."""
        with self.changed:
            assert self.changed.wait_for(lambda: any(fault == f for f, _ in self.faults), SECONDS)
        return next(cause for found, cause in self.faults if found == fault)


@contextmanager
def _serving() -> Iterator[_Serving]:
    stop = threading.Event()

    def report(fault: str, cause: str) -> None:
        with serving.changed:
            serving.faults.append((fault, cause))
            serving.changed.notify_all()

    with Peers(("127.0.0.1", 0), lambda _: None, report) as peers:
        serving = _Serving(peers)
        thread = threading.Thread(target=peers.run, args=(stop,))
        thread.start()
        try:
            yield serving
        finally:
            stop.set()
            thread.join(SECONDS)


def test_a_peer_that_does_not_read_loses_packets_and_the_others_none() -> None:
    packet = bytes(65_000)
    with _serving() as serving, MissionControl(serving.peers.address) as slow:
        while not len(serving.peers):
            slow.send(function("PING"))
        for _ in range(3 * MOST_WAITING_BYTES // len(packet)):
            serving.peers.send([packet])
        assert "does not read" in serving.wait("PEER_SLOW")


def test_a_packet_that_stays_incomplete_ends_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "WHOLE_S", 0.05)
    with _serving() as serving, MissionControl(serving.peers.address) as slow:
        slow.send(function("PING")[:7])
        assert "was not whole after" in serving.wait("TRUNCATED")
        assert list(slow.packets()) == []


def test_a_peer_that_takes_nothing_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENT_S", 0.05)
    with _serving() as serving, MissionControl(serving.peers.address) as silent:
        while not len(serving.peers):
            silent.send(function("PING"))
        for _ in range(MOST_WAITING_BYTES // 65_000):
            serving.peers.send([bytes(65_000)])
        assert "took nothing" in serving.wait("PEER_LOST")


def test_more_peers_than_allowed_are_refused() -> None:
    with _serving() as serving:
        controls = [MissionControl(serving.peers.address) for _ in range(MOST_PEERS + 1)]
        serving.wait("TOO_MANY_PEERS")
        assert len(serving.peers) == MOST_PEERS
        for control in controls:
            control.close()
