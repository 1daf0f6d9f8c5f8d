from __future__ import annotations

import threading
from contextlib import suppress

import pytest

from flightsw.pipeline.channel import Channel, ChannelAborted, ChannelFinished, ChannelStalled


def test_items_come_out_in_order_and_then_it_is_finished() -> None:
    channel: Channel[int] = Channel(3)
    for number in range(3):
        channel.put(number, deadline=1)
    channel.finish()
    assert channel.get_all(1) == [0, 1, 2]
    with pytest.raises(ChannelFinished):
        channel.get_all(1)


def test_a_full_channel_makes_the_sender_wait_until_the_deadline() -> None:
    channel: Channel[int] = Channel(1)
    channel.put(1, deadline=1)
    with pytest.raises(ChannelStalled):
        channel.put(2, deadline=0.01)
    assert channel.get_all(1) == [1]


def test_an_empty_channel_makes_the_receiver_wait_until_the_deadline() -> None:
    with pytest.raises(ChannelStalled):
        Channel[int](1).get_all(deadline=0.01)


def test_a_slow_sender_is_not_a_stall_though_fewer_items_wait_than_are_gathered() -> None:
    channel: Channel[int] = Channel(8, gather=3)
    channel.put(1, deadline=1)
    assert channel.get_all(deadline=0.01) == [1]


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
        threading.Thread(target=wait, args=(lambda: empty.get_all(30),)),
    ]
    for thread in threads:
        thread.start()
    full.abort()
    empty.abort()
    for thread in threads:
        thread.join(10)
    assert ends == [ChannelAborted, ChannelAborted]
    with pytest.raises(ChannelAborted):
        full.get_all(1)


def test_a_reader_that_gathers_is_given_as_many_together_and_the_rest_at_the_end() -> None:
    channel: Channel[int] = Channel(8, gather=3)
    taken: list[list[int]] = []

    def read() -> None:
        with suppress(ChannelFinished):
            while True:
                taken.append(channel.get_all(30.0))

    reader = threading.Thread(target=read)
    reader.start()
    for item in range(7):
        channel.put(item, 30.0)
    channel.finish()
    reader.join(30.0)
    assert sum(taken, []) == list(range(7))  # noqa: RUF017
    assert all(len(some) >= 3 for some in taken[:-1])


def test_gathering_more_than_fits_waits_for_no_more_than_fits() -> None:
    channel: Channel[int] = Channel(2, gather=50)
    for item in range(2):
        channel.put(item, 1.0)
    assert channel.get_all(1.0) == [0, 1]
