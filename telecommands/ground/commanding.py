"""Send telecommands and follow their stages."""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec
import zmq

from telecommands.auth import sign
from telecommands.codec import convert_arguments
from telecommands.dictionary import (
    MAX_BODY_BYTES,
    Arm,
    Code,
    Schedule,
    Stage,
    TelecommandBody,
    Verification,
)
from telecommands.ground.connection import Connection, GroundKeys, LinkClient
from telecommands.ground.errors import LinkError, UnusableKey, UsageError
from telecommands.ground.sequence import SequenceFile
from telecommands.hazard import is_hazardous
from telecommands.refusal import Refusal

RESEND_S: Final = 3.0
"""A telecommand without an answer is sent again after this time."""

ASK_AGAIN_S: Final = 15.0
"""An answered telecommand without further stages is sent again after this time (a restart?)."""

_MOST_OPEN: Final = 10_000
_NONE: Final[Mapping[str, Any]] = MappingProxyType({})


def check_arguments(name: str, args: Mapping[str, Any]) -> bool:
    """Whether the telecommand is hazardous: the operator must confirm it, and it is armed.

    Raises :class:`UsageError` if the service would reject the telecommand or its arguments.
    """
    try:
        telecommand = convert_arguments(name, args)
        if isinstance(telecommand, (Arm, Schedule)):
            convert_arguments(telecommand.telecommand.name, telecommand.telecommand.args)
        return is_hazardous(telecommand)
    except Refusal as refusal:
        cause = refusal.cause.removeprefix(f"{name} ")
        if cause == refusal.cause:  # about the telecommand inside SCHEDULE or ARM
            cause = f"cannot be sent: {cause}"
        raise UsageError(name, cause, refusal.cure) from refusal


