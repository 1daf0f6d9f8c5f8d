"""The scenes below the scene root, recognised by their names: nothing is opened."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from telecommands.dictionary import ListScenes, SceneList, SceneRecord
from telecommands.failure import reason_of

MOST_SEARCHED: Final = 5000
"""Files and folders that are looked at to find the scenes, about 20 ms."""

MOST_MEASURED: Final = 5000
"""Files and folders that are looked at to measure the scenes of one answer."""

_DEEPEST: Final = 3  # folders below the root, such as year/month/X.SAFE
_FILES: Final = (".zip", ".tif", ".tiff", ".json", ".geojson")
_RASTERS: Final = (".tif", ".tiff")
_PARTS: Final = frozenset({"GRANULE", "R10m", "B02.jp2"})  # of SAFE, and of a tile on AWS
_NS_PER_S: Final = 10**9


def list_scenes(root: Path, request: ListScenes) -> SceneList:
    """The scenes below ``root``, newest first; ``remark`` says why some or all are missing.

    Hidden files and links out of ``root`` are left out, as PROCESS_SCENE would refuse them.
    """
    search = _Search(Path(os.path.realpath(root)))
    found = sorted(search.scenes(), key=lambda one: (-one.modified_at, one.scene))
    page = found[request.skip : request.skip + request.limit]
    budget = _Budget(MOST_MEASURED)
    scenes = tuple(
        SceneRecord(
            scene=one.scene,
            size=_size_of(search.root / one.scene, budget),
            modified_at=one.modified_at,
        )
        for one in page
    )
    return SceneList(scenes=scenes, total=len(found), remark=search.remark(root, len(found)))


class _Budget:
    """How many more files and folders may be looked at."""

    def __init__(self, left: int) -> None:
        self.left = left

    def entries(self, folder: str | Path) -> Iterator[os.DirEntry[str]]:
        """The folder's entries, until the budget is spent.  Raises OSError."""
        with os.scandir(folder) as entries:
            for entry in entries:
                if self.left <= 0:
                    return
                self.left -= 1
                yield entry


class _Search:
    """One walk through the folders below the root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._budget = _Budget(MOST_SEARCHED)
        self._problems: list[str] = []

    def scenes(self) -> Iterator[SceneRecord]:
        """Each scene once, in no order; sizes are not measured yet."""
        yield from self._below(self.root, _DEEPEST)

    def remark(self, root: Path, found: int) -> str:
        """Why the list is empty or incomplete; otherwise empty."""
        problems = self._problems[:1]
        if len(self._problems) > 1:
            problems.append(f"{len(self._problems) - 1} more folders cannot be read")
        if self._budget.left <= 0:
            problems.append(f"the search ended after {MOST_SEARCHED} files and folders")
        if not found and not problems:
            problems.append(f"the scene root {root} holds no scene; upload one")
        return "; ".join(problems)

    def _below(self, folder: Path, depth: int) -> Iterator[SceneRecord]:
        for entry in self._visible(folder):
            try:
                record = self._record(entry)
                is_folder = entry.is_dir()
            except OSError:  # deleted in the meantime, or a link to nothing
                continue
            if record is None:
                continue
            if not is_folder:
                if entry.name.lower().endswith(_FILES):
                    yield record
            elif entry.name.upper().endswith(".SAFE") or self._is_scene(Path(entry.path)):
                yield record
            elif depth > 1 and not entry.is_symlink():
                yield from self._below(Path(entry.path), depth - 1)

    def _is_scene(self, folder: Path) -> bool:
        names = [entry.name for entry in self._visible(folder)]
        return any(name in _PARTS or name.lower().endswith(_RASTERS) for name in names)

    def _record(self, entry: os.DirEntry[str]) -> SceneRecord | None:
        """The entry as a scene; None for a link out of the root, and for an unprintable name."""
        if entry.is_symlink() and self.root not in Path(os.path.realpath(entry.path)).parents:
            return None
        path = Path(entry.path).relative_to(self.root).as_posix()
        if not path.isprintable():
            return None
        modified = int(entry.stat().st_mtime) * _NS_PER_S
        return SceneRecord(scene=path, size=None, modified_at=max(0, modified))

    def _visible(self, folder: Path) -> list[os.DirEntry[str]]:
        try:
            return [e for e in self._budget.entries(folder) if not e.name.startswith(".")]
        except OSError as error:
            cause = reason_of(error)
            self._problems.append(f"the folder {folder} cannot be read ({cause})")
            return []


def _size_of(path: Path, budget: _Budget) -> int | None:
    """Bytes of a scene's files; None if the budget ends first or a folder cannot be read."""
    try:
        if path.is_file():
            return path.stat().st_size
        total, folders = 0, [os.fspath(path)]
        while folders:
            for entry in budget.entries(folders.pop()):
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    total += entry.stat(follow_symlinks=False).st_size
    except OSError:
        return None
    return total if budget.left > 0 else None
