"""Which telecommands must be armed, and what an ARM is bound to."""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from telecommands.codec import convert_arguments
from telecommands.dictionary import PARAMETERS, Schedule, SetParameter, Telecommand

_ENCODER: Final = msgspec.msgpack.Encoder(order="deterministic")  # whatever the order of map keys


def is_hazardous(telecommand: Telecommand) -> bool:
    """Whether it runs only if it was armed.

    That is a telecommand marked HAZARDOUS, one that sets a parameter marked so, and one that
    schedules such a telecommand: it is armed when it is scheduled.  Raises
    :class:`~telecommands.refusal.Refusal` if the scheduled telecommand is not valid.
    """
    if isinstance(telecommand, SetParameter):
        parameter = PARAMETERS.get(telecommand.name)
        return parameter is not None and parameter.hazardous
    if isinstance(telecommand, Schedule):
        inner = telecommand.telecommand
        return inner.name != Schedule.NAME and is_hazardous(
            convert_arguments(inner.name, inner.args)
        )
    return telecommand.HAZARDOUS


def digest(telecommand: Telecommand) -> bytes:
    """SHA-256 over the telecommand's name and its arguments, defaults included; 32 bytes.

    The same arguments may be written in two ways, with a default or without it: their digests are
    equal.
    """
    return hashlib.sha256(_ENCODER.encode((telecommand.NAME, telecommand))).digest()
