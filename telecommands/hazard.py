"""Which telecommands cannot be undone."""

from __future__ import annotations

from telecommands.codec import convert_arguments
from telecommands.dictionary import Schedule, Telecommand


def is_hazardous(telecommand: Telecommand) -> bool:
    """Whether it is marked HAZARDOUS, or schedules a telecommand that is.

    Raises :class:`~telecommands.refusal.Refusal` if the scheduled telecommand is not valid.
    """
    if isinstance(telecommand, Schedule):
        inner = telecommand.telecommand
        return inner.name != Schedule.NAME and is_hazardous(
            convert_arguments(inner.name, inner.args)
        )
    return telecommand.HAZARDOUS
