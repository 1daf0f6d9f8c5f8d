from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from flightsw.telemetry.link import (
    MOST_DATA_BYTES,
    PACKETS_PER_SUBSCRIBER,
    TelemetryLink,
    configure_publisher,
    published,
)
from flightsw.telemetry.packets import PacketStream
from telecommands.codec import decode_packet, encode
from telecommands.dictionary import Event, Packet, Progress, Severity, Stage, Verification

_DEADLINE_MS = 10_000


def _event(message: str = "") -> Event:
    return Event(event="JOB_STARTED", severity=Severity.ACTIVITY, message=message)


def _progress(rows_done: int) -> Progress:
    return Progress(job="j", scene="s", rows_done=rows_done, rows=9, elapsed_s=0.5)


class _Ground:
    """Sockets around one link; all end with the test."""

    def __init__(self) -> None:
        self.context = zmq.Context()
        self.drops: queue.Queue[int] = queue.Queue()
        self.beats: queue.Queue[None] = queue.Queue(maxsize=1000)
        self._subscribers: list[zmq.Socket[bytes]] = []
        self._links: list[TelemetryLink] = []

    def link(
        self,
        depth: int = 10_000,
        prepare: Callable[[zmq.Socket[bytes]], None] = lambda _: None,
        too_many: Callable[[str], None] = lambda _: None,
    ) -> TelemetryLink:
        self.publisher: zmq.Socket[bytes] = self.context.socket(zmq.XPUB)
        configure_publisher(self.publisher)
        prepare(self.publisher)
        port = self.publisher.bind_to_random_port("tcp://127.0.0.1")
        self.endpoint = f"tcp://127.0.0.1:{port}"
        link = TelemetryLink(
            self.publisher,
            PacketStream("sat-a", boot=3),
            heartbeat=lambda: self.beats.full() or self.beats.put(None),
            clock=lambda: 1_000,
            report_drops=self.drops.put,
            depth=depth,
            too_many=too_many,
        )
        self._links.append(link)
        return link

    def subscriber(self, *topics: str, kind: int = zmq.SUB, room: int = 0) -> zmq.Socket[bytes]:
        """``room``: so many packets wait unread before the publisher's own queue fills; 0: all."""
        socket: zmq.Socket[bytes] = self.context.socket(kind)
        self._subscribers.append(socket)
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.RCVHWM, room)
        socket.set(zmq.RCVBUF, 65_536)
        for topic in topics:
            socket.subscribe(topic)
        socket.connect(self.endpoint)
        return socket

    def wait_for_subscription(self) -> None:
        """Before the link starts: until the publisher knows of a subscription."""
        assert self.publisher.poll(_DEADLINE_MS)

    def close(self) -> None:
        for link in self._links:
            link.stop(0.2)
        for socket in self._subscribers:
            socket.close(0)
        self.context.term()


@pytest.fixture
def ground() -> Iterator[_Ground]:
    one = _Ground()
    yield one
    one.close()


def _receive(socket: zmq.Socket[bytes]) -> tuple[str, Packet]:
    assert socket.poll(_DEADLINE_MS), "no packet came"
    topic, frame = socket.recv_multipart()
    return topic.decode(), decode_packet(topic, frame)[0]


def _small_buffers(publisher: zmq.Socket[bytes]) -> None:
    publisher.set(zmq.SNDBUF, 65_536)


def _silent(socket: zmq.Socket[bytes]) -> bool:
    return not socket.poll(0)


def test_a_packet_reaches_a_subscriber_with_boot_sequence_and_time(ground: _Ground) -> None:
    link = ground.link()
    subscriber = ground.subscriber("evt")
    ground.wait_for_subscription()
    link.start()
    link.publish("evt", _event())
    topic, packet = _receive(subscriber)
    assert (topic, packet.boot, packet.seq, packet.t) == ("evt", 3, 1, 1_000)


def test_a_new_subscriber_gets_the_latest_of_each_topic_it_asks_for(ground: _Ground) -> None:
    link = ground.link()
    first = ground.subscriber("")
    ground.wait_for_subscription()
    link.start()
    for rows in (1, 2, 3):
        link.publish("sci.progress", _progress(rows))
    link.publish("evt", _event())
    assert [_receive(first)[1].seq for _ in range(4)] == [1, 2, 3, 1]

    late = ground.subscriber("sci.")
    assert (_receive(late)[0], _receive(first)[0]) == ("sci.progress", "sci.progress")
    link.publish("evt", _event())
    link.publish("sci.progress", _progress(4))
    assert _receive(late)[1].seq == 4  # its first was the latest progress; events are not asked for


