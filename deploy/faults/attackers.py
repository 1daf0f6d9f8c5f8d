"""Attackers: each works against a running unit for some seconds, in a process of its own.

They have what an insider may have: a key with a role, frames that were overheard, or nothing.
Each gives what it was able to do and must not be: its escapes.
"""

from __future__ import annotations

import multiprocessing
import random
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import zmq

from deploy.faults.frames import mutated
from telecommands.auth import TelecommandKey, sign
from telecommands.codec import decode_as, encode
from telecommands.dictionary import (
    ChunkRequest,
    NextProduct,
    ProductReceived,
    Stage,
    TelecommandBody,
    Verification,
)
from telecommands.ground.connection import GroundKeys, read_ground_keys
from telecommands.ground.sequence import SequenceFile

COMMANDER, WATCHER, RECEIVER = "commander", "watcher", "receiver"
"""Clients of the unit: one with a telecommand key and no hazardous role, and one role each."""

_LINKS: Final = {"telecommand": zmq.DEALER, "telemetry": zmq.SUB, "downlink": zmq.DEALER}
_END_SECONDS: Final = 60.0
_WAITING: Final = 64  # answers that an attacker reads late


@dataclass(frozen=True)
class Target:
    """What an attacker knows; ``replayed`` are frames of the operator that it overheard."""

    ground: Path
    endpoints: Mapping[str, str]
    product: str
    replayed: tuple[bytes, ...]
    seconds: float
    seed: int


class Attack:
    """One attacker's sockets and deadline."""

    def __init__(self, target: Target, opened: ExitStack) -> None:
        self.target = target
        self.choice = random.Random(target.seed)
        self.unit = target.endpoints["unit"]
        self.escapes: list[str] = []
        self.sent = 0
        self._ends = time.monotonic() + target.seconds
        self._opened = opened
        self._context = opened.enter_context(zmq.Context())

    @property
    def is_running(self) -> bool:
        """Whether there is time left."""
        return time.monotonic() < self._ends

    def keys(self, name: str) -> GroundKeys:
        """Keys of a client of the unit."""
        return read_ground_keys(self.target.ground, name)

    def socket(self, link: str, keys: GroundKeys) -> zmq.Socket[bytes]:
        """A connection to one of the links, open until the attack ends."""
        one = self._opened.enter_context(self._context.socket(_LINKS[link]))
        one.linger = 0
        one.sndtimeo = one.rcvtimeo = 1000
        assert keys.curve is not None
        one.curve_publickey, one.curve_secretkey = keys.curve.public, keys.curve.secret
        one.curve_serverkey = keys.service_public or b""
        one.connect(self.target.endpoints[link])
        if link == "telemetry":
            one.subscribe(b"")
        return one

    def send(self, link: zmq.Socket[bytes], *frames: bytes) -> bool:
        """Whether there was room."""
        try:
            link.send_multipart(frames)
        except zmq.Again:
            return False
        self.sent += 1
        return True

    def answers(self, link: zmq.Socket[bytes]) -> Iterator[list[bytes]]:
        """Those that have arrived."""
        while link.poll(0):
            yield link.recv_multipart()

    def expect_rejected(self, link: zmq.Socket[bytes], what: str) -> int:
        """Each answer must be a rejection with a code; how many there were."""
        count = 0
        for answer in self.answers(link):
            count += 1
            stage = decode_as(Verification, answer[-1], "the answer")
            if stage.stage is not Stage.REJECTED or stage.code is None:
                self.escapes.append(f"{what}: {stage.name} was answered {stage.stage.value}")
        return count


def _fuzzed_frames(attack: Attack) -> None:
    """Frames of a real telecommand, changed; over the link of a client that may command."""
    keys = attack.keys(COMMANDER)
    link, key = attack.socket("telecommand", keys), _secret(keys)
    body = TelecommandBody(id="fuzz", name="SET_PARAMETER", args=_WRONG, sent_at=0)
    frames = sign(key, attack.unit, 2**19, body)
    others = sign(key, attack.unit, 2**19 + 1, TelecommandBody(id="o", name="PING", sent_at=0))
    waiting = 0
    while attack.is_running:
        sent = mutated(attack.choice, frames, others)
        if max(map(len, sent)) < 60_000 and attack.send(link, *sent):
            waiting += 1
        while waiting > _WAITING and attack.is_running:
            link.poll(100)
            waiting -= attack.expect_rejected(link, "a changed frame")


