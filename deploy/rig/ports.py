"""Ports of the loopback that nobody uses now, for processes that take a number."""

from __future__ import annotations

import socket
from contextlib import ExitStack


def free_tcp_ports(count: int) -> list[int]:
    """Different TCP ports."""
    return _free_ports(count, socket.SOCK_STREAM)


def free_udp_ports(count: int) -> list[int]:
    """Different UDP ports."""
    return _free_ports(count, socket.SOCK_DGRAM)


def _free_ports(count: int, kind: int) -> list[int]:
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket(type=kind)) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
