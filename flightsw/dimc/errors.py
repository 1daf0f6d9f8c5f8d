"""The exceptions of ``axelera.runtime``, by their names there, as the simulator raises them."""

# The vendor's names, two of which are also built-ins.
# ruff: noqa: A001, N818

from __future__ import annotations

from typing import Final


class RuntimeFault(Exception):
    """Base of the simulator's exceptions (the vendor publishes no base)."""


class ConnectionError(RuntimeFault):
    """The device does not exist, or does not answer in time."""


class DeviceInUse(RuntimeFault):
    """All sub-devices or cores that were asked for are taken."""


class IncompatibleDevice(RuntimeFault):
    """The model needs more than the device has."""


class InternalError(RuntimeFault):
    """The device failed while it computed."""


class InvalidArgument(RuntimeFault):
    """A call's argument has the wrong type, value or state."""


class InvalidConfiguration(RuntimeFault):
    """The compiled model or a property contradicts itself."""


class NotImplemented(RuntimeFault):
    """The runtime does not support this."""


class Pending(RuntimeFault):
    """An earlier operation on the same object has not finished."""


class UnknownError(RuntimeFault):
    """Anything that the runtime cannot name."""


NAMES: Final = tuple(kind.__name__ for kind in RuntimeFault.__subclasses__())
"""Every exception name of ``axelera.runtime``."""