class TelecommandClient(LinkClient):
    """Sends telecommands and reads their verification.  For one thread at a time.

    A broken link loses nothing: a telecommand without an answer is sent again under the same id,
    which the service runs only once.  A hazardous telecommand is armed and then sent, in one step:
    the operator confirmed it before.  Its stages begin when it is armed; if it cannot be armed, it
    closes with the code of the ARM.
    """

    def __init__(
        self,
        endpoint: str,
        keys: GroundKeys,
        sequence: SequenceFile,
        *,
        resend_s: float = RESEND_S,
        ask_again_s: float = ASK_AGAIN_S,
    ) -> None:
        if keys.telecommand is None:
            cure = "Generate one (groundsim keys generate) and have it authorised"
            raise UnusableKey(endpoint, "cannot be commanded without a telecommand key", cure)
        if not keys.unit:
            cure = "Give --unit NAME, or trust the service.key of a unit that has a name"
            raise UnusableKey(endpoint, "cannot be commanded: the unit's name is unknown", cure)
        self._key = keys.telecommand
        self._unit = keys.unit
        self._sequence = sequence
        self._resend_s = resend_s
        self._ask_again_s = ask_again_s
        self._open: dict[str, OpenTelecommand] = {}
        self._arming: dict[str, str] = {}  # of an ARM's id, the id of its telecommand
        super().__init__(Connection(zmq.DEALER, endpoint, keys))

    def send(
        self,
        name: str,
        args: Mapping[str, Any] = _NONE,
        *,
        id: str | None = None,  # noqa: A002 - the interface's own name
        check: bool = True,
        clock_offset_s: float = 0.0,
    ) -> str:
        """Send a telecommand and return its id, which is random unless given.

        ``clock_offset_s`` is added to the time of sending, if the unit's clock is wrong.
        Raises :class:`UsageError` for invalid arguments, unless ``check`` is off.
        """
        try:
            hazardous = check_arguments(name, args)
        except UsageError:
            if check:
                raise
            hazardous = False  # the service rejects it
        if len(self._open) >= _MOST_OPEN:
            cause = f"already has {_MOST_OPEN} open telecommands"
            raise LinkError(self._connection.endpoint, cause, "Read their stages, or forget them")
        sent_at = time.time_ns() + round(clock_offset_s * 1e9)
        body = _body(id or secrets.token_hex(8), name, args, sent_at)
        arming = {"telecommand": {"name": name, "args": dict(args)}}
        arm = _body(secrets.token_hex(8), Arm.NAME, arming, sent_at) if hazardous else None
        one = self._open[body.id] = OpenTelecommand(body, arm)
        if arm is not None:
            self._arming[arm.id] = body.id
        self._transmit(one)
        return body.id

    def stages(self, id: str, timeout_s: float) -> Iterator[Verification]:  # noqa: A002
        """Stages of a telecommand as they arrive, each once; the last one closes it.

        Raises :class:`NoAnswer` if it is not closed after ``timeout_s``; it then stays open, and
        this may be called again.
        """
        one = self._open.get(id)
        if one is None:
            raise UsageError(id, "is not the id of an open telecommand", "Send it first")
        deadline = time.monotonic() + timeout_s
        while True:
            while one.arrived:
                verification = one.arrived.popleft()
                if verification.stage.closes:
                    self.forget(id)
                    yield verification
                    return
                yield verification
            self._wait(one, deadline, timeout_s)

    def arrivals(self, timeout_s: float) -> Iterator[Verification]:
        """Stages of all open telecommands that arrive within ``timeout_s``, each once.

        Silence is not an error: a caller that follows many telecommands keeps its own deadlines.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            for id, one in list(self._open.items()):  # noqa: A001
                while one.arrived:
                    verification = one.arrived.popleft()
                    if verification.stage.closes:
                        self.forget(id)
                    yield verification
            due_at = min((self._due_at(one) for one in self._open.values()), default=deadline)
            frames = self._connection.receive(min(deadline, due_at))
            if frames is not None:
                self._take(self._decode(Verification, frames[-1].bytes))
                continue
            now = time.monotonic()
            for one in [one for one in self._open.values() if now >= self._due_at(one)]:
                self._transmit(one)
            if now >= deadline:
                return

    def execute(
        self,
        name: str,
        args: Mapping[str, Any] = _NONE,
        timeout_s: float = 10.0,
        *,
        id: str | None = None,  # noqa: A002
        check: bool = True,
    ) -> Verification:
        """Send a telecommand and wait until it is closed; the closing stage."""
        *_, last = self.stages(self.send(name, args, id=id, check=check), timeout_s)
        return last

    def forget(self, id: str) -> None:  # noqa: A002
        """Stop following a telecommand; on board it continues."""
        one = self._open.pop(id, None)
        if one is not None and one.arm is not None:
            self._arming.pop(one.arm.id, None)

    def _wait(self, one: OpenTelecommand, deadline: float, timeout_s: float) -> None:
        """Wait for a message; send the telecommand again when that is due."""
        frames = self._connection.receive(min(deadline, self._due_at(one)))
        if frames is not None:
            self._take(self._decode(Verification, frames[-1].bytes))
        elif time.monotonic() >= deadline:
            what = one.body.name + (f" after {one.last.value}" if one.last else "")
            raise self._connection.no_answer(f"did not close {what} within {timeout_s:g} s")
        elif time.monotonic() >= self._due_at(one):
            self._transmit(one)

    def _due_at(self, one: OpenTelecommand) -> float:
        """When it is sent again if no message arrives (monotonic seconds)."""
        return one.heard_at + (self._ask_again_s if one.answered else self._resend_s)

    def _transmit(self, one: OpenTelecommand) -> None:
        one.heard_at = time.monotonic()
        frames = sign(self._key, self._unit, self._sequence.next(), one.to_send)
        self._connection.send(*frames)

    def _take(self, verification: Verification) -> None:
        one = self._addressed(verification)
        if one is None:
            return
        if one.answered and verification.stage is Stage.REJECTED:
            return  # the repetition was rejected, not the original
        highest = verification.data.get("highest")
        if (
            verification.code in (Code.REPLAYED, Code.OUT_OF_WINDOW)
            and isinstance(highest, int)
            and not one.renumbered
        ):
            one.renumbered = True
            self._sequence.advance(highest)
            self._transmit(one)
        elif one.arm is None:
            one.take(verification)
        elif verification.stage is Stage.COMPLETED:
            self._arming.pop(one.arm.id, None)
            one.armed(verification.data.get("arm"))
            self._transmit(one)
        elif verification.stage.closes:
            body = one.body
            one.take(msgspec.structs.replace(verification, id=body.id, name=body.name))

    def _addressed(self, verification: Verification) -> OpenTelecommand | None:
        if verification.id:
            id = self._arming.get(verification.id, verification.id)  # noqa: A001
            return self._open.get(id)
        # The service could not read the id; it answers each client in order.
        return next((one for one in self._open.values() if not one.answered), None)


class OpenTelecommand:
    """A telecommand that is not closed yet."""

    def __init__(self, body: TelecommandBody, arm: TelecommandBody | None = None) -> None:
        self.body = body
        self.arm = arm
        """The ARM, until it is answered; None also if none is needed."""
        self.arrived: deque[Verification] = deque()
        self.last: Stage | None = None
        self.heard_at = 0.0
        self.renumbered = False
        self._seen: set[tuple[Stage, int, int]] = set()

    @property
    def to_send(self) -> TelecommandBody:
        """What is sent now: the ARM, then the telecommand."""
        return self.body if self.arm is None else self.arm

    def armed(self, arm: Any) -> None:
        """The ARM was answered with this name; an answer without one leaves it unarmed."""
        self.body = msgspec.structs.replace(self.body, arm=arm if isinstance(arm, str) else None)
        self.arm, self.renumbered = None, False

    @property
    def answered(self) -> bool:
        """Whether any of its stages has arrived."""
        return self.last is not None

    def take(self, verification: Verification) -> None:
        """Keep a stage unless it is known: a repeated id is answered with all stages so far."""
        self.heard_at = time.monotonic()
        self.last = verification.stage
        stage = (verification.stage, verification.at, verification.step)
        if stage not in self._seen:
            self._seen.add(stage)
            self.arrived.append(verification)


def _body(telecommand_id: str, name: str, args: Mapping[str, Any], sent_at: int) -> TelecommandBody:
    fields = {"id": telecommand_id, "name": name, "args": args, "sent_at": sent_at}
    try:
        body = msgspec.convert(fields, TelecommandBody)
        size = len(msgspec.msgpack.encode(body))
    except (msgspec.ValidationError, TypeError, OverflowError, RecursionError) as error:
        cure = "Correct the telecommand (docs/interface.md)"
        raise UsageError(name, f"cannot be encoded: {error}", cure) from error
    if size > MAX_BODY_BYTES:
        cause = f"takes {size} bytes, more than {MAX_BODY_BYTES}"
        raise UsageError(name, cause, "Send a shorter telecommand")
    return body
