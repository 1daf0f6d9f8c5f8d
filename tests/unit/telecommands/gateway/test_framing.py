from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telecommands.gateway.framing import FramingError, PacketSplitter
from tests.unit.telecommands.gateway.samples import function, request

_PACKETS = [request(17, 1), function("PING"), request(3, 27, b"\x01\x02")]


@given(cuts=st.lists(st.integers(min_value=0, max_value=50), max_size=6))
def test_packets_come_whole_however_the_stream_is_cut(cuts: list[int]) -> None:
    stream, splitter, found = b"".join(_PACKETS), PacketSplitter(), []
    places = [0, *sorted(cuts), len(stream)]
    for start, end in pairwise(places):
        found += splitter.take(stream[start:end])
    assert found == _PACKETS
    assert not splitter.partial


def test_a_packet_that_is_not_whole_is_awaited() -> None:
    splitter = PacketSplitter()
    assert list(splitter.take(_PACKETS[0][:-1])) == []
    assert splitter.partial


@pytest.mark.parametrize(
    ("header", "cause"),
    [
        ("080000000000", "not the header of a telecommand"),  # telemetry
        ("f86400000000", "not the header of a telecommand"),  # version 7
        ("474554202f20", "not the header of a telecommand"),  # GET /
        ("186400000000", "a segment"),
        ("1864c000ffff", "has 65542 bytes, more than 16384"),
    ],
)
def test_bytes_that_are_not_a_telecommand_end_the_stream(header: str, cause: str) -> None:
    with pytest.raises(FramingError, match=cause):
        list(PacketSplitter().take(bytes.fromhex(header)))


@given(st.binary(max_size=200))
def test_any_bytes_are_split_or_refused(stream: bytes) -> None:
    with suppress(FramingError):
        packets = list(PacketSplitter().take(stream))
        assert stream.startswith(b"".join(packets))
