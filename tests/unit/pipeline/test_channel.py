from __future__ import annotations

import threading

import pytest

from flightsw.pipeline.channel import Channel, ChannelAborted, ChannelFinished, ChannelStalled


def test_items_come_out_in_order_and_then_it_is_finished() -> None:
    channel: Channel[int] = Channel(3)
    for number in range(3):
        channel.put(number, deadline=1)
    channel.finish()
    assert [channel.get(1) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ChannelFinished):
        channel.get(1)


def test_a_full_channel_makes_the_sender_wait_until_the_deadline() -> None:
    channel: Channel[int] = Channel(1)
    channel.put(1, deadline=1)
    with pytest.raises(ChannelStalled):
        channel.put(2, deadline=0.01)
    assert channel.get(1) == 1


def test_an_empty_channel_makes_the_receiver_wait_until_the_deadline() -> None:
    with pytest.raises(ChannelStalled):
        Channel[int](1).get(deadline=0.01)


def test_abort_wakes_a_waiting_sender_and_a_waiting_receiver() -> None:
    full, empty = Channel[int](1), Channel[int](1)
    full.put(1, deadline=1)
    ends: list[type[BaseException]] = []

    def wait(action: object) -> None:
        assert callable(action)
        try:
            action()
        except ChannelAborted as error:
            ends.append(type(error))

    threads = [
        threading.Thread(target=wait, args=(lambda: full.put(2, 30),)),
        threading.Thread(target=wait, args=(lambda: empty.get(30),)),
    ]
    for thread in threads:
        thread.start()
    full.abort()
    empty.abort()
    for thread in threads:
        thread.join(10)
    assert ends == [ChannelAborted, ChannelAborted]
    with pytest.raises(ChannelAborted):
        full.get(1)
