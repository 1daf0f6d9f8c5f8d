from __future__ import annotations

import socket
from contextlib import ExitStack

import zmq
from hypothesis import given
from hypothesis import strategies as st

from deploy.rig.flight_unit import wait_until
from flightsw.host.connections import LIMITS, Connections, ConnectionWatch, Limits

_LIMITS = Limits(of_a_client=3, unknown=4, total=8)


class Link:
    """A link as the rules see it: what they close is closed, and its number is used again."""

    def __init__(self) -> None:
        self.clients: dict[int, str | None] = {}
        self.rules = Connections(self.clients.__contains__, _LIMITS)
        self.closed: list[str | None] = []

    def open(self) -> int:
        descriptor = next(number for number in range(99) if number not in self.clients)
        self.clients[descriptor] = None
        self._close(self.rules.opened(descriptor))
        return descriptor

    def speak(self, descriptor: int, client: str) -> None:
        if descriptor in self.clients:
            self.clients[descriptor] = client
            self._close(self.rules.heard(descriptor, client)[1])

    def end(self, descriptor: int, *, reported: bool = True) -> None:
        self.clients.pop(descriptor, None)
        if reported:
            self.rules.closed(descriptor)

    def _close(self, connection: object) -> None:
        if connection is not None:
            self.closed.append(self.clients.pop(connection.descriptor))  # type: ignore[attr-defined]


@given(st.lists(st.tuples(st.sampled_from(["open", "speak", "end", "lost"]), st.integers(0, 7))))
def test_no_limit_is_ever_exceeded(steps: list[tuple[str, int]]) -> None:
    link = Link()
    for what, number in steps:
        if what == "open":
            descriptor = link.open()
            if number:  # of 7 clients, and some that say nothing
                link.speak(descriptor, f"client {number}")
        elif what == "speak":
            link.speak(number, f"client {number % 3}")
        else:
            link.end(number, reported=what == "end")
        clients = list(link.clients.values())
        assert clients.count(None) <= _LIMITS.unknown
        assert len(clients) - clients.count(None) <= _LIMITS.total
        assert all(clients.count(one) <= _LIMITS.of_a_client for one in clients if one)


def test_a_client_with_too_many_connections_costs_no_other_a_connection() -> None:
    link = Link()
    link.speak(link.open(), "operator")
    for _ in range(50):
        link.speak(link.open(), "greedy")
    assert set(link.closed) == {"greedy"}
    assert sorted(map(str, link.clients.values())) == ["greedy"] * 3 + ["operator"]


def test_who_says_nothing_costs_no_client_its_connection() -> None:
    link = Link()
    for client in ("operator", "watcher"):
        link.speak(link.open(), client)
        for _ in range(20):
            link.open()
    assert set(link.closed) == {None}


def test_an_end_that_was_not_reported_costs_no_connection() -> None:
    link = Link()
    for _ in range(20):
        descriptor = link.open()
        link.speak(descriptor, "operator")
        link.end(descriptor, reported=False)
    assert link.closed == []


def test_connections_of_a_socket_beyond_the_limit_are_closed() -> None:
    refused: list[str] = []
    with ExitStack() as opened:
        context = opened.enter_context(zmq.Context())
        bound = opened.enter_context(context.socket(zmq.ROUTER))
        port = bound.bind_to_random_port("tcp://127.0.0.1")
        watch = ConnectionWatch(bound, refused.append)
        opened.callback(watch.close)
        peer = opened.enter_context(context.socket(zmq.DEALER))
        peer.connect(f"tcp://127.0.0.1:{port}")
        peer.send(b"first")
        connection = watch.heard(bound.recv_multipart(copy=False)[0])
        assert connection is not None
        assert connection.client == ""
        silent = [
            opened.enter_context(socket.create_connection(("127.0.0.1", port)))
            for _ in range(LIMITS.unknown + 3)
        ]

        def three_are_closed() -> bool:
            watch.update()
            return len(refused) == 3

        wait_until(three_are_closed, 10)
        for one in silent[:3]:
            one.settimeout(10)
            while one.recv(1024):
                pass
        peer.send(b"second")
        assert bound.recv_multipart()[1] == b"second"
        watch.refuse(connection)
        peer.send(b"third")  # over a new connection, or the last bytes of this one
        assert bound.poll(10_000)


def test_an_address_is_free_again_after_the_watch() -> None:
    with ExitStack() as opened:
        context = opened.enter_context(zmq.Context())
        context.linger = 0
        peer = opened.enter_context(context.socket(zmq.DEALER))
        endpoint = "tcp://127.0.0.1:*"
        for turn in range(3):
            bound = context.socket(zmq.ROUTER)
            wait_until(lambda: _binds(bound, endpoint), 10)  # noqa: B023 - called in this turn
            if not turn:
                endpoint = bound.getsockopt_string(zmq.LAST_ENDPOINT)
                peer.connect(endpoint)
            watch = ConnectionWatch(bound, lambda _: None)
            wait_until(lambda: _arrives(peer, bound), 10)  # noqa: B023
            watch.close()
            bound.close()


def _arrives(peer: zmq.Socket[bytes], bound: zmq.Socket[bytes]) -> bool:
    """Sent again, because what went out over the connection that was just closed is lost."""
    peer.send(b"again")
    return bool(bound.poll(500))


def _binds(bound: zmq.Socket[bytes], endpoint: str) -> bool:
    try:
        bound.bind(endpoint)
    except zmq.ZMQError:
        return False
    return True
