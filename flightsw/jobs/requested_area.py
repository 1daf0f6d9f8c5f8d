"""The area of interest that a telecommand asks for."""

from __future__ import annotations

from flightsw.errors import UsageError
from flightsw.scene.area import AreaOfInterest, area_within, parse_area
from telecommands.dictionary import Code, ProcessScene
from telecommands.refusal import Refusal


def requested_area(request: ProcessScene) -> AreaOfInterest | None:
    """The area, None for the whole scene; raises :class:`Refusal` if it is not one."""
    if request.area and request.bounds:
        cause = "area and bounds exclude each other"
        raise Refusal(Code.BAD_ARGUMENTS, cause, "Give one of them")
    try:
        if request.bounds:
            return area_within(request.bounds)
        return parse_area(request.area) if request.area else None
    except UsageError as error:
        raise Refusal(Code.BAD_ARGUMENTS, error.sentence, error.cure) from error
