"""All outcomes of a run together: a Parquet table with a row a scene, and a STAC catalogue.

Both are written from records that are read one after the other, so memory does not grow with the
number of scenes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Final

import msgspec

from flightsw.archive.outcome import Outcome, read_outcome, record_of
from flightsw.archive.plan import Plan
from flightsw.errors import UsageError
from flightsw.host.disk import disk_errors, sync
from telecommands.whole_file import write_whole

TABLE: Final = "table.parquet"
CATALOGUE: Final = "catalog.json"
_ROWS: Final = 5_000  # of a group in the table, which is what is held in memory
_STAC_VERSION: Final = "1.1.0"
_UNKNOWN: Final = "unknown"


def require_parquet() -> Any:
    """The library ``pyarrow``; :class:`UsageError` without the extra."""
    try:
        import pyarrow  # noqa: PLC0415
        import pyarrow.parquet  # noqa: PLC0415
    except ImportError as error:
        cause = "needs pyarrow, which is not installed"
        raise UsageError("reprocess", cause, "Install flightsw[archive]") from error
    return pyarrow


def schema() -> Any:
    """The columns of the table, as :class:`~flightsw.archive.outcome.Outcome` describes them."""
    arrow = require_parquet()
    text, number, count = arrow.string(), arrow.float64(), arrow.int64()
    return arrow.schema(
        [
            *((name, text) for name in ("scene", "name", "checksum", "model", "settings")),
            *((name, text) for name in ("software_version", "code", "cause", "cure", "tile")),
            *((name, text) for name in ("platform", "level", "baseline", "sensed_at")),
            *((name, text) for name in ("integrity", "decode")),
            *((name, count) for name in ("valid_pixels", "no_data_pixels", "tiles")),
            ("contaminated", number),
            ("fractions", arrow.map_(text, number)),
            ("remarks", arrow.list_(text)),
            ("engine", text),
            *((name, number) for name in ("seconds", "inference_seconds")),
            *((name, text) for name in ("worker", "computed_at", "folder")),
            ("files", arrow.list_(text)),
        ]
    )


def write_table(run: Path, plan: Plan) -> Path:
    """Write ``table.parquet`` into the run's folder, whole or not at all.

    Raises :class:`~flightsw.errors.DiskFull` and :class:`~flightsw.errors.OutputNotWritable`.
    """
    arrow, columns = require_parquet(), schema()
    path, partial = run / TABLE, run / f".{TABLE}.partial"
    with disk_errors(run):
        with arrow.parquet.ParquetWriter(partial, columns, compression="zstd") as writer:
            outcomes = _outcomes(run, plan)
            while rows := list(islice(outcomes, _ROWS)):
                plain = [_row(outcome) for outcome in rows]
                writer.write_table(arrow.Table.from_pylist(plain, columns))
        sync(partial)
        partial.replace(path)
        sync(run)
    return path


def _outcomes(run: Path, plan: Plan) -> Iterator[Outcome]:
    for scene in plan.recorded_scenes():
        yield read_outcome(record_of(run, scene.key))
    for lost in plan.lost():
        yield msgspec.json.decode(lost, type=Outcome)


def _row(outcome: Outcome) -> dict[str, Any]:
    row: dict[str, Any] = msgspec.to_builtins(outcome)
    row["fractions"] = list(outcome.fractions.items())
    row["files"] = [file.name for file in outcome.files]
    return row


def write_catalogue(run: Path, plan: Plan, title: str) -> Path:
    """Write a static STAC catalogue into the run's folder: by tile, then by year.

    Its items are those that lie beside the masks.  Raises :class:`~flightsw.errors.DiskFull` and
    :class:`~flightsw.errors.OutputNotWritable`.
    """
    below = run / "catalogue"
    tiles: list[str] = []
    with disk_errors(run):
        for tile, of_tile in groupby(plan.recorded_scenes(), lambda one: one.tile or _UNKNOWN):
            years: list[str] = []
            for year, of_year in groupby(of_tile, lambda one: one.sensed_at[:4] or _UNKNOWN):
                items = list(_items(run, (one.key for one in of_year)))
                if not items:
                    continue
                years.append(year)
                folder = below / tile / year
                links = [(f"../../../{item}", "item", name) for item, name in items]
                _write(folder, f"{tile}-{year}", f"{tile} in {year}", 3, links)
            if years:
                tiles.append(tile)
                links = [(f"{year}/{CATALOGUE}", "child", year) for year in years]
                _write(below / tile, tile, f"Masks of {tile}", 2, links)
        links = [(f"catalogue/{tile}/{CATALOGUE}", "child", tile) for tile in tiles]
        _write(run, run.name, title, 0, links)
    return run / CATALOGUE


def _items(run: Path, keys: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The path of each scene's STAC item, relative to the run's folder, and its title."""
    for key in keys:
        outcome = read_outcome(record_of(run, key))
        for file in outcome.files:
            if file.product == "stac":
                yield f"{key}/{file.name}", outcome.name


def _write(
    folder: Path, name: str, description: str, depth: int, links: Sequence[tuple[str, str, str]]
) -> None:
    root = "../" * depth + CATALOGUE
    above = [_link(root if depth else f"./{CATALOGUE}", "root")]
    if depth:
        parent = "../" if depth == 3 else "../../"
        above.append(_link(parent + CATALOGUE, "parent"))
    document = {
        "type": "Catalog",
        "stac_version": _STAC_VERSION,
        "id": name,
        "description": description,
        "links": [*above, *(_link(href, kind, title) for href, kind, title in links)],
    }
    content = json.dumps(document, indent=1).encode() + b"\n"
    if depth == 0:
        write_whole(folder / CATALOGUE, content)
    else:  # many, and made again by the next run: the disk need not confirm each
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f".{CATALOGUE}.partial").write_bytes(content)
        (folder / f".{CATALOGUE}.partial").replace(folder / CATALOGUE)


def _link(href: str, kind: str, title: str = "") -> dict[str, str]:
    media = "application/geo+json" if kind == "item" else "application/json"
    link = {"rel": kind, "href": href, "type": media}
    return link | {"title": title} if title else link
