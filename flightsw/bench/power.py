"""The computer's own power meter, read while something runs."""

from __future__ import annotations

import threading
from pathlib import Path
from statistics import fmean
from typing import Final

from typing_extensions import Self

from flightsw.telemetry.sensors import Sensors

_SECONDS_BETWEEN: Final = 0.2
_JOIN_SECONDS: Final = 5.0


class PowerMeter:
    """Reads the INA3221 of a Jetson five times a second; without one, no thread runs."""

    def __init__(self, sensors: Sensors | None = None) -> None:
        self._sensors = sensors or Sensors(Path("/"))
        self._watts: list[float] = []
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def read(self) -> float | None:
        """Power now, in W; None without a meter."""
        return self._sensors.read().card_power_w

    @property
    def mean_watts(self) -> float | None:
        """Mean over the context; None without a meter."""
        return fmean(self._watts) if self._watts else None

    def __enter__(self) -> Self:
        if self.read() is not None:
            self._thread = threading.Thread(target=self._sample, name="flightsw-power", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._thread:
            self._thread.join(_JOIN_SECONDS)

    def _sample(self) -> None:
        while True:
            watts = self.read()
            if watts is not None:
                self._watts.append(watts)
            if self._done.wait(_SECONDS_BETWEEN):
                return
