from __future__ import annotations

import os
import socket

from telecommands.dashboard.web.clients import MOST_OF_ONE, SocketCounts, client_of


def test_a_connection_on_this_machine_is_known_by_its_user() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            accepted, peer = server.accept()
            accepted.close()
            assert client_of(peer, port) == f"user {os.getuid()}"
        assert client_of(peer, port + 1) == "127.0.0.1"
    assert client_of(("::1", 5), port) == "::1"
    assert client_of(None, port) == ""


def test_sockets_are_counted_by_client_while_they_are_open() -> None:
    counts = SocketCounts()
    held = [counts.counted("me") for _ in range(MOST_OF_ONE)]
    assert all(one.__enter__() for one in held)
    with counts.counted("me") as more, counts.counted("another") as other:
        assert (more, other) == (False, True)
    held.pop().__exit__(None, None, None)
    with counts.counted("me") as again:
        assert again
