from __future__ import annotations

import pytest

from flightsw.telemetry.packets import PacketStream
from telecommands.codec import decode_packet
from telecommands.dictionary import Event, Progress, Severity


def _event(message: str = "x") -> Event:
    return Event(event="JOB_STARTED", severity=Severity.ACTIVITY, message=message)


def _progress() -> Progress:
    return Progress(job="j", scene="s", rows_done=1, rows=2, elapsed_s=0.5)


def test_each_topic_counts_from_one_and_carries_the_boot() -> None:
    stream = PacketStream("sat-a", boot=7)
    first = stream.frames("evt", _event(), 10)
    stream.frames("evt", _event(), 20)
    other = stream.frames("sci.progress", _progress(), 30)
    third = stream.frames("evt", _event("three"), 40)
    assert [decode_packet(*frames)[0].seq for frames in (first, other, third)] == [1, 1, 3]
    packet, body = decode_packet(*third)
    assert (packet.unit, packet.boot, packet.t, packet.kind) == ("sat-a", 7, 40, "Event")
    assert body == _event("three")


def test_the_latest_packet_is_the_last_one_sent_not_the_last_one_numbered() -> None:
    stream = PacketStream("sat-a", boot=1)
    sent = stream.frames("evt", _event(), 1)
    stream.sent(sent)
    stream.frames("evt", _event(), 2)
    assert stream.latest(b"evt") == [sent]


def test_a_subscription_asks_for_every_topic_that_starts_with_it() -> None:
    stream = PacketStream("sat-a", boot=1)
    event, progress = (
        stream.frames("evt", _event(), 1),
        stream.frames("sci.progress", _progress(), 1),
    )
    stream.sent(event)
    stream.sent(progress)
    assert stream.latest(b"sci.") == [progress]
    assert stream.latest(b"") == [event, progress]
    assert stream.latest(b"evt2") == []


def test_a_body_that_cannot_be_carried_uses_no_sequence_number() -> None:
    stream = PacketStream("sat-a", boot=1)
    unfit = Event(
        event="JOB_STARTED", severity=Severity.ACTIVITY, message="", fields={"x": object()}
    )
    with pytest.raises(TypeError):
        stream.frames("evt", unfit, 1)
    assert decode_packet(*stream.frames("evt", _event(), 1))[0].seq == 1
