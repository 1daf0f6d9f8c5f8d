from __future__ import annotations

import socket
from collections import Counter

import pytest

from telecommands.gateway.files.link import UdpLink
from telecommands.ground.errors import LinkError

_ANY = ("127.0.0.1", 0)


def test_pdus_of_the_peer_arrive_and_those_of_strangers_are_counted() -> None:
    counts: Counter[str] = Counter()
    with (
        UdpLink(_ANY, ("127.0.0.1", 9), counts) as link,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger,
    ):
        stranger.bind(("127.0.0.2", 0))
        stranger.sendto(b"stranger", link.address)
        assert link.receive(5) is None
        peer.sendto(b"pdu", link.address)
        assert link.receive(5) == b"pdu"
        assert link.receive(0) is None
        assert counts == {"from an unknown host": 1}


def test_what_the_system_does_not_take_is_counted_as_lost() -> None:
    counts: Counter[str] = Counter()
    with UdpLink(_ANY, ("127.0.0.1", 9), counts) as link:
        link.send(bytes(70_000))
    assert counts == {"not sent": 1}


def test_an_address_in_use_is_refused_with_its_cure() -> None:
    with (
        UdpLink(_ANY, ("127.0.0.1", 9), Counter()) as link,
        pytest.raises(LinkError, match=r"cannot be used for CFDP.*--listen"),
    ):
        UdpLink(link.address, ("127.0.0.1", 9), Counter())
