"""Whether a telecommand was sent recently, by the unit's clock."""

from __future__ import annotations

from collections.abc import Callable

from telecommands.dictionary import Code
from telecommands.refusal import Refusal


class SentAtWindow:
    """Compares ``sent_at`` with the clock, as long as that is trusted.

    ``seconds`` is the largest difference (0: any), ``trusted`` whether the clock can be trusted:
    a unit that does not know the time must not reject everyone.
    """

    def __init__(self, seconds: Callable[[], float], trusted: Callable[[], bool]) -> None:
        self._seconds = seconds
        self.trusted = trusted

    @property
    def checked(self) -> bool:
        """Whether telecommands are checked now."""
        return self._seconds() > 0 and self.trusted()

    def check(self, sent_at: int, now_ns: int) -> None:
        """Compare two times, UTC in ns; :class:`Refusal` WRONG_TIME, whose ``t`` is ``now_ns``."""
        difference_s = (sent_at - now_ns) / 1e9
        window_s = self._seconds()
        if abs(difference_s) <= window_s or not self.checked:
            return
        cause = (
            f"sent_at differs by {difference_s:+.1f} s from the unit's clock,"
            f" more than {window_s:g} s"
        )
        cure = "Send it again; if that is rejected too, set the clock of the ground or of the unit"
        raise Refusal(Code.WRONG_TIME, cause, cure, t=now_ns)
