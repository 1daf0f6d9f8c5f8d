"""Files that appear together or not at all.

They are written in a hidden folder inside the output folder, and a rename publishes
them.  A locked file marks the folder as in use; the lock ends with its process, so
that the next run can see what was left behind.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from flightsw.errors import OutputNotWritable
from flightsw.host.disk import sync

_LOCK: Final = "lock"
_ATTEMPTS: Final = 10


class PartialFolder:
    """``.<scene>.<pid>.partial`` in an output folder that exists."""

    def __init__(self, out: Path, scene: str) -> None:
        self.path = out / f".{scene}.{os.getpid()}.partial"
        self._out = out
        self._replaced = self.path / "replaced"
        self._lock = _create_locked(self.path)

    def publish(
        self, names: Sequence[tuple[str, str]], last: str, removed: Collection[str] = ()
    ) -> None:
        """Publish files: pairs of (name here, name in the output folder).

        ``last`` is the output name that shows that all others are complete: an earlier
        run's is deleted first, the new one is published when the others are on disk.
        ``removed`` are output names of an earlier run that the new files replace.
        If anything fails, the output folder is restored as it was.
        """
        for name, _ in names:
            sync(self.path / name)
        self._replaced.mkdir()
        touched: list[str] = []
        try:
            for name in (last, *sorted(removed)):
                self._keep(name, touched)
                (self._out / name).unlink(missing_ok=True)
            for name, final in sorted(names, key=lambda pair: pair[1] == last):
                if final == last:
                    sync(self._out)
                else:
                    self._keep(final, touched)
                (self.path / name).replace(self._out / final)
            sync(self._out)
        except BaseException:
            self._put_back(touched)
            raise

    def remove(self) -> None:
        """Delete the folder with its content, and release the lock."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)

    def _keep(self, final: str, touched: list[str]) -> None:
        """Keep the output folder's file of this name, which is about to be replaced."""
        original, kept = self._out / final, self._replaced / final
        if original.exists():
            try:
                kept.hardlink_to(original)
            except OSError:  # a file system without links, or another user's file
                shutil.copy2(original, kept)
        touched.append(final)

    def _put_back(self, touched: Sequence[str]) -> None:
        for final in touched:
            if (self._replaced / final).exists():
                (self._replaced / final).replace(self._out / final)
            else:
                (self._out / final).unlink(missing_ok=True)


def remove_stale(out: Path) -> None:
    """Delete the folders of processes that have ended; keep those of running ones."""
    for folder in out.glob(".*.[0-9]*.partial"):
        if folder.is_dir() and (lock := _try_lock(folder)) is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _create_locked(folder: Path) -> int:
    """Make the folder and lock it; another process may delete it before it is locked."""
    for _ in range(_ATTEMPTS):
        try:
            folder.mkdir()
        except FileExistsError:
            raise OutputNotWritable(
                folder, "is already in use by a run of this scene", "Wait for it to finish"
            ) from None
        lock = _try_lock(folder)
        if lock is not None:
            return lock
    raise OutputNotWritable(folder, "is deleted whenever it is made", "Find out what deletes it")


def _try_lock(folder: Path) -> int | None:
    """Lock a partial folder, or return None if it is in use, deleted, or another user's."""
    path = folder / _LOCK
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except (FileNotFoundError, PermissionError):
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The folder may have been deleted, and even made again, between open and lock.
        if os.path.samestat(path.stat(), os.fstat(lock)):
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(lock)
    return None
