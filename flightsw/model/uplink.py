"""Model packages on their way up: chunks into a hidden file of the inbox, then a package, whole.

::

    BEGIN ──► .NAME.SHA.SIZE.part ── END ──► .NAME.unpacking ── rename ──► NAME ──► STAGE_MODEL

The files are the only record: a restart resumes at the length of the part, and the SHA-256 of the
whole finds what a power cut damaged.  ``.NAME.SHA.SIZE.done`` names the file that a package came
from, so that an END whose answer was lost can be repeated.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Final, Literal

from flightsw.host.disk import check_space, disk_errors, make_folder, sync
from flightsw.model.unpacking import unpack
from telecommands.dictionary import Code, UplinkList, UplinkRecord
from telecommands.refusal import Refusal
from telecommands.units import size as shown

_MOST_OPEN: Final = 4
_MOST_ENTRIES: Final = 10_000  # of the inbox, counted on the commanding thread
_LISTED: Final = 100
_PIECE: Final = 1 << 20
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}\Z")
_HIDDEN: Final = re.compile(
    r"\.(?P<name>[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63})\.(?P<sha256>[0-9a-f]{64})"
    r"\.(?P<size>[0-9]{1,13})\.(?P<kind>part|done)\Z"
)
_UNPACKING, _DELETED = ".unpacking", ".deleted"


@dataclass(frozen=True)
class _Announced:
    """What BEGIN_UPLINK said of a file; its hidden file carries it in its name."""

    name: str
    size: int
    sha256: str

    def hidden(self, inbox: Path, kind: Literal["part", "done"]) -> Path:
        return inbox / f".{self.name}.{self.sha256}.{self.size}.{kind}"

    def record(self, received: int, *, complete: bool) -> UplinkRecord:
        return UplinkRecord(
            name=self.name,
            size=self.size,
            sha256=self.sha256,
            received=received,
            complete=complete,
        )


class ModelUplink:
    """Packages and uplinks in ``inbox``, which together stay below ``quota`` bytes.

    ``reserve`` is the disk space that an uplink leaves free.  :meth:`finish` belongs to one
    thread, the other methods to another one: a part that is complete does not change any more.
    All raise :class:`Refusal`, :class:`~flightsw.errors.DiskFull` and
    :class:`~flightsw.errors.OutputNotWritable`; what was stored then stays.
    """

    def __init__(self, inbox: Path, quota: Callable[[], int], reserve: Callable[[], int]) -> None:
        self._inbox, self._quota, self._reserve = inbox, quota, reserve
        for suffix in (_UNPACKING, _DELETED):
            for remains in inbox.glob(f".*{suffix}"):
                shutil.rmtree(remains, ignore_errors=True)

    def begin(self, name: str, size: int, sha256: str) -> UplinkRecord:
        """Begin or resume; the record says what is stored."""
        wanted = _Announced(name, size, sha256)
        if os.path.lexists(self._inbox / name):
            return self._complete(wanted)
        others = [one for one in self._announced("part") if one != wanted]
        if (received := _length(wanted.hidden(self._inbox, "part"))) is not None:
            return wanted.record(received, complete=False)
        stay = [one for one in others if one.name != name]
        if len(stay) >= _MOST_OPEN:
            open_now = ", ".join(one.name for one in stay)
            cause = f"{len(stay)} uplinks are open: {open_now}"
            raise Refusal(Code.UPLINK_QUOTA, cause, "End one, or delete it (DELETE_UPLINK)")
        self._check_quota(2 * size, without=name)
        with disk_errors(self._inbox):
            make_folder(self._inbox, 0o700)
            check_space(self._inbox, 2 * size + self._reserve())
            for one in others:
                if one.name == name:
                    one.hidden(self._inbox, "part").unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(wanted.hidden(self._inbox, "part"), flags, 0o600))
            sync(self._inbox)
        return wanted.record(0, complete=False)

    def store(self, name: str, offset: int, data: bytes) -> UplinkRecord:
        """Append what is new of a chunk."""
        uplink = self._open(name)
        if offset + len(data) > uplink.size:
            cause = f"the chunk ends at {offset + len(data)}, and {name} has {uplink.size} bytes"
            raise Refusal(Code.BAD_ARGUMENTS, cause, "Begin the uplink with the size of the file")
        with disk_errors(self._inbox), self._part(uplink, os.O_WRONLY) as part:
            received = os.fstat(part.fileno()).st_size
            if offset > received:
                stored = f"only {received} bytes of {name} are stored"
                cause = f"the chunk begins at byte {offset}, but {stored}"
                cure = f"Continue at {received}"
                raise Refusal(Code.UPLINK_GAP, cause, cure, received=received)
            after = _append(part.fileno(), received, memoryview(data)[received - offset :])
        return uplink.record(after, complete=False)

    def finish(self, name: str) -> UplinkRecord:
        """Verify and unpack; a file that is not what was announced is deleted (UPLINK_DAMAGED)."""
        package = self._inbox / name
        if os.path.lexists(package):
            for done in self._announced("done"):
                if done.name == name:
                    return self._complete(done)
        uplink = self._open(name)
        with disk_errors(self._inbox), self._part(uplink, os.O_RDONLY) as part:
            received = os.fstat(part.fileno()).st_size
            if received < uplink.size:
                cause = f"only {received} of the {uplink.size} bytes of {name} are stored"
                raise Refusal(Code.UPLINK_GAP, cause, "Send the rest", received=received)
            try:
                self._publish(uplink, part)
            except Refusal as refusal:
                if refusal.code is Code.UPLINK_DAMAGED:
                    uplink.hidden(self._inbox, "part").unlink(missing_ok=True)
                raise
        return uplink.record(uplink.size, complete=True)

    def delete(self, name: str) -> None:
        """Delete a package and what was received of it."""
        package, deleted = self._inbox / name, self._inbox / f".{name}{_DELETED}"
        hidden = [
            one.hidden(self._inbox, kind)
            for kind in ("part", "done")
            for one in self._announced(kind)
            if one.name == name
        ]
        if not os.path.lexists(package) and not any(path.suffix == ".part" for path in hidden):
            cure = "See LIST_UPLINKS"
            raise Refusal(Code.NO_UPLINK, f"the model inbox has no {name}", cure)
        with disk_errors(self._inbox):
            if package.is_symlink() or package.is_file():
                package.unlink()
            elif package.exists():
                shutil.rmtree(deleted, ignore_errors=True)
                package.rename(deleted)
            for path in hidden:
                path.unlink(missing_ok=True)
            sync(self._inbox)
        shutil.rmtree(deleted, ignore_errors=True)

    def listing(self) -> UplinkList:
        """What the inbox holds."""
        came_from = {one.name: one for one in self._announced("done")}
        with disk_errors(self._inbox):
            found = [
                came_from.get(path.name, _Announced(path.name, 0, ""))
                for path in _children(self._inbox)
                if _NAME.match(path.name) and path.is_dir() and not path.is_symlink()
            ]
        records = [one.record(one.size, complete=True) for one in found]
        for one in self._announced("part"):
            received = _length(one.hidden(self._inbox, "part"))
            if received is not None:
                records.append(one.record(received, complete=False))
        return UplinkList(
            uplinks=tuple(sorted(records, key=lambda one: one.name)[:_LISTED]),
            used_bytes=self._used(),
            quota_bytes=self._quota(),
        )

    # --- The inbox ---------------------------------------------------------------------------

    def _complete(self, wanted: _Announced) -> UplinkRecord:
        if wanted.hidden(self._inbox, "done").exists():
            return wanted.record(wanted.size, complete=True)
        cause = f"the model inbox already has another package {wanted.name}"
        cure = "Delete it (DELETE_UPLINK), or give another name"
        raise Refusal(Code.BAD_ARGUMENTS, cause, cure)

    def _announced(self, kind: Literal["part", "done"]) -> list[_Announced]:
        matches = (_HIDDEN.match(path.name) for path in _children(self._inbox))
        return [
            _Announced(match["name"], int(match["size"]), match["sha256"])
            for match in matches
            if match and match["kind"] == kind
        ]

    def _open(self, name: str) -> _Announced:
        for one in self._announced("part"):
            if one.name == name:
                return one
        raise Refusal(Code.NO_UPLINK, f"no uplink of {name} is open", "Begin it (BEGIN_UPLINK)")

    def _part(self, uplink: _Announced, flags: int) -> FileIO:
        flags |= os.O_NOFOLLOW | os.O_CLOEXEC
        mode = "rb" if flags & os.O_ACCMODE == os.O_RDONLY else "wb"
        return FileIO(os.open(uplink.hidden(self._inbox, "part"), flags), mode)

    def _publish(self, uplink: _Announced, part: FileIO) -> None:
        """The package appears by one rename, after all of it is on the disk."""
        digest = hashlib.sha256()
        while piece := part.read(_PIECE):
            digest.update(piece)
        if digest.hexdigest() != uplink.sha256:
            cause = f"{uplink.name} has SHA-256 {digest.hexdigest()}, not {uplink.sha256}"
            raise Refusal(Code.UPLINK_DAMAGED, cause, "Uplink it again")
        unpacking = self._inbox / f".{uplink.name}{_UNPACKING}"
        shutil.rmtree(unpacking, ignore_errors=True)
        part.seek(0)
        try:
            unpack(part, unpacking)
            uplink.hidden(self._inbox, "done").touch(mode=0o600)
            sync(self._inbox)
            unpacking.rename(self._inbox / uplink.name)
            sync(self._inbox)
        finally:
            shutil.rmtree(unpacking, ignore_errors=True)
        uplink.hidden(self._inbox, "part").unlink(missing_ok=True)

    def _check_quota(self, more: int, *, without: str) -> None:
        used, quota = self._used(without), self._quota()
        if used + more > quota:
            cause = (
                f"the model inbox would hold {shown(used + more)} until the package is unpacked, "
                f"and its quota is {shown(quota)}"
            )
            cure = "Delete packages (LIST_UPLINKS, DELETE_UPLINK), or set uplink.quota_bytes"
            raise Refusal(Code.UPLINK_QUOTA, cause, cure)

    def _used(self, without: str = "") -> int:
        """Bytes that count: an open uplink as twice its size, which it needs to be unpacked."""
        used = 0
        with disk_errors(self._inbox):
            for count, (name, length) in enumerate(_sizes(self._inbox)):
                if count >= _MOST_ENTRIES:
                    cause = f"the model inbox holds more than {_MOST_ENTRIES} files"
                    raise Refusal(Code.UPLINK_QUOTA, cause, "Remove what is not a package")
                match = _HIDDEN.match(name)
                if match is None or match["kind"] == "done":
                    used += length
                elif match["name"] != without:
                    used += 2 * int(match["size"])
        return used


def _append(handle: int, position: int, data: memoryview) -> int:
    """Write all of it, or leave the file as it was; its new length."""
    end = position
    try:
        while data:
            written = os.pwrite(handle, data, end)
            end, data = end + written, data[written:]
    except OSError:
        with suppress(OSError):
            os.ftruncate(handle, position)
        raise
    return end


def _length(path: Path) -> int | None:
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return None


def _children(folder: Path) -> list[Path]:
    with disk_errors(folder):
        try:
            return list(folder.iterdir())
        except FileNotFoundError:
            return []


def _sizes(folder: Path) -> Iterator[tuple[str, int]]:
    """Name and length of each file below the folder; links count as themselves."""
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _sizes(Path(entry.path))
            else:
                yield entry.name, entry.stat(follow_symlinks=False).st_size
