"""The simulated card: its description, its configuration, and which parts of it are in use."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from flightsw.dimc.errors import DeviceInUse, InvalidArgument
from flightsw.dimc.simulator.twin import CORES


class BoardType(enum.Enum):
    """The vendor's boards."""

    alpha_pcie = 0
    alpha_m2 = 1
    pcie = 2
    m2 = 3
    devboard = 4
    sbc = 5
    unknown = 6


@dataclass
class DeviceInfo:
    """Description of a device, with the fields of the vendor's class.

    As there, ``max_memory``, ``in_use`` and ``in_use_by`` are never filled in.
    """

    name: str
    subdevice_count: int
    max_memory: int = 0
    in_use: bool = False
    in_use_by: str = ""
    board_type: BoardType = BoardType.unknown
    firmware_version: str = ""
    board_revision: int = 0
    flashed_firmware_version: str = ""
    board_controller_firmware_version: str = ""
    board_controller_board_type: str = ""


_DEFAULT_CONFIGURATION: Final = {
    "clock_profile": 800,
    **{f"clock_profile_core_{core}": 800 for core in range(CORES)},
    **{f"mvm_utilisation_core_{core}": 100 for core in range(CORES)},
}
"""MHz and percent: the vendor's defaults."""


class SimulatedDevice:
    """One card of four cores.  Sub-devices go to connections, cores to model instances."""

    def __init__(self) -> None:
        self.info = DeviceInfo(
            name="metis-0:3:0",
            subdevice_count=CORES,
            board_type=BoardType.m2,
            firmware_version="simulator",
        )
        self.sub_devices = CorePool("sub-devices", CORES)
        self.cores = CorePool("cores", CORES)
        self._configuration = dict(_DEFAULT_CONFIGURATION)

    def configure(self, properties: Mapping[str, int]) -> None:
        """Set clock profiles (MHz) and MVM utilisations (percent), all or none of them."""
        for name, value in properties.items():
            if name not in self._configuration:
                raise InvalidArgument(f"{name} is not a property of {self.info.name}")
            most = 100 if name.startswith("mvm") else 800
            require_integer(name, value, 1, most)
        if "clock_profile" in properties:
            for core in range(CORES):
                self._configuration[f"clock_profile_core_{core}"] = properties["clock_profile"]
        self._configuration.update(properties)

    def configuration(self) -> dict[str, str]:
        """Every property as text."""
        return {name: str(value) for name, value in self._configuration.items()}


class CorePool:
    """A number of equal parts that are lent and returned."""

    def __init__(self, name: str, count: int) -> None:
        self._name = name
        self._count = count
        self._free = count

    @property
    def taken(self) -> int:
        """How many parts are lent."""
        return self._count - self._free

    def take(self, count: int) -> None:
        """Lend ``count`` parts; raises DeviceInUse if fewer are free."""
        if count > self._free:
            raise DeviceInUse(f"{count} {self._name} asked for, {self._free} free")
        self._free -= count

    def give_back(self, count: int) -> None:
        """Take parts back."""
        self._free += count


def require_integer(name: str, value: object, least: int, most: int) -> None:
    """InvalidArgument unless ``value`` is an integer from ``least`` to ``most``."""
    if not isinstance(value, int) or not least <= value <= most:
        raise InvalidArgument(f"{name} must be {least} to {most}, found {value!r}")
