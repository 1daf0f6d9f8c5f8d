"""The ground end of a link: one ZeroMQ socket, its CURVE keys, and the reason for silence."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import zmq

from telecommands.auth import TelecommandKey
from telecommands.codec import decode_as
from telecommands.dictionary import Role
from telecommands.ground.closable import Closable
from telecommands.ground.errors import LinkError, NoAnswer, UnusableKey
from telecommands.ground.handshake import MISMATCH, Finding, HandshakeMonitor, with_role
from telecommands.keys import (
    SECRET_SUFFIX,
    SERVICE_KEY,
    TELECOMMAND_SUFFIX,
    CurvePair,
    KeyRefused,
    check_name,
    read_curve_pair,
    read_curve_public,
    read_telecommand_key,
    read_unit,
)
from telecommands.refusal import Refusal

Answer = TypeVar("Answer")

KEYS_VARIABLE: Final = "FLIGHTSW_GROUND_KEYS"

MOST_FRAME_BYTES: Final = 16 << 20
"""Longest frame that a client reads: above the longest chunk and the longest list."""

_LINGER_MS: Final = 1000
_LONGEST_RETRY_MS: Final = 500  # between two attempts to reach a service that is down
_PROBE_S: Final = 1.0
_PEER_CHECK_MS: Final = 5000


class GroundKeys(msgspec.Struct, frozen=True):
    """Keys of a client.  Both CURVE fields None: the link is not encrypted.

    Without ``telecommand`` the client may receive telemetry and products, but not command.
    ``unit`` is the name of the unit whose keys these are, which each telecommand needs; empty if
    it is not known.
    """

    curve: CurvePair | None = None
    service_public: bytes | None = None
    telecommand: TelecommandKey | None = None
    unit: str = ""


def default_key_folder() -> Path:
    """``$FLIGHTSW_GROUND_KEYS``, else ``keys``."""
    return Path(os.environ.get(KEYS_VARIABLE) or "keys")


def read_ground_keys(folder: Path, name: str, *, curve: bool = True) -> GroundKeys:
    """Keys of the client ``name``: ``NAME.key_secret``, ``service.key``, ``NAME.telecommand_key``.

    The last may be absent; without ``curve`` the other two are not read.  Raises
    :class:`UnusableKey` that names the file and the command that makes it.
    """
    pair, service = folder / f"{name}{SECRET_SUFFIX}", folder / SERVICE_KEY
    telecommand = folder / f"{name}{TELECOMMAND_SUFFIX}"
    try:
        check_name(name)
        if curve and not os.path.lexists(pair):
            raise absent_keys(pair)
        if curve and not os.path.lexists(service):
            cure = f"Copy it from the service and run: {_command('trust', SERVICE_KEY, folder)}"
            raise UnusableKey(service, "does not exist: the service's public key is missing", cure)
        return GroundKeys(
            curve=read_curve_pair(pair) if curve else None,
            service_public=read_curve_public(service) if curve else None,
            telecommand=read_telecommand_key(telecommand) if telecommand.exists() else None,
            unit=read_unit(service) if service.exists() else "",
        )
    except KeyRefused as refused:
        raise UnusableKey(refused.path, refused.cause, refused.cure) from refused


def absent_keys(missing: Path) -> UnusableKey:
    """The error of a client that lacks the key file ``missing``."""
    folder, name = missing.parent, missing.stem
    what, made = f"ground keys for {name!r}", name
    if missing.with_suffix(SECRET_SUFFIX).exists():  # of which `generate` makes no second one
        what, made = f"telecommand key for {name!r}", "ANOTHER_NAME"
    cause = f"holds no {what} ({missing.name})"
    if not folder.exists():
        cause = f"does not exist, so there are no {what} ({missing.name})"
    shown = folder if folder.is_absolute() else f"./{folder}"
    return UnusableKey(shown, cause, f"Run: {_command('generate', made, folder)}")


def _command(action: str, argument: str, folder: Path) -> str:
    option = "" if folder == default_key_folder() else f" --keys {folder}"
    return f"groundsim keys {action} {argument}{option} (docs/operations.md, Keys)"


class Connection(Closable):
    """A socket that one thread uses; every wait has a deadline.

    ``kind`` is zmq.DEALER or zmq.SUB, ``role`` what the link needs of its client.
    Raises :class:`LinkError` for an invalid endpoint.
    """

    def __init__(
        self,
        kind: int,
        endpoint: str,
        keys: GroundKeys,
        *,
        role: Role = Role.COMMAND,
        topics: Sequence[str] = (),
        monitored: bool = False,
    ) -> None:
        self._kind = kind
        self._role = role
        self.endpoint = endpoint
        self._keys = keys
        self._context = zmq.Context()
        self._monitor: HandshakeMonitor | None = None
        try:
            self._socket = _socket(self._context, kind, keys)
            if monitored:
                self._monitor = HandshakeMonitor(self._socket)
            for topic in topics:
                self._socket.subscribe(topic)
            self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close()
            cure = "Give an endpoint such as tcp://127.0.0.1:5701"
            raise LinkError(endpoint, f"cannot be used ({error.strerror})", cure) from error
        except UnusableKey:
            self.close()
            raise

    def send(self, frame: bytes, *more: bytes) -> None:
        """Send one message; :class:`LinkError` if too many messages already wait to be sent."""
        try:
            self._socket.send_multipart([frame, *more], zmq.DONTWAIT)
        except zmq.Again as error:
            raise self.no_answer("accepts no more messages") from error

    def receive(self, deadline: float) -> list[zmq.Frame] | None:
        """One message, or None when the monotonic clock reaches ``deadline`` (s)."""
        try:  # a poll takes longer than the message that waits
            return self._received()
        except zmq.Again:
            left_ms = max(0, int((deadline - time.monotonic()) * 1000 + 0.999))
        return self._received() if self._socket.poll(left_ms) else None

    def _received(self) -> list[zmq.Frame]:
        """All frames of the next message; :class:`zmq.Again` if there is none."""
        frames = [self._socket.recv(zmq.DONTWAIT, copy=False)]
        while frames[-1].more:
            frames.append(self._socket.recv(zmq.DONTWAIT, copy=False))
        return frames

    def no_answer(self, cause: str) -> NoAnswer:
        """The error to raise after silence; ``cause`` says what did not happen.

        Connects once more to find the reason.
        """
        finding = with_role(_probe(self._kind, self.endpoint, self._keys), self._role)
        return NoAnswer(self.endpoint, f"{cause}: {finding.cause}", finding.cure)

    @property
    def finding(self) -> Finding | None:
        """What is known of the other end; None if nothing is known yet.

        Only a ``monitored`` connection knows it.  Ask now and then: each call reads the events.
        """
        if self._monitor is None:
            return None
        self._monitor.poll(0)
        finding = self._monitor.finding
        return None if finding is None else with_role(finding, self._role)

    def close(self) -> None:
        """Close it, after at most a second for sent messages to leave."""
        self._context.destroy(linger=_LINGER_MS)


class LinkClient(Closable):
    """One end of a link; owns its connection and closes it at the end of a ``with``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def close(self) -> None:
        """Close the link."""
        self._connection.close()

    def _decode(self, kind: type[Answer], frame: bytes) -> Answer:
        """The service's answer; :class:`LinkError` if this client cannot read it."""
        try:
            return decode_as(kind, frame, "the answer")
        except Refusal as refusal:
            cure = "Use a client of the service's version"
            cause = f"sent an unreadable answer: {refusal.cause}"
            raise LinkError(self._connection.endpoint, cause, cure) from refusal


