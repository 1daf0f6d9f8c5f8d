"""The files of a benchmark."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from flightsw.bench.plot import draw_latencies
from flightsw.bench.report import as_json, as_markdown
from flightsw.bench.results import BenchResult
from flightsw.errors import UsageError
from flightsw.host.disk import disk_errors, write_whole


class BenchFolder:
    """``bench.json``, ``bench.md`` and ``bench.png``; each appears whole or not at all.

    Raises what :func:`~flightsw.host.disk.disk_errors` raises.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def write(self, result: BenchResult) -> BenchResult:
        """Write all files; the result, with a note if the picture could not be drawn."""
        try:
            self._replace("bench.png", draw_latencies(result.engines))
        except UsageError as error:
            result = replace(result, notes=(*result.notes, str(error)))
        self._replace("bench.json", as_json(result))
        self._replace("bench.md", as_markdown(result).encode())
        return result

    def _replace(self, name: str, content: bytes) -> None:
        with disk_errors(self.path, len(content)):
            write_whole(self.path / name, content)
