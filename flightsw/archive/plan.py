"""The scenes of a run: found, listed once each, and what became of each.

They are rows of a temporary SQLite file, not objects: a million scenes take no memory.
"""

from __future__ import annotations

import glob
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple, cast

from flightsw.errors import SceneNotFound, UsageError
from flightsw.host.disk import read_plain
from flightsw.host.location import Location, location_of, shown
from telecommands.failure import reason_of

_RASTERS: Final = (".tif", ".tiff")
_JSON: Final = (".json", ".geojson")
_LARGEST_JSON: Final = 64 << 20
_EXPECTED: Final = (
    "Give a folder of scenes, a pattern in quotes, a text file with a path or address a line, "
    "or a STAC catalogue"
)
_TABLE: Final = """
CREATE TABLE scene (
    number INTEGER PRIMARY KEY,
    location TEXT NOT NULL UNIQUE,
    key TEXT,
    tile TEXT,
    sensed_at TEXT,
    name TEXT,
    lost TEXT,
    agreement BLOB
)
"""


class RecordedScene(NamedTuple):
    """A scene whose outcome is recorded: the record's key, and what to sort it by."""

    key: str
    tile: str
    sensed_at: str
    name: str


class Plan:
    """The scenes of one run, used by one thread; :func:`open_plan` makes it."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        database.execute(_TABLE)

    def add(self, locations: Iterable[str]) -> None:
        """Add scenes; :class:`UsageError` names one that is listed twice."""
        for location in locations:
            try:
                self._database.execute("INSERT INTO scene (location) VALUES (?)", (location,))
            except sqlite3.IntegrityError:
                cause = "is listed more than once"
                raise UsageError(shown(location), cause, "List each scene once") from None

    def __len__(self) -> int:
        """The number of scenes."""
        return int(self._database.execute("SELECT count(*) FROM scene").fetchone()[0])

    def locations(self) -> Iterator[str]:
        """All scenes in their order."""
        # By number, not with one cursor: rows change while they are read.
        number = 0
        query = "SELECT number, location FROM scene WHERE number > ? ORDER BY number LIMIT 1"
        while row := self._database.execute(query, (number,)).fetchone():
            number, location = row
            yield location

    def record(self, location: str, scene: RecordedScene, agreement: bytes | None = None) -> None:
        """Note where the scene's record is, and its agreement with another run."""
        self._database.execute(
            "UPDATE scene SET key = ?, tile = ?, sensed_at = ?, name = ?, agreement = ?"
            " WHERE location = ?",
            (*scene, agreement, location),
        )

    def lose(self, location: str, record: bytes) -> None:
        """Note a scene without a record, and what is shown of it instead."""
        self._database.execute(
            "UPDATE scene SET lost = ? WHERE location = ?", (record.decode(), location)
        )

    def recorded_scenes(self) -> Iterator[RecordedScene]:
        """The records of this run, each once, by tile, year and name."""
        rows = self._database.execute(
            "SELECT DISTINCT key, tile, sensed_at, name FROM scene WHERE key IS NOT NULL"
            " ORDER BY tile, substr(sensed_at, 1, 4), name, key"
        )
        return (RecordedScene(*row) for row in rows)

    def agreements(self) -> Iterator[tuple[RecordedScene, bytes]]:
        """The records that were compared with another run, and what was found."""
        rows = self._database.execute(
            "SELECT DISTINCT key, tile, sensed_at, name, agreement FROM scene"
            " WHERE agreement IS NOT NULL ORDER BY name, key"
        )
        return ((RecordedScene(*row[:4]), row[4]) for row in rows)

    def lost(self) -> Iterator[bytes]:
        """What is shown of the scenes without a record."""
        rows = self._database.execute(
            "SELECT lost FROM scene WHERE lost IS NOT NULL ORDER BY number"
        )
        return (cast(str, row[0]).encode() for row in rows)

    def same_scenes(self) -> list[tuple[str, str]]:
        """Pairs of locations that hold the same scene; at most ten."""
        return self._database.execute(
            "SELECT min(location), max(location) FROM scene WHERE key IS NOT NULL"
            " GROUP BY key HAVING count(*) > 1 LIMIT 10"
        ).fetchall()


