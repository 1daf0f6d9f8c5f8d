"""Products into the received folder whenever a contact is open, on a thread of its own."""

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
"""Between two questions whether a product goes down now."""

_SILENCE_S: Final = 0.5
_LOOK_AGAIN_S: Final = 1.0


class Reception:
    """Receives for ever; ``trouble`` is told what went wrong, and it goes on."""

    def __init__(
        self,
        station: Callable[[], Station],
        folder: Path,
        trouble: Callable[[GroundError], None],
    ) -> None:
        self._station = station
        self._folder = folder
        self._trouble = trouble
        self._told = ""

    def run(self, stop: threading.Event) -> None:
        """Until ``stop`` is set; what is on its way then is gone on with another time."""

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
                self._tell(error)
                stop.wait(_LOOK_AGAIN_S)

    def _receive(self, receiver: DownlinkReceiver, station: Station, stop: threading.Event) -> None:
        """As long as the service is where it was, with the same keys."""
        while not stop.is_set():
            if receiver.receive_next(_SILENCE_S) is None:
                stop.wait(ASK_S)
                if self._station() != station:
                    return
            else:
                self._told = ""

    def _tell(self, error: GroundError) -> None:
        """The same trouble once only: without a service it comes every second."""
        if str(error) != self._told and error.code != "NO_ANSWER":
            self._trouble(error)
        self._told = str(error)


class _StoppedError(Exception):
    """The operator asked to stop."""
