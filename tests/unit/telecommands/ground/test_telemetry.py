from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest
import zmq

from telecommands.codec import encode_packet
from telecommands.dictionary import Event, Packet, Progress, Severity, Topic
from telecommands.ground.connection import GroundKeys
from telecommands.ground.telemetry import PacketOrder, TelemetryClient

_LONG_S = 20.0


class _Publisher:
    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self.socket = socket

    def wait_for_subscriber(self) -> None:
        assert self.socket.poll(20_000)
        self.socket.recv()

    def send(self, topic: Topic, seq: int, boot: int = 1) -> None:
        body = (
            Event(event="SERVICE_STARTED", severity=Severity.ACTIVITY, message="")
            if topic == "evt"
            else Progress(job="j", scene="s", rows_done=0, rows=1, elapsed_s=0)
        )
        self.socket.send_multipart(
            encode_packet(topic, body, unit="sat-a", boot=boot, sequence=seq, t=0)
        )


@contextmanager
def _link(*topics: str) -> Iterator[tuple[_Publisher, TelemetryClient]]:
    with zmq.Context() as context, context.socket(zmq.XPUB) as socket:
        socket.linger = 0
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        publisher = _Publisher(socket)
        with TelemetryClient(f"tcp://127.0.0.1:{port}", GroundKeys(), topics) as client:
            publisher.wait_for_subscriber()
            yield publisher, client


def _heard(client: TelemetryClient, count: int) -> list[tuple[str, int]]:
    packets = client.packets(_LONG_S)
    return [(topic, packet.seq) for topic, packet, _ in (next(packets) for _ in range(count))]


def test_packets_arrive_with_their_bodies() -> None:
    with _link("") as (publisher, client):
        publisher.send("evt", 1)
        topic, packet, body = next(client.packets(_LONG_S))
    assert (topic, packet.kind) == ("evt", "Event")
    assert isinstance(body, Event)


def test_only_chosen_topics_arrive() -> None:
    with _link("sci.") as (publisher, client):
        publisher.send("evt", 1)
        publisher.send("sci.progress", 1)
        assert _heard(client, 1) == [("sci.progress", 1)]


def test_gaps_are_counted_by_topic() -> None:
    with _link("") as (publisher, client):
        for topic, seq in (("evt", 3), ("sci.progress", 1), ("evt", 4), ("evt", 9)):
            publisher.send(topic, seq)
        _heard(client, 4)
        assert client.lost == {"evt": 4, "sci.progress": 0}


def test_a_packet_sent_again_for_another_subscriber_is_neither_new_nor_a_loss() -> None:
    with _link("") as (publisher, client):
        for seq in (1, 2, 2, 2, 3):
            publisher.send("evt", seq)
        assert _heard(client, 3) == [("evt", 1), ("evt", 2), ("evt", 3)]
        assert client.repeated == {"evt": 2}
        assert not client.lost.total()


def test_messages_that_are_not_packets_are_counted_and_ignored() -> None:
    with _link("") as (publisher, client):
        publisher.socket.send_multipart([b"evt", b"\xc1"])
        publisher.socket.send_multipart([b"nonsense", b""])
        publisher.socket.send_multipart([b"evt"])
        publisher.send("evt", 1)
        assert _heard(client, 1) == [("evt", 1)]
        assert client.unreadable == 3


def test_silence_ends_the_iteration() -> None:
    with _link("") as (_, client):
        assert list(client.packets(0.01)) == []


def _packet(boot: int, seq: int) -> Packet:
    return Packet(
        v=2, unit="sat-a", boot=boot, seq=seq, t=0, kind="Event", body=msgspec.Raw(b"\xc0")
    )


@pytest.mark.parametrize(
    ("heard", "new", "lost"),
    [
        ([(1, 5)], [True], 0),
        ([(1, 5), (1, 6)], [True, True], 0),
        ([(1, 5), (1, 8)], [True, True], 2),
        ([(1, 5), (1, 5)], [True, False], 0),
        ([(1, 5), (2, 1)], [True, True], 0),
        ([(1, 5), (2, 1), (2, 3)], [True, True, True], 1),
        ([(1, 5), (2, 5)], [True, True], 0),
    ],
)
def test_numbers_count_within_a_boot(
    heard: list[tuple[int, int]], new: list[bool], lost: int
) -> None:
    order = PacketOrder()
    assert [order.is_new("evt", _packet(*one)) for one in heard] == new
    assert order.lost["evt"] == lost
