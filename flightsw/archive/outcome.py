"""The record of a scene: what was made of it or why it failed, whole on the disk or not there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from flightsw.errors import FlightError, StateUnusable
from flightsw.host.disk import disk_errors, read_plain
from flightsw.host.location import Location, name_of, shown
from flightsw.products.names import file_name_of
from flightsw.products.report import FileRecord
from telecommands.failure import UNDECODABLE
from telecommands.whole_file import write_whole

if TYPE_CHECKING:
    from flightsw.chain import ProcessedScene

RECORD: Final = "record.json"
_FORMAT: Final = 1
_LARGEST: Final = 4 << 20  # bytes; records have some kilobytes
_SHARD: Final = 2  # characters: 256 folders
_SHOWN: Final = 16


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One scene of a run.

    ``code`` is empty if the scene has products, else that of the error that ``cause`` and ``cure``
    say.  Shares are 0 to 1 of the valid pixels, None of a scene that failed; seconds are durations;
    ``sensed_at`` and ``computed_at`` ISO 8601.  ``folder`` is relative to the run's folder.
    """

    format: int = _FORMAT
    scene: str
    name: str
    checksum: str
    model: str
    settings: str
    software_version: str
    code: str = ""
    cause: str = ""
    cure: str = ""
    tile: str = ""
    platform: str = ""
    level: str = ""
    baseline: str = ""
    sensed_at: str = ""
    integrity: str = ""
    decode: str = ""
    valid_pixels: int = 0
    no_data_pixels: int = 0
    contaminated: float | None = None
    fractions: dict[str, float] = {}
    remarks: tuple[str, ...] = ()
    engine: str = ""
    tiles: int = 0
    seconds: float = 0.0
    inference_seconds: float = 0.0
    worker: str = ""
    computed_at: str = ""
    folder: str = ""
    files: tuple[FileRecord, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether the scene has no products."""
        return bool(self.code)


def folder_of(out: Path, location: Location, checksum: str) -> Path:
    """The folder of a scene's products and record, in the run's folder ``out``."""
    name = file_name_of(name_of(location) or "scene")
    return out / "scenes" / checksum[:_SHARD] / f"{name}_{checksum[:_SHOWN]}"


def record_of(out: Path, key: str) -> Path:
    """The record of a scene by its key, the folder relative to the run's folder."""
    return out / key / RECORD


def find_outcome(folder: Path, checksum: str, model: str, settings: str) -> Outcome | None:
    """The record in the folder, None if there is none or it is not of these three.

    A damaged record counts as none: the scene is computed again.  Raises :class:`OSError`.
    """
    try:
        outcome = read_outcome(folder / RECORD)
    except (FileNotFoundError, StateUnusable):
        return None
    wanted = (checksum, model, settings)
    return outcome if (outcome.checksum, outcome.model, outcome.settings) == wanted else None


def read_outcome(path: Path) -> Outcome:
    """Read a record; raises :class:`StateUnusable` for what is not one, and :class:`OSError`."""
    try:
        return msgspec.json.decode(read_plain(path, _LARGEST), type=Outcome)
    except UNDECODABLE as error:
        raise StateUnusable(path, f"is not a record ({error})", "Delete it") from error


def write_outcome(folder: Path, outcome: Outcome) -> None:
    """Write the record; it is on the disk at the return.

    Raises :class:`~flightsw.errors.DiskFull` and :class:`~flightsw.errors.OutputNotWritable`.
    """
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / RECORD, msgspec.json.format(msgspec.json.encode(outcome)) + b"\n")


def completed(outcome: Outcome, processed: ProcessedScene) -> Outcome:
    """The outcome with the figures of a scene that has products."""
    scene, summary, report = processed.scene, processed.summary, processed.products.report
    return msgspec.structs.replace(
        outcome,
        name=scene.name,
        tile=scene.tile_id,
        platform=scene.platform,
        level=scene.level,
        baseline=scene.baseline,
        sensed_at=scene.sensed_at.isoformat() if scene.sensed_at else "",
        integrity=scene.integrity,
        decode=scene.decode,
        valid_pixels=summary.valid_pixels,
        no_data_pixels=summary.no_data_pixels,
        contaminated=summary.contaminated_share,
        fractions=report.fractions,
        remarks=(*scene.remarks, *summary.notes, *report.notes),
        engine=f"{processed.engine.name} {processed.engine.precision}",
        tiles=summary.tiles,
        inference_seconds=summary.inference_seconds,
        files=processed.products.files,
    )


def failed(outcome: Outcome, error: FlightError) -> Outcome:
    """The outcome of a scene that has no products."""
    return msgspec.structs.replace(
        outcome, code=error.code, cause=shown(error.sentence), cure=error.cure
    )
