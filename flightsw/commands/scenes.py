"""The scenes of one call of ``flightsw process``: which, where to, and how far they are."""

from __future__ import annotations

import glob
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flightsw.errors import FlightError, OutputNotWritable, UsageError
from flightsw.host.location import Location, name_of, shown

if TYPE_CHECKING:
    from flightsw.chain import ProcessedScene
    from flightsw.scene.tiling import Grid

SOME_FAILED: Final = 10
"""Added to the number of scenes that failed, so that the sum is the status of no other error."""

_MOST_COUNTED: Final = 99


@dataclass(frozen=True)
class Outcome:
    """A scene's path, and what was made of it or why it failed."""

    path: Location
    result: ProcessedScene | FlightError

    @property
    def failed(self) -> bool:
        """Whether the scene has no products."""
        return isinstance(self.result, FlightError)


def find_scenes(patterns: Sequence[Location]) -> list[Location]:
    """The paths, and those that a pattern matches, in its place and in order of name.

    Raises :class:`UsageError` if a pattern matches nothing or a scene is named twice.
    """
    found = [path for pattern in patterns for path in _matches(pattern)]
    for path in found:
        if found.count(path) > 1:
            raise UsageError(shown(path), "is named more than once", "Name each scene once")
    return found


def _matches(pattern: Location) -> list[Location]:
    if isinstance(pattern, str) or pattern.exists() or not glob.has_magic(str(pattern)):
        return [pattern]
    matches: list[Location] = [Path(path) for path in sorted(glob.glob(str(pattern)))]  # noqa: PTH207 - absolute too
    if not matches:
        raise UsageError(pattern, "matches no file or folder", "Correct the pattern")
    return matches


def folders_of(scenes: Sequence[Location], out: Path) -> list[Path]:
    """The folder of each scene's products: ``out`` of one, a folder below it of several.

    Raises :class:`UsageError` if two scenes would share a folder, and
    :class:`OutputNotWritable` if ``out``, which several need, cannot be made.
    """
    if len(scenes) == 1:
        return [out]
    folders = [out / _name_of(scene) for scene in scenes]
    for scene, folder in zip(scenes, folders, strict=True):
        if folders.count(folder) > 1:
            cause = f"has the same name as another scene, and both would be written to {folder}"
            raise UsageError(shown(scene), cause, "Process them in two calls with different --out")
    try:
        out.mkdir(exist_ok=True)
    except OSError as error:
        cause = f"cannot be made ({error.strerror})"
        raise OutputNotWritable(out, cause, "Give a folder that exists") from error
    return folders


def _name_of(scene: Location) -> str:
    return name_of(scene.absolute() if isinstance(scene, Path) else scene)


class ScenesProgress:
    """One bar for all scenes: which one, tiles done of all its tiles, rate and time left.

    The clock of rate and time left starts with each scene's first step, not with the model.
    """

    def __init__(self, bar: Any, scenes: Sequence[Location], check: Callable[[], None]) -> None:
        self._bar = bar
        self._scenes = scenes
        self._check = check
        self._tiles = 0
        bar.set_description_str("loading the model")

    def open_scene(self, number: int) -> None:
        """Show that the scene at this place of the list is being opened."""
        of = f" {number + 1} of {len(self._scenes)}" if len(self._scenes) > 1 else ""
        self._bar.set_description_str(f"scene{of}: {_name_of(self._scenes[number])[:44]}")

    def begun(self, grid: Grid, _: int) -> tuple[()]:
        """Start to count the tiles of a scene that was opened."""
        self._tiles = grid.rows * grid.columns
        self._bar.reset(total=self._tiles)
        return ()

    def advance(self, done: int, height: int) -> None:
        """Show the tiles of the rows done."""
        self._check()
        self._bar.update(self._tiles * done // height - self._bar.n)

    def show(self, text: str) -> None:
        """Print to standard output, with the bar out of the way."""
        self._bar.write(text)

    def warn(self, line: str) -> None:
        """Print a line to standard error, above the bar."""
        self._bar.write(line, file=sys.stderr)


@contextmanager
def progress_of(
    scenes: Sequence[Location], check: Callable[[], None], *, quiet: bool
) -> Iterator[ScenesProgress]:
    """The progress, shown if standard error is a terminal."""
    from tqdm import tqdm  # noqa: PLC0415 - takes long to load

    hidden = quiet or not sys.stderr.isatty()
    with tqdm(total=None, unit="tile", disable=hidden, leave=False, dynamic_ncols=True) as bar:
        yield ScenesProgress(bar, scenes, check)


def exit_status(outcomes: Sequence[Outcome]) -> int:
    """0, or 10 plus the number of scenes that failed, of which 99 at most are counted."""
    failures = sum(outcome.failed for outcome in outcomes)
    return SOME_FAILED + min(failures, _MOST_COUNTED) if failures else 0


def summary_table(outcomes: Sequence[Outcome]) -> str:
    """One line a scene: its contaminated share, tiles, seconds, and products or error code."""
    rows = [("scene", "contaminated", "tiles", "seconds", "products"), *map(_row, outcomes)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    failures = sum(outcome.failed for outcome in outcomes)
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join([*lines, f"{len(outcomes) - failures} processed, {failures} failed"])


def _row(outcome: Outcome) -> tuple[str, str, str, str, str]:
    result = outcome.result
    if isinstance(result, FlightError):
        return (_name_of(outcome.path), "-", "-", "-", f"failed: {result.code}")
    summary = result.summary
    return (
        _name_of(outcome.path),
        f"{summary.contaminated_share:.1%}",
        str(summary.tiles),
        f"{summary.seconds:.1f}",
        str(result.products.folder),
    )
