"""``groundsim export``: values from the dashboard's archive, as CSV or Parquet."""

from __future__ import annotations

import argparse
import csv
import os
import sys
import time
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from telecommands.dashboard.points.catalogue import PointCatalogue
from telecommands.dashboard.points.point import Point
from telecommands.ground.errors import UsageError, product_error
from telecommands.times import read_time

if TYPE_CHECKING:
    from telecommands.dashboard.archive.table import ExportRow

_BATCH: Final = 50_000
_LATEST_NS: Final = 2**63 - 1
_EPILOG: Final = (
    "Each value is one row: key, time in UTC nanoseconds and as text, boot, seq, value, text, "
    "gap.  A row without a value gives in gap the number of packets missing by sequence number.  "
    "Rows of evt and ver hold JSON in text.  Times are ISO 8601 in UTC, or nanoseconds."
)


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "export",
        help="export values from the dashboard's archive",
        description="Write values from the dashboard's archive as CSV or Parquet.",
        epilog=_EPILOG,
    )
    parser.set_defaults(command=_run)
    parser.add_argument(
        "archive", type=Path, metavar="ARCHIVE", help="file of groundsim dashboard --archive"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help=".csv or .parquet file (CSV to standard output)",
    )
    parser.add_argument(
        "--keys",
        type=lambda text: tuple(text.split(",")),
        default=(),
        metavar="KEY,...",
        help="as in hk.cpu_share,evt; hk. selects every key with that prefix (all)",
    )
    parser.add_argument("--start", metavar="TIME", help="first time (start of the archive)")
    parser.add_argument("--end", metavar="TIME", help="last time (end of the archive)")


def _run(arguments: argparse.Namespace) -> int:
    # SQLite loads slowly: a telecommand must not wait for it.
    from telecommands.dashboard.archive.reader import ArchiveReader  # noqa: PLC0415
    from telecommands.dashboard.archive.table import rows_of  # noqa: PLC0415

    start, end = _time(arguments.start, 0), _time(arguments.end, _LATEST_NS)
    if start > end:
        raise UsageError("--start", "is later than --end", "Swap the two times")
    output: Path | None = arguments.output
    if output is not None and output.suffix not in (".csv", ".parquet"):
        raise UsageError(output, "is neither .csv nor .parquet", "Use one of these endings")
    with ArchiveReader(arguments.archive) as reader:
        catalogue = PointCatalogue()
        for key in reader.known_keys():
            catalogue.discover(key)
        points = _points(catalogue, arguments.keys)
        rows = (row for point in points for row in rows_of(reader, point, start, end))
        if output is None:
            _write_csv(sys.stdout, rows)
            return 0
        count = _write_file(output, rows)
    print(f"{output}  {count} rows")
    return 0


def _points(catalogue: PointCatalogue, wanted: tuple[str, ...]) -> list[Point]:
    """The points with these keys or prefixes, in the dictionary's order."""
    points = [point for folder in catalogue.folders() for point in folder.points]
    for key in wanted:
        if not any(_matches(point.key, key) for point in points):
            raise UsageError(key, "is not a key in the archive", "See the dashboard's object tree")
    return [one for one in points if not wanted or any(_matches(one.key, key) for key in wanted)]


def _matches(key: str, wanted: str) -> bool:
    return key == wanted or (wanted.endswith(".") and key.startswith(wanted))


def _write_file(path: Path, rows: Iterable[ExportRow]) -> int:
    """Write the file completely or not at all; return the number of rows."""
    part = path.with_name(f".{path.name}.part")
    try:
        if path.suffix == ".parquet":
            count = _write_parquet(part, rows)
        else:
            with part.open("w", newline="", encoding="utf-8") as file:
                count = _write_csv(file, rows)
        with part.open("rb") as file_to_sync:
            os.fsync(file_to_sync.fileno())
        part.replace(path)
    except OSError as error:
        raise product_error(path, error) from error
    finally:
        part.unlink(missing_ok=True)
    return count


def _write_csv(file: IO[str], rows: Iterable[ExportRow]) -> int:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_columns())
    count = 0
    for row in rows:
        writer.writerow(row)
        count += 1
    return count


def _write_parquet(path: Path, rows: Iterable[ExportRow]) -> int:
    if find_spec("pyarrow") is None:
        cure = "Install the extra (pip install 'flightsw[ground]'), or write .csv"
        raise UsageError(path, "needs pyarrow", cure)
    import pyarrow  # noqa: PLC0415 - an extra
    from pyarrow import parquet  # noqa: PLC0415

    whole, text = pyarrow.int64(), pyarrow.string()
    types = (text, whole, text, whole, whole, pyarrow.float64(), text, whole)
    schema = pyarrow.schema(list(zip(_columns(), types, strict=True)))
    count = 0
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in _batches(rows):
            columns = list(zip(*batch, strict=True))
            writer.write_table(pyarrow.table(columns, schema=schema))
            count += len(batch)
    return count


def _columns() -> tuple[str, ...]:
    from telecommands.dashboard.archive.table import ExportRow  # noqa: PLC0415 - as above

    return ExportRow._fields


def _batches(rows: Iterable[ExportRow]) -> Iterator[list[ExportRow]]:
    rest = iter(rows)
    while batch := list(islice(rest, _BATCH)):
        yield batch


def _time(text: str | None, default: int) -> int:
    if text is None:
        return default
    try:
        return min(read_time(text, time.time_ns()), _LATEST_NS)
    except (ValueError, OverflowError) as error:
        cure = "Give ISO 8601 in UTC, or nanoseconds"
        raise UsageError(text, f"is not a time: {error}", cure) from error
