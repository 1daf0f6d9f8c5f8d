"""Receives products whenever a contact is open, on its own thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from telecommands.dictionary import ProductOffer
from telecommands.ground.downlink import DownlinkReceiver
from telecommands.ground.errors import GroundError
from telecommands.ground.station import Station

ASK_S: Final = 0.5
"""Pause between two requests for the next product."""

_SILENCE_S: Final = 2.0  # less than the bridge waits for this thread
_STALL_S: Final = 4.0  # a chunk takes a second on a slow link
_RETRY_S: Final = 1.0


class Reception:
    """Receives products into ``folder``; ``failed`` is called with each new error."""

    def __init__(
        self, station: Callable[[], Station], folder: Path, failed: Callable[[GroundError], None]
    ) -> None:
        self._station = station
        self._folder = folder
        self._failed = failed
        self._reported = ""

    def run(self, stop: threading.Event) -> None:
        """Receive until ``stop`` is set; an interrupted transfer is resumed next time."""

        def progress(_offer: ProductOffer, _stored: int) -> None:
            if stop.is_set():
                raise _StoppedError

        while not stop.is_set():
            try:
                station = self._station()
                with station.downlink(self._folder, progress) as receiver:
                    self._receive(receiver, station, stop)
            except _StoppedError:
                return
            except GroundError as error:
                self._report(error)
                stop.wait(_RETRY_S)

    def _receive(self, receiver: DownlinkReceiver, station: Station, stop: threading.Event) -> None:
        """Receive while the service's endpoints and the keys stay the same."""
        while not stop.is_set():
            if receiver.receive_next(_SILENCE_S, _STALL_S) is None:
                stop.wait(ASK_S)
                if self._station() != station:
                    return
            else:
                self._reported = ""

    def _report(self, error: GroundError) -> None:
        """Report a repeated error once: without a service it occurs every second."""
        if str(error) != self._reported and error.code != "NO_ANSWER":
            self._failed(error)
        self._reported = str(error)


class _StoppedError(Exception):
    """The operator asked to stop."""
