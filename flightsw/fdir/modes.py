"""The service's modes, and the rules for changing them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum
from typing import Final, TypeAlias

from telecommands.dictionary import Code, Mode
from telecommands.refusal import Refusal


class SafeReason(str, Enum):
    """Why the mode is SAFE.  The first three happen once; the others hold until cleared."""

    BOOT_LOOP = "boot loop"
    TELECOMMAND = "telecommand"
    STATE_LOST = "state lost"
    SELF_TEST = "self-test"
    TEMPERATURE = "temperature"
    DISK_FULL = "disk full"

    @property
    def holds(self) -> bool:
        """Whether it lasts until :meth:`ModeMachine.cleared` is called."""
        return self in _CURES


ModeListener: TypeAlias = Callable[[Mode, Mode, str], None]
"""Called at each change: mode before, mode after, why."""

_CURES: Final = {
    SafeReason.SELF_TEST: "Send SELF_TEST, or activate another model",
    SafeReason.TEMPERATURE: "Wait until it has cooled",
    SafeReason.DISK_FULL: "Downlink or delete products",
}


class ModeMachine:
    """BOOT, then STANDBY, then OPERATIONAL; SAFE from everywhere.

    Only a telecommand leaves SAFE, and not while a reason holds; if temperature was the only
    reason, cooling restores the mode before.  A lock lets every thread call it.
    Listeners are called under that lock, so that they see changes in order: they must not wait
    for another thread.
    """

    def __init__(self, *listeners: ModeListener) -> None:
        self._listeners = listeners
        self._lock = threading.RLock()
        self._mode = Mode.BOOT
        self._requested = Mode.OPERATIONAL  # the mode to enter once nothing prevents it
        self._started = False
        self._led_here: set[SafeReason] = set()  # since SAFE was entered
        self._holding: set[SafeReason] = set()

    @property
    def mode(self) -> Mode:
        """The mode now."""
        return self._mode

    @property
    def reasons(self) -> tuple[SafeReason, ...]:
        """What led to SAFE; empty in every other mode."""
        with self._lock:
            return tuple(reason for reason in SafeReason if reason in self._led_here)

    def ready(self) -> Mode:
        """The service has started: on through STANDBY to OPERATIONAL, unless it is SAFE."""
        with self._lock:
            self._started = True
            if self._mode is Mode.BOOT:
                self._go(Mode.STANDBY, "the service has started")
                self._go(Mode.OPERATIONAL, "the service is ready")
            else:
                self._leave_once_cool("the service has started and is cool")
            return self._mode

    def request(self, mode: Mode, by: str = "") -> Mode:
        """SET_MODE, sent with the key ``by``.

        Asking for the present mode changes nothing but, in SAFE, who keeps it so.

        Raises :class:`Refusal` NOT_IN_THIS_MODE while the service starts or a reason to be safe
        holds, BAD_ARGUMENTS for BOOT.
        """
        if mode is Mode.BOOT:
            raise Refusal(Code.BAD_ARGUMENTS, "BOOT cannot be requested", "Send RESTART")
        with self._lock:
            if mode is Mode.SAFE:
                return self.unsafe(SafeReason.TELECOMMAND, f"SET_MODE SAFE{_of(by)}")
            if not self._started:
                cause = f"{mode.value} is not allowed until the service has started"
                raise Refusal(Code.NOT_IN_THIS_MODE, cause, "Wait for SERVICE_STARTED")
            self._refuse_while_unsafe(mode)
            self._led_here.clear()
            self._requested = mode
            self._go(mode, f"{SafeReason.TELECOMMAND.value}{_of(by)}")
            return self._mode

    def unsafe(self, reason: SafeReason, detail: str) -> Mode:
        """A reason to be safe arose (or continues); SAFE from now on."""
        with self._lock:
            self._led_here.add(reason)
            if reason.holds:
                self._holding.add(reason)
            self._go(Mode.SAFE, f"{reason.value}: {detail}")
            return self._mode

    def cleared(self, reason: SafeReason) -> Mode:
        """A reason holds no longer; leaves SAFE if temperature was the only one."""
        with self._lock:
            self._holding.discard(reason)
            if reason is SafeReason.TEMPERATURE:
                self._leave_once_cool("cooled")
            return self._mode

    def _refuse_while_unsafe(self, mode: Mode) -> None:
        reasons = [reason for reason in SafeReason if reason in self._holding]
        if reasons:
            holding = ", ".join(reason.value for reason in reasons)
            cause = f"{mode.value} is not allowed while a cause of SAFE holds: {holding}"
            cure = "; ".join(_CURES[reason] for reason in reasons)
            raise Refusal(Code.NOT_IN_THIS_MODE, cause, cure)

    def _leave_once_cool(self, why: str) -> None:
        if self._started and not self._holding and self._led_here == {SafeReason.TEMPERATURE}:
            self._led_here.clear()
            self._go(self._requested, why)

    def _go(self, mode: Mode, why: str) -> None:
        before, self._mode = self._mode, mode
        if before is not mode:
            for listener in self._listeners:
                listener(before, mode, why)


def _of(key_id: str) -> str:
    return f" of {key_id}" if key_id else ""