def _socket(
    context: zmq.Context[zmq.Socket[bytes]], kind: int, keys: GroundKeys
) -> zmq.Socket[bytes]:
    socket = context.socket(kind)
    socket.linger = _LINGER_MS
    socket.setsockopt(zmq.MAXMSGSIZE, MOST_FRAME_BYTES)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, _LONGEST_RETRY_MS)
    socket.setsockopt(zmq.HEARTBEAT_IVL, _PEER_CHECK_MS)  # notices a peer that lost its power
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 3 * _PEER_CHECK_MS)
    if keys.curve is not None:
        if keys.service_public is None:
            cause = "is missing: CURVE also needs the service's public key"
            raise UnusableKey(SERVICE_KEY, cause, f"Copy the service's {SERVICE_KEY}")
        socket.curve_publickey = keys.curve.public
        socket.curve_secretkey = keys.curve.secret
        socket.curve_serverkey = keys.service_public
    return socket


def _probe(kind: int, endpoint: str, keys: GroundKeys) -> Finding:
    """Connect again and watch the handshake."""
    deadline = time.monotonic() + _PROBE_S
    with zmq.Context() as context, _socket(context, kind, keys) as socket:
        socket.linger = 0
        with closing(HandshakeMonitor(socket)) as monitor:
            socket.connect(endpoint)
            # A handshake that was broken off may succeed next time: the service may be starting.
            while monitor.finding in (None, MISMATCH) and (left := deadline - time.monotonic()) > 0:
                monitor.poll(int(left * 1000))
            return monitor.finding or MISMATCH