def test_a_second_subscriber_of_the_same_topic_gets_it_too_and_the_first_sees_a_repetition(
    ground: _Ground,
) -> None:
    link = ground.link()
    first = ground.subscriber("evt")
    ground.wait_for_subscription()
    link.start()
    link.publish("evt", _event("a"))
    link.publish("evt", _event("b"))
    assert [_receive(first)[1].seq for _ in range(2)] == [1, 2]
    second = ground.subscriber("evt")
    assert _receive(second)[1].seq == 2
    assert _receive(first)[1].seq == 2
    assert _silent(second)


def test_a_full_queue_drops_the_new_packet_shows_the_gap_and_reports_it(ground: _Ground) -> None:
    link = ground.link(depth=3)
    subscriber = ground.subscriber("evt")
    ground.wait_for_subscription()
    for _ in range(5):
        link.publish("evt", _event())
    assert link.dropped == 2
    link.start()
    assert [_receive(subscriber)[1].seq for _ in range(3)] == [1, 2, 3]
    assert ground.drops.get(timeout=10) == 2
    link.publish("evt", _event())
    sequence = _receive(subscriber)[1].seq
    while sequence == 3:  # the repetition for the new subscriber
        sequence = _receive(subscriber)[1].seq
    assert sequence == 6
    assert link.dropped == 2


