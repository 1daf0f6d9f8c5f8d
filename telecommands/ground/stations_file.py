"""The stations file: several units, each with its links and keys, for one command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from telecommands.dictionary import UnitName
from telecommands.failure import reason_of
from telecommands.ground.errors import UsageError

MOST_UNITS: Final = 50

Port = Annotated[int, Meta(ge=1, le=65_535)]


class StationEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"name": "as"}):
    """A table of the file; what it does not say is as on the command line.

    ``endpoints`` is the endpoints.json of the service; without it, ``host`` and ``ports``
    (telecommands, telemetry, downlink).  ``keys`` is the folder of the ground keys, ``name`` the
    keys to use, ``archive`` the file of the unit's packets.
    """

    endpoints: Path | None = None
    host: str | None = None
    ports: tuple[Port, Port, Port] | None = None
    keys: Path | None = None
    name: str | None = None
    archive: Path | None = None


def read_stations(path: Path) -> dict[str, StationEntry]:
    """The stations by unit, in the file's order; paths in it are relative to its folder.

    Raises :class:`UsageError` for a file that is not one.
    """
    cure = "Give a TOML file with a table for each unit (docs/dashboard.md, Several units)"
    try:
        found = msgspec.toml.decode(
            path.read_bytes(),
            type=dict[UnitName, StationEntry],
            dec_hook=lambda kind, value: kind(value),  # a Path
        )
    except OSError as error:
        cause = f"cannot be read ({reason_of(error)})"
        raise UsageError(path, cause, cure) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(path, f"is not a stations file: {error!s:.200}", cure) from error
    if not 1 <= len(found) <= MOST_UNITS:
        cause = f"has {len(found)} units instead of 1 to {MOST_UNITS}"
        raise UsageError(path, cause, cure)
    for unit, entry in found.items():
        if entry.endpoints is not None and (entry.host, entry.ports) != (None, None):
            raise UsageError(path, f"has endpoints and ports of {unit}", "Give one of them")
    return {unit: _placed(entry, path.parent) for unit, entry in found.items()}


def _placed(entry: StationEntry, folder: Path) -> StationEntry:
    paths = {
        name: folder / value
        for name in ("endpoints", "keys", "archive")
        if (value := getattr(entry, name)) is not None
    }
    return msgspec.structs.replace(entry, **paths)