def _replays(attack: Attack) -> None:
    """A telecommand of the operator, overheard, which set a parameter that he has set again."""
    link = attack.socket("telecommand", attack.keys(COMMANDER))
    waiting = 0
    while attack.is_running:
        waiting += attack.send(link, *attack.target.replayed)
        while waiting > _WAITING and attack.is_running:
            waiting -= len([*attack.answers(link)]) or (not link.poll(100))


def _flood(attack: Attack) -> None:
    """Telecommands of an authorised key, as many as the link takes."""
    keys = attack.keys(COMMANDER)
    link, key = attack.socket("telecommand", keys), _secret(keys)
    sequence = SequenceFile(attack.target.ground / f"{COMMANDER}.sequence")
    while attack.is_running:
        number = sequence.next()
        body = TelecommandBody(id=f"flood{number}", name="PING", sent_at=0)
        attack.send(link, *sign(key, attack.unit, number, body))
        for _ in attack.answers(link):
            pass


def _deaf_receivers(attack: Attack) -> None:
    """Receivers that ask for all of a product and read one chunk."""
    keys = attack.keys(RECEIVER)
    while attack.is_running:
        link = attack.socket("downlink", keys)
        link.rcvhwm = 1
        attack.send(link, encode(ChunkRequest(product=attack.target.product, offset=0, credit=256)))
        link.poll(500)


def _deaf_listeners(attack: Attack) -> None:
    """Subscribers and a commander that ask for long answers and read none."""
    keys = attack.keys(COMMANDER)
    link, key = attack.socket("telecommand", keys), _secret(keys)
    sequence = SequenceFile(attack.target.ground / f"{COMMANDER}.sequence")
    for _ in range(8):
        attack.socket("telemetry", attack.keys(WATCHER)).rcvhwm = 1
    while attack.is_running:
        number = sequence.next()
        body = TelecommandBody(id=f"deaf{number}", name="GET_PARAMETER", args={}, sent_at=0)
        attack.send(link, *sign(key, attack.unit, number, body))
        time.sleep(0.005)


def _forged_keys(attack: Attack) -> None:
    """Clients that nobody authorised, and telecommands that only claim to be the operator's."""
    strangers = attack.keys(WATCHER)
    link = attack.socket("telecommand", attack.keys(COMMANDER))
    waiting = 0
    while attack.is_running:
        public, secret = zmq.curve_keypair()
        curve = msgspec.structs.replace(_curve(strangers), public=public, secret=secret)
        with ExitStack() as opened:
            stranger = Attack(attack.target, opened)
            forged = msgspec.structs.replace(strangers, curve=curve)
            for name in _LINKS:
                one = stranger.socket(name, forged)
                if name != "telemetry":
                    stranger.send(one, encode(NextProduct()))
                if one.poll(20):
                    attack.escapes.append(f"an unknown client received something on {name}")
        for name in ("operator", COMMANDER, "nobody"):
            key = TelecommandKey(name, attack.choice.randbytes(32))
            body = TelecommandBody(id="forged", name="SHUT_DOWN", sent_at=0)
            waiting += attack.send(
                link, *sign(key, attack.unit, attack.choice.getrandbits(16), body)
            )
        attack.expect_rejected(link, "a forged telecommand")


