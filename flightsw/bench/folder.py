"""The files of a benchmark."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from flightsw.bench.plot import draw_latencies
from flightsw.bench.report import as_json, as_markdown
from flightsw.bench.results import BenchResult
from flightsw.errors import UsageError
from flightsw.host.disk import disk_errors
from telecommands.whole_file import write_whole


def write_results(folder: Path, result: BenchResult) -> BenchResult:
    """Write ``bench.json``, ``bench.md`` and ``bench.png``; each appears whole or not at all.

    Returns the result, with a note if the picture could not be drawn.  Raises what
    :func:`~flightsw.host.disk.disk_errors` raises.
    """
    files = {}
    try:
        files["bench.png"] = draw_latencies(result.engines)
    except UsageError as error:
        result = replace(result, notes=(*result.notes, str(error)))
    files |= {"bench.json": as_json(result), "bench.md": as_markdown(result).encode()}
    with disk_errors(folder, sum(map(len, files.values()))):
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_whole(folder / name, content)
    return result