@contextmanager
def open_plan(scenes: Location) -> Iterator[Plan]:
    """List the scenes that ``scenes`` names.

    A folder gives the ``.SAFE`` folders, ``.zip`` files and GeoTIFFs in it, at any depth; a pattern
    what it matches; a text file a path, relative to its folder, or an address a line; a STAC
    catalogue the items in it.  Raises :class:`UsageError` if there are none, or one is listed
    twice, and :class:`SceneNotFound` for what cannot be read.
    """
    with empty_plan() as plan:
        plan.add(_locations(scenes))
        if not len(plan):
            raise UsageError(shown(scenes), "lists no scenes", _EXPECTED)
        yield plan


@contextmanager
def empty_plan() -> Iterator[Plan]:
    """A plan without scenes; its file is deleted at the end."""
    # An empty name is a temporary file on the disk, of which little is held in memory.
    database = sqlite3.connect("", isolation_level=None)
    try:
        database.execute("BEGIN")
        yield Plan(database)
    finally:
        database.close()


def _locations(scenes: Location) -> Iterator[str]:
    if isinstance(scenes, str):
        yield from _items_of_address(scenes)
    elif scenes.is_dir():
        yield from _scenes_below(scenes)
    elif scenes.suffix.lower() in _JSON and scenes.is_file():
        yield from _items_of_file(scenes)
    elif scenes.is_file() and scenes.suffix.lower() not in (".zip", *_RASTERS):
        yield from _listed(scenes)
    elif scenes.exists():
        yield str(scenes.resolve())
    elif glob.has_magic(str(scenes)):
        found = sorted(glob.glob(str(scenes), recursive=True))  # noqa: PTH207 - absolute too
        yield from (str(Path(path).resolve()) for path in found)
    else:
        raise SceneNotFound(scenes, "does not exist", _EXPECTED)


def _scenes_below(folder: Path) -> Iterator[str]:
    if _is_product(folder):
        yield str(folder.resolve())
        return
    for root, folders, files in os.walk(folder.resolve(), onerror=_refuse_unreadable):
        place = Path(root)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        products = [name for name in folders if _is_product(place / name)]
        folders[:] = [name for name in folders if name not in products]
        rasters = [
            name
            for name in files
            if name.lower().endswith((".safe.zip", *_RASTERS)) and not name.startswith(".")
        ]
        yield from (str(place / name) for name in sorted([*products, *rasters]))


def _refuse_unreadable(error: OSError) -> None:
    cause = f"cannot be read ({error.strerror})"
    cure = "Permit the user to read it, or list the scenes in a text file"
    raise SceneNotFound(error.filename, cause, cure) from error


def _is_product(folder: Path) -> bool:
    return folder.suffix.upper() == ".SAFE" or (folder / "GRANULE").is_dir()


def _listed(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                text = line.strip()
                if text and not text.startswith("#"):
                    location = location_of(text)
                    network = isinstance(location, str)
                    yield text if network else str((path.parent / location).resolve())
    except (OSError, UnicodeDecodeError) as error:
        cause = f"cannot be read as a list of scenes ({reason_of(error)})"
        raise UsageError(path, cause, _EXPECTED) from error


def _items_of_file(path: Path) -> Iterator[str]:
    try:
        kind = json.loads(read_plain(path, _LARGEST_JSON)).get("type")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise UsageError(
            path, f"cannot be read as a STAC catalogue ({reason_of(error)})", _EXPECTED
        ) from error
    if kind == "Feature":
        yield str(path.resolve())
        return
    if kind not in ("Catalog", "Collection"):
        raise UsageError(path, f"is a {kind}, not a STAC catalogue", _EXPECTED)
    yield from _items_of_address(str(path.resolve()))


def _items_of_address(address: str) -> Iterator[str]:
    import pystac  # noqa: PLC0415 - takes long to load, and few lists are catalogues

    try:
        catalogue = pystac.Catalog.from_file(address)
        for item in catalogue.get_items(recursive=True):
            location = location_of(item.self_href)
            yield location if isinstance(location, str) else str(location.resolve())
    except (OSError, ValueError, KeyError, pystac.STACError) as error:
        cause = f"cannot be read as a STAC catalogue ({shown(error)})"
        raise UsageError(shown(address), cause, _EXPECTED) from error
