from __future__ import annotations

import queue
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from telecommands.gateway.files.entity import CfdpEntity
from telecommands.gateway.files.receiving import FileReceiver
from telecommands.gateway.files.settings import LONGEST_PDU, CfdpSettings
from telecommands.ground.errors import LinkError, OutputNotWritable, TransferFailed

CONTENT = random.Random(1).randbytes(100_000)


class Wire:
    """Two links that lead to each other."""

    def __init__(self) -> None:
        self.queues = queue.Queue[bytes](), queue.Queue[bytes]()

    def end(self, number: int) -> WireEnd:
        return WireEnd(self.queues[number], self.queues[1 - number])


class WireEnd:
    ready = True

    def __init__(self, incoming: queue.Queue[bytes], outgoing: queue.Queue[bytes]) -> None:
        self.incoming, self.outgoing = incoming, outgoing

    def send(self, pdu: bytes) -> None:
        self.outgoing.put(pdu)

    def receive(self, timeout_s: float) -> bytes | None:
        try:
            return self.incoming.get(timeout=timeout_s) if timeout_s else self.incoming.get_nowait()
        except queue.Empty:
            return None


@contextmanager
def entity(
    link: WireEnd, folder: Path, local: int, silence_s: float = 10.0
) -> Iterator[CfdpEntity]:
    folder.mkdir()
    counts: Counter[str] = Counter()
    settings = CfdpSettings(
        local=local, peer=3 - local, pdu_bytes=4096, resend_s=0.05, silence_s=silence_s
    )
    receiver = FileReceiver(settings, folder, lambda *_: True, lambda *_: None, counts)
    with CfdpEntity(settings, link, receiver, counts) as one:
        yield one


def test_both_ends_send_at_the_same_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    wire = Wire()
    with (
        entity(wire.end(0), tmp_path / "a", 1) as first,
        entity(wire.end(1), tmp_path / "b", 2) as second,
    ):
        first.send(tmp_path / "file", "down", 1)
        second.send(tmp_path / "file", "up", 1)
        assert (tmp_path / "b" / "down.1-1").read_bytes() == CONTENT
        assert (tmp_path / "a" / "up.2-1").read_bytes() == CONTENT


def test_a_peer_that_is_not_there_is_named_within_the_deadline(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    with entity(Wire().end(0), tmp_path / "a", 1, silence_s=0.2) as alone:
        with pytest.raises(TransferFailed, match=r"the peer was silent for 0\.2 s"):
            alone.send(tmp_path / "file", "down", 1)
        with pytest.raises(OutputNotWritable):
            alone.send(tmp_path / "absent", "down", 2)


def test_what_is_not_a_pdu_is_counted_by_what_is_wrong_and_the_entity_lives(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    wire = Wire()
    for raw in (b"", b"\x00", b"\x24\xff\xff\x77" * 4, bytes(LONGEST_PDU + 1), b"\x07\x00\x01"):
        wire.queues[0].put(raw)
    with (
        entity(wire.end(0), tmp_path / "a", 1) as first,
        entity(wire.end(1), tmp_path / "b", 2),
    ):
        first.send(tmp_path / "file", "down", 1)
        assert (first.counts["unreadable"], first.counts["oversized"]) == (4, 1)


def test_an_entity_that_ends_gives_up_what_is_under_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    with entity(Wire().end(0), tmp_path / "a", 1) as alone:
        alone.close()
        with pytest.raises(LinkError, match="the gateway ended"):
            alone.send(tmp_path / "file", "down", 1)
