"""Sockets that wait for connections."""

from __future__ import annotations

import socket


def listening_socket(address: tuple[str, int]) -> socket.socket:
    """A TCP socket that listens there, also just after another has been closed.

    Raises :class:`OSError` as the system does: ``socket.create_server`` adds the address to its
    words, which the errors of the ground name already.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener
