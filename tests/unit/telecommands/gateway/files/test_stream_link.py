from __future__ import annotations

import socket
from collections import Counter

import pytest

from telecommands.gateway.files.stream_link import StreamLink
from telecommands.ground.errors import LinkError

_PDU = bytes([0x24, 0, 3, 0x13]) + bytes(2 * 2 + 4) + b"abc"


def _until_pdu(link: StreamLink) -> bytes | None:
    for _ in range(50):
        if (pdu := link.receive(0.1)) is not None:
            return pdu
    return None


@pytest.fixture
def counts() -> Counter[str]:
    return Counter()


def test_pdus_are_cut_from_the_stream_wherever_it_is_divided(counts: Counter[str]) -> None:
    with StreamLink(("127.0.0.1", 0), counts) as link:
        link.send(b"lost: nobody is there")
        assert not link.ready
        with socket.create_connection(link.address) as peer:
            for piece in (_PDU[:2], _PDU[2:9], _PDU[9:] + _PDU):
                peer.sendall(piece)
            assert [_until_pdu(link), _until_pdu(link)] == [_PDU, _PDU]
            assert link.ready
            link.send(_PDU)
            assert peer.recv(100) == _PDU
    assert counts == {"not sent": 1}


def test_a_peer_that_comes_again_replaces_itself_and_what_is_not_cfdp_is_cut_off(
    counts: Counter[str],
) -> None:
    with StreamLink(("127.0.0.1", 0), counts) as link:
        with (
            socket.create_connection(link.address),
            socket.create_connection(link.address) as second,
        ):
            second.sendall(_PDU)
            assert _until_pdu(link) == _PDU
            second.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert link.receive(5) is None
            assert second.recv(1) == b""
        assert counts == {"connections replaced": 1, "connections without CFDP": 1}


def test_a_peer_that_does_not_read_loses_pdus_and_holds_nobody_up(counts: Counter[str]) -> None:
    with StreamLink(("127.0.0.1", 0), counts) as link, socket.create_connection(link.address):
        assert link.receive(5) is None  # the connection
        while not counts["not sent"]:
            link.send(bytes(50_000))
        assert not link.ready


def test_an_address_in_use_is_refused(counts: Counter[str]) -> None:
    with (
        StreamLink(("127.0.0.1", 0), counts) as link,
        pytest.raises(LinkError, match="cannot be used for CFDP"),
    ):
        StreamLink(link.address, counts)
