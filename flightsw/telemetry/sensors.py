"""What the computer reports about itself: temperature, power, memory, load, disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import psutil

_HWMON: Final = Path("/sys/class/hwmon")
_THERMAL: Final = Path("/sys/class/thermal")
_POWER_METER: Final = "ina3221"
_CPU_CHIPS: Final = frozenset({"coretemp", "k10temp", "zenpower", "cpu_thermal"})
_CPU_ZONES: Final = ("cpu", "x86_pkg", "tj", "soc")  # what zone types start with; tj is a Jetson's

Found = TypeVar("Found")


@dataclass(frozen=True)
class SensorReadings:
    """Figures of one moment; None if no sensor reports them.

    °C; W; bytes of this process in memory; its share of all cores since the reading before;
    bytes free on the disk of the state.
    """

    cpu_temperature_c: float | None
    card_power_w: float | None
    memory_bytes: int | None
    cpu_share: float | None
    disk_free_bytes: int | None


class Sensors:
    """Reads the sensors; never raises, takes well below a millisecond, keeps to one thread.

    The kernel's folders are read here, not through ``psutil.sensors_temperatures``, which asks
    every chip of the computer each time and skips thermal zones if it finds any chip.
    ``power_rail`` is the label of the INA3221 channel that feeds the card; standard cards have no
    power meter.
    """

    def __init__(
        self,
        disk: Path,
        *,
        hwmon: Path = _HWMON,
        thermal: Path = _THERMAL,
        power_rail: str = "VDD_IN",
    ) -> None:
        self._disk = disk
        self._hwmon = hwmon
        self._thermal = thermal
        self._power_rail = power_rail
        self._rail: tuple[Path, Path] | None = None  # as found last: millivolts, milliamperes
        self._process = psutil.Process()
        _or_none(lambda: float(self._process.cpu_percent()))  # its first answer means nothing

    def read(self) -> SensorReadings:
        """All readings, now."""
        return SensorReadings(
            cpu_temperature_c=_or_none(self._cpu_temperature),
            card_power_w=self.card_power(),
            memory_bytes=_or_none(lambda: int(self._process.memory_info().rss)),
            cpu_share=_or_none(self._cpu_share),
            disk_free_bytes=_or_none(lambda: shutil.disk_usage(self._disk).free),
        )

    def card_power(self) -> float | None:
        """Power of the rail that feeds the card, in W, now; any thread may ask."""
        watts = _power_of(self._rail)
        if watts is None:  # searching takes several times as long as reading
            self._rail = _or_none(self._find_rail)
            watts = _power_of(self._rail)
        return watts

    def _cpu_share(self) -> float:
        return min(1.0, float(self._process.cpu_percent()) / 100 / (os.cpu_count() or 1))

    def _cpu_temperature(self) -> float | None:
        celsius = [
            millidegrees / 1000
            for millidegrees in map(_number, self._cpu_temperature_files())
            if millidegrees is not None
        ]
        return max(celsius, default=None)

    def _cpu_temperature_files(self) -> Iterator[Path]:
        for zone in self._thermal.glob("thermal_zone*"):
            if _text(zone / "type").lower().startswith(_CPU_ZONES):
                yield zone / "temp"
        for chip in self._hwmon.glob("hwmon*"):
            if _text(chip / "name") in _CPU_CHIPS:
                yield from chip.glob("temp*_input")

    def _find_rail(self) -> tuple[Path, Path] | None:
        for chip in self._hwmon.glob("hwmon*"):
            if _text(chip / "name") != _POWER_METER:
                continue
            for label in chip.glob("in*_label"):
                if _text(label) == self._power_rail:
                    channel = label.name.removeprefix("in").removesuffix("_label")
                    found = chip / f"in{channel}_input", chip / f"curr{channel}_input"
                    if _power_of(found) is not None:
                        return found
        return None


def _power_of(rail: tuple[Path, Path] | None) -> float | None:
    if rail is None:
        return None
    millivolts, milliamperes = map(_number, rail)
    if millivolts is None or milliamperes is None:
        return None
    return millivolts * milliamperes / 1e6


def _or_none(read: Callable[[], Found | None]) -> Found | None:
    try:
        return read()
    except (OSError, ValueError, psutil.Error):
        return None


def _number(path: Path) -> int | None:
    """Of a sensor's file; a sensor that sleeps answers with an error."""
    return _or_none(lambda: int(path.read_text()))


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError):
        return ""
