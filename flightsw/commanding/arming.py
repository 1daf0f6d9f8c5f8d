"""Arm and fire: a hazardous telecommand runs once, soon after an ARM that names it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from flightsw.commanding.context import Completed, Handler, Outcome, TelecommandContext
from telecommands.codec import convert_arguments
from telecommands.dictionary import Arm, ArmResult, Code, Telecommand
from telecommands.hazard import digest, is_hazardous
from telecommands.refusal import Refusal

MOST_ARMED: Final = 16
"""Telecommands that a key may have armed; the oldest is forgotten."""

_NONCE_BYTES: Final = 8


class _Arming(NamedTuple):
    digest: bytes
    until: float


class ArmedTelecommands:
    """What is armed, by which key, until when.  One thread calls; times are monotonic seconds.

    It is kept in memory only: after a restart nothing is armed.  ``seconds`` is how long an ARM
    counts.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._armed: dict[str, dict[str, _Arming]] = {}  # by key, which are authorised ones; by arm

    def arm(self, key_id: str, request: Arm, arm: str, now: float) -> ArmResult:
        """Arm a telecommand under the new name ``arm``.

        Raises :class:`Refusal`: BAD_ARGUMENTS for one that is not hazardous, or what is wrong with
        it.
        """
        inner = request.telecommand
        telecommand = convert_arguments(inner.name, inner.args)
        if not is_hazardous(telecommand):
            cause = f"{inner.name} with these arguments is not hazardous"
            raise Refusal(Code.BAD_ARGUMENTS, cause, "Send it without ARM")
        seconds = self._seconds()
        armed = self._armed.setdefault(key_id, {})
        armed[arm] = _Arming(digest(telecommand), now + seconds)
        while len(armed) > MOST_ARMED:
            del armed[next(iter(armed))]
        return ArmResult(arm=arm, seconds=seconds)

    def check(self, key_id: str, telecommand: Telecommand, arm: str | None, now: float) -> None:
        """:class:`Refusal` NOT_ARMED if the telecommand must be armed and is not."""
        if not is_hazardous(telecommand):
            return
        name = telecommand.NAME
        arming = self._armed.get(key_id, {}).get(arm) if arm else None
        if not arm:
            cause = f"{name} with these arguments is hazardous, and the field arm is missing"
        elif arming is None:
            why = "did not arm it, has already used it, or has armed too many others since"
            cause = f"{arm} is not armed: {key_id} {why}"
        elif now > arming.until:
            cause = f"{arm} was armed too long ago"
        elif digest(telecommand) != arming.digest:
            cause = f"{arm} was armed for another telecommand or other arguments"
        else:
            return
        raise Refusal(Code.NOT_ARMED, cause, f"Send ARM with {name} and its arguments, then {name}")

    def spend(self, key_id: str, arm: str | None) -> None:
        """Forget an ARM: its telecommand was answered."""
        if arm:
            self._armed.get(key_id, {}).pop(arm, None)


def arming_handlers(
    armed: ArmedTelecommands, monotonic: Callable[[], float]
) -> Mapping[str, Handler]:
    """ARM; ``monotonic`` gives seconds."""

    def arm(telecommand: Arm, context: TelecommandContext) -> Outcome:
        name = secrets.token_hex(_NONCE_BYTES)
        return Completed(armed.arm(context.key_id, telecommand, name, monotonic()))

    return {Arm.NAME: arm}
