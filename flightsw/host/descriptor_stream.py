"""Messages with at most one open file each, between two processes of this machine.

A message is its length in four bytes, then its bytes, on a Unix stream socket.
"""

from __future__ import annotations

import array
import os
import select
import socket
import struct
from time import monotonic
from typing import Final

LARGEST_MESSAGE: Final = 8 << 20
"""Bytes: an area of interest with 100,000 positions has 4 million in it twice."""

_LENGTH: Final = struct.Struct("!I")
_CHUNK: Final = 1 << 20


class StreamBroken(Exception):  # noqa: N818 - caught by the caller, who knows the subject
    """Why no message came or went, as a clause."""


class StreamEnd(StreamBroken):
    """The other process closed its end, or is dead."""


class StreamTimeout(StreamBroken):
    """The time is over."""


def send(stream: socket.socket, message: bytes, *descriptors: int, until: float) -> None:
    """Send a message, and open files for the receiver.

    ``until`` is of the monotonic clock.  Raises :class:`StreamBroken`.
    """
    data = memoryview(_LENGTH.pack(len(message)) + message)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
    try:
        while data:
            _await(stream, select.POLLOUT, until)
            with_files = rights if descriptors else []
            flags = socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT
            try:
                sent = stream.sendmsg([data[:_CHUNK]], with_files, flags)
            except BlockingIOError:
                continue
            data, descriptors = data[sent:], ()
    except OSError as error:
        raise StreamEnd(f"cannot be reached ({error.strerror})") from error


def receive(
    stream: socket.socket, until: float, *, most_descriptors: int = 0
) -> tuple[bytes, list[int]]:
    """A message and the open files that came with it, which the caller closes.

    Raises :class:`StreamBroken`, with no file open.
    """
    found = array.array("i")
    try:
        head = bytearray()
        while len(head) < _LENGTH.size:
            head += _receive_some(stream, _LENGTH.size - len(head), until, found, most_descriptors)
        (length,) = _LENGTH.unpack(head)
        if length > LARGEST_MESSAGE:
            raise StreamBroken(f"sends a message of {length} bytes")
        body = bytearray()
        while len(body) < length:
            body += _receive_some(stream, min(_CHUNK, length - len(body)), until, found, 0)
    except BaseException as error:
        for descriptor in found:
            os.close(descriptor)
        if isinstance(error, OSError):
            raise StreamEnd(f"cannot be reached ({error.strerror})") from error
        raise
    return bytes(body), [*found]


def _receive_some(
    stream: socket.socket, wanted: int, until: float, found: array.array[int], most: int
) -> bytes:
    _await(stream, select.POLLIN, until)
    room = socket.CMSG_LEN(most * found.itemsize) if most else 0
    data, rights, _, _ = stream.recvmsg(wanted, room, socket.MSG_CMSG_CLOEXEC)
    for level, kind, content in rights:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            whole = len(content) - len(content) % found.itemsize
            found.frombytes(content[:whole])
    if not data:
        raise StreamEnd("has ended")
    return data


def _await(stream: socket.socket, event: int, until: float) -> None:
    poll = select.poll()
    poll.register(stream, event)
    if not poll.poll(max(0.0, until - monotonic()) * 1000):
        raise StreamTimeout("does not answer")
