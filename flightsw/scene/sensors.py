"""Which sensor a raster is from, by its name, and what that sensor calls the bands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

UNKNOWN_SENSOR: Final = (
    "the sensor is unknown, and the model was made for Sentinel-2: "
    "the scene may be outside the model's training"
)
_COLOURS: Final = {
    "coastal": "B01",
    "blue": "B02",
    "green": "B03",
    "red": "B04",
    "rededge1": "B05",
    "rededge2": "B06",
    "rededge3": "B07",
    "nir": "B08",
    "swir16": "B11",
    "swir22": "B12",
}
_OLI: Final = {  # Landsat 8 and 9
    "B01": "B01",
    "B02": "B02",
    "B03": "B03",
    "B04": "B04",
    "B05": "B08",
    "B06": "B11",
    "B07": "B12",
}
_TM: Final = {  # Landsat 4 to 7
    "B01": "B02",
    "B02": "B03",
    "B03": "B04",
    "B04": "B08",
    "B05": "B11",
    "B07": "B12",
}


@dataclass(frozen=True)
class Sensor:
    """A sensor; ``platform`` is empty if its name is not known.

    ``bands`` maps its band names to Sentinel-2's of the same colour; empty: they are Sentinel-2's.
    """

    is_known: bool = False
    platform: str = ""
    bands: Mapping[str, str] = field(default_factory=dict)

    def band(self, name: str) -> str | None:
        """The band of Sentinel-2 that this band stands for, if any."""
        return self.bands.get(name) if self.bands else name


def sensor_of(*names: str) -> Sensor:
    """The sensor of the first name that shows it."""
    for name in names:
        if match := re.match(r"L[CO]0([89])_", name):
            return Sensor(True, f"landsat-{match[1]}", _OLI)
        if match := re.match(r"L[ET]0([4-7])_", name):
            return Sensor(True, f"landsat-{match[1]}", _TM)
        if name.startswith("HLS.L30."):
            return Sensor(True, "landsat", _OLI)
        if re.match(r"S2[A-D]_|HLS\.S30\.", name) or re.match(r"T\d\d[A-Z]{3}_", name):
            return Sensor(True)
    return Sensor()


def band_of(text: str, sensor: Sensor) -> str | None:
    """The band that a text such as ``B2``, ``B02`` or ``blue`` names, in Sentinel-2's names."""
    match = re.fullmatch(r"B0?(\d{1,2}|8A)", text, re.IGNORECASE)
    if not match:
        return _COLOURS.get(text.lower())
    return sensor.band(f"B{match[1].upper().zfill(2)}")
