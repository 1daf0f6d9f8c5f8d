"""What the bridge needs to know of a unit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from telecommands.auth import TelecommandKey
from telecommands.ground.station import Station


class UnitSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A unit of the dashboard.  ``name`` is empty if it is the only one, which may be unknown.

    ``station`` is called whenever a link is opened, and may raise a
    :class:`~telecommands.ground.errors.GroundError`: the page shows it, and the call is repeated.
    ``operator`` is the key that signs telecommands; without it pages are read-only.
    """

    archive: Path
    station: Callable[[], Station]
    operator: TelecommandKey | None = None
    name: str = ""