def test_many_threads_publish_without_loss_or_disorder(ground: _Ground) -> None:
    link = ground.link(prepare=lambda publisher: publisher.set(zmq.SNDHWM, 0))
    subscriber = ground.subscriber("evt")
    ground.wait_for_subscription()
    link.start()
    threads = [
        threading.Thread(target=lambda: [link.publish("evt", _event()) for _ in range(500)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = 0
    while seen < 2000:
        sequence = _receive(subscriber)[1].seq
        assert sequence in (seen, seen + 1)  # once more for the new subscriber, or the next
        seen = sequence
    assert link.dropped == 0


def test_a_subscriber_that_stops_reading_changes_nothing_for_others(ground: _Ground) -> None:
    link = ground.link(prepare=_small_buffers)
    stuck = ground.subscriber("evt", room=1)
    ground.wait_for_subscription()
    link.start()
    link.publish("evt", _event())
    assert _receive(stuck)[1].seq == 1  # it reads once, then never again
    healthy = ground.subscriber("evt")
    seen = _receive(healthy)[1].seq
    total = 2 * PACKETS_PER_SUBSCRIBER
    body = _event("x" * 2_048)
    for last in range(101, total + 2, 100):
        for _ in range(100):
            link.publish("evt", body)
        while seen < last:
            sequence = _receive(healthy)[1].seq
            assert sequence in (seen, seen + 1)
            seen = sequence
    assert link.dropped == 0
    kept = 0
    while stuck.poll(500):
        kept = _receive(stuck)[1].seq
    assert 0 < kept < total  # it was stuck indeed, and lost what found no room


def test_stopping_sends_what_waits(ground: _Ground) -> None:
    link = ground.link()
    subscriber = ground.subscriber("evt")
    ground.wait_for_subscription()
    for _ in range(PACKETS_PER_SUBSCRIBER // 2):
        link.publish("evt", _event())
    link.start()
    assert link.stop(10)
    seen = 0
    while seen < PACKETS_PER_SUBSCRIBER // 2:
        seen = _receive(subscriber)[1].seq


def test_stopping_ends_although_a_subscriber_is_stuck(ground: _Ground) -> None:
    link = ground.link(prepare=_small_buffers)
    ground.subscriber("evt", room=1)
    ground.wait_for_subscription()
    link.start()
    body = _event("x" * 60_000)
    for _ in range(500):
        link.publish("evt", body)
    ending = threading.Thread(target=lambda: link.stop(0.3))
    ending.start()
    ending.join(10)
    assert not ending.is_alive()
    assert ground.publisher.closed


def test_what_is_published_after_the_end_counts_as_dropped(ground: _Ground) -> None:
    link = ground.link()
    link.start()
    assert link.stop(5)
    link.publish("evt", _event())
    assert link.dropped == 1
    assert link.resend() == 0
    assert link.stop(5)


def test_a_link_that_never_started_closes_its_socket(ground: _Ground) -> None:
    link = ground.link()
    assert link.stop(0)
    assert ground.publisher.closed


def test_the_latest_packets_go_out_once_more_when_asked_for(ground: _Ground) -> None:
    link = ground.link()
    subscriber = ground.subscriber("")
    ground.wait_for_subscription()
    link.start()
    assert link.resend() == 0
    link.publish("evt", _event())
    link.publish("sci.progress", _progress(1))
    assert {_receive(subscriber)[0] for _ in range(2)} == {"evt", "sci.progress"}
    assert link.resend(("sci.progress", "hk")) == 1
    assert _receive(subscriber)[0] == "sci.progress"
    assert link.resend() == 2
    assert {_receive(subscriber)[0] for _ in range(2)} == {"evt", "sci.progress"}


def test_the_thread_answers_while_nothing_happens(ground: _Ground) -> None:
    ground.link().start()
    for _ in range(3):
        ground.beats.get(timeout=10)


@pytest.mark.parametrize("message", [b"", b"\x02evt", b"\x00evt", b"\xff" * 200, b"evt"])
def test_what_is_not_a_subscription_is_passed_over(ground: _Ground, message: bytes) -> None:
    link = ground.link()
    rude = ground.subscriber(kind=zmq.XSUB)
    rude.send(message)
    rude.send(b"\x01evt")
    ground.wait_for_subscription()
    link.start()
    link.publish("evt", _event())
    assert _receive(rude)[1].seq == 1


def test_an_oversized_subscription_changes_nothing_for_others(ground: _Ground) -> None:
    link = ground.link()
    good = ground.subscriber("evt")
    ground.wait_for_subscription()
    link.start()
    ground.subscriber(kind=zmq.XSUB).send(b"\x01" + b"e" * 100_000)
    link.publish("evt", _event())
    assert _receive(good)[1].seq == 1


@pytest.mark.parametrize("topics", [[b"x" * 65], [b"%d" % n for n in range(257)]])
def test_a_connection_that_subscribes_without_measure_is_closed_and_no_other(
    ground: _Ground, topics: list[bytes]
) -> None:
    refused: queue.Queue[str] = queue.Queue()
    link = ground.link(too_many=refused.put)
    good = ground.subscriber("evt")
    ground.wait_for_subscription()
    link.start()
    greedy = ground.subscriber(kind=zmq.XSUB)
    for topic in topics:
        greedy.send(b"\x01" + topic)
    refused.get(timeout=10)
    link.publish("evt", _event())
    assert _receive(good)[1].seq == 1


def test_a_packet_wakes_the_thread(ground: _Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flightsw.telemetry.link._IDLE_MS", 3_600_000)
    link = ground.link()
    subscriber = ground.subscriber("evt")
    ground.wait_for_subscription()
    link.start()
    for sequence in (1, 2, 3):
        link.publish("evt", _event())
        while _receive(subscriber)[1].seq != sequence:  # the repetition for the new subscriber
            pass
    link.resend()
    assert _receive(subscriber)[1].seq == 3
    assert link.stop(10)


def test_drops_are_reported_again_only_with_new_ones(ground: _Ground) -> None:
    link = ground.link(depth=1)
    for _ in range(3):
        link.publish("evt", _event())
    link.start()
    assert ground.drops.get(timeout=10) == 2
    for _ in range(4):
        ground.beats.get(timeout=10)
    assert ground.drops.empty()


@given(length=st.integers(0, 3 * MOST_DATA_BYTES))
def test_telemetry_leaves_out_long_data_and_says_how_many(length: int) -> None:
    data = {"list": "x" * length} if length else {}
    stage = Verification(id="a", name="LIST_JOBS", stage=Stage.COMPLETED, at=0, data=data)
    sent = published(stage)
    if len(encode(data)) <= MOST_DATA_BYTES:
        assert sent == stage
    else:
        assert sent.data == {"bytes_left_out": len(encode(data))}
        assert (sent.id, sent.stage) == (stage.id, stage.stage)