def _watch_only(attack: Attack) -> None:
    """A client that may only watch tries the other links, and to command through another's."""
    keys = attack.keys(WATCHER)
    key, relay = _secret(keys), attack.socket("telecommand", attack.keys(COMMANDER))
    closed = {name: attack.socket(name, keys) for name in ("telecommand", "downlink")}
    number = 0
    while attack.is_running:
        number += 1
        for name, args in _TRIED:
            body = TelecommandBody(id=f"watch{number}", name=name, args=args, sent_at=0)
            frames = sign(key, attack.unit, number, body)
            attack.send(relay, *frames)
            for request in (
                NextProduct(),
                ProductReceived(product=attack.target.product, sha256="0" * 64),
            ):
                _try(closed["downlink"], encode(request))
            _try(closed["telecommand"], *frames)
        relay.poll(100)
        attack.expect_rejected(relay, "a client that may only watch")
        for name, one in closed.items():
            if one.poll(0):
                attack.escapes.append(f"a client that may only watch received on {name}")


def _connections(attack: Attack) -> None:
    """Connections of a client and of strangers, as many and as fast as possible."""
    keys = attack.keys(COMMANDER)
    addresses = [attack.target.endpoints[link].removeprefix("tcp://").split(":") for link in _LINKS]
    silent: list[socket.socket] = []
    try:
        while attack.is_running:
            with ExitStack() as opened:
                many = Attack(attack.target, opened)
                for _ in range(20):
                    many.socket("telemetry", keys)
                    for host, port in addresses:
                        silent.append(socket.create_connection((host, int(port)), timeout=5))
                        attack.sent += 1
            for one in silent[:-300]:
                one.close()
            del silent[:-300]
    finally:
        for one in silent:
            one.close()


def _nothing(attack: Attack) -> None:
    """No attack: what the machine itself costs."""
    time.sleep(attack.target.seconds)


ATTACKS: Final[Mapping[str, Callable[[Attack], None]]] = {
    "none": _nothing,
    "changed frames": _fuzzed_frames,
    "replays": _replays,
    "flood": _flood,
    "deaf receivers": _deaf_receivers,
    "deaf listeners": _deaf_listeners,
    "forged keys": _forged_keys,
    "watch-only key": _watch_only,
    "connections": _connections,
}

_WRONG: Final[dict[str, Any]] = {"name": "processing.waiting_jobs", "value": 1}
_TRIED: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("PING", {}),
    ("SHUT_DOWN", {}),
    ("SET_PARAMETER", _WRONG),
    ("OPEN_CONTACT", {"bytes": 10**9, "seconds": 600.0}),
    ("SET_MODE", {"mode": "SAFE"}),
)


@dataclass(frozen=True)
class Attempt:
    """What an attacker did: messages or connections, and what it must not have been able to do."""

    sent: int
    escapes: tuple[str, ...]


@contextmanager
def attacking(name: str, target: Target) -> Iterator[Callable[[], Attempt]]:
    """Attack in a process of its own meanwhile; the function waits for its end."""
    processes = multiprocessing.get_context("spawn")
    ours, theirs = processes.Pipe(duplex=False)
    process = processes.Process(target=_attack, args=(name, target, theirs), daemon=True)
    process.start()
    theirs.close()
    ours.recv()  # it has begun

    def ended() -> Attempt:
        if not ours.poll(target.seconds + _END_SECONDS):
            raise RuntimeError(f"the attacker {name!r} does not end")
        attempt: Attempt = ours.recv()
        return attempt

    try:
        yield ended
    finally:
        process.kill()
        process.join()
        ours.close()


def _attack(name: str, target: Target, report: Any) -> None:
    report.send("begun")
    with ExitStack() as opened:
        attack = Attack(target, opened)
        ATTACKS[name](attack)
        report.send(Attempt(attack.sent, tuple(sorted(set(attack.escapes)))))


def _try(link: zmq.Socket[bytes], *frames: bytes) -> None:
    """Nobody reads it: the queue of a link that does not open fills."""
    with suppress(zmq.Again):
        link.send_multipart(frames, zmq.NOBLOCK)


def _secret(keys: GroundKeys) -> TelecommandKey:
    assert keys.telecommand is not None
    return keys.telecommand


def _curve(keys: GroundKeys) -> Any:
    assert keys.curve is not None
    return keys.curve
