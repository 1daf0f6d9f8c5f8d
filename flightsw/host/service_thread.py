"""A thread whose end is noticed, whatever ends it."""

from __future__ import annotations

import threading
from collections.abc import Callable


class ServiceThread(threading.Thread):
    """Runs ``work`` until it is asked to end; the main thread looks at :attr:`ended_by`.

    Python ends a thread on SystemExit without a word, and on any other exception with a trace.
    """

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        super().__init__(target=work, name=name, daemon=True)
        self._fault: BaseException | None = None

    @property
    def ended_by(self) -> str | None:
        """What ended the thread; None while it runs, and before it has started."""
        if self.ident is None or self.is_alive():
            return None
        return "an unknown cause" if self._fault is None else repr(self._fault)

    def run(self) -> None:
        """Called by :meth:`start`, in the thread."""
        try:
            super().run()
        except BaseException as fault:
            self._fault = fault
            raise
