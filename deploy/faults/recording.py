"""What a process wrote below a folder, in order: files, names, and what it waited for.

``strace`` sees each system call of every thread, SQLite's and GDAL's included, so that nothing has
to be replaced in the process.  A recording that is replayed as a whole must give the folder that is
there: :meth:`Recording.tree` says what it gives.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

_CALLS: Final = (
    "openat,creat,lseek,write,pwrite64,writev,pwritev,ftruncate,truncate,fallocate,fsync,fdatasync,"
    "rename,renameat,renameat2,unlink,unlinkat,link,linkat,symlink,symlinkat,mkdir,mkdirat,rmdir"
)
_LONGEST: Final = 1 << 26  # bytes of one call

ROOT: Final = 0
"""Inode of the folder itself."""


class Data(NamedTuple):
    """Bytes that were written into a file."""

    at: float
    inode: int
    offset: int
    content: bytes


class Size(NamedTuple):
    """A file that was cut, or lengthened by zeros."""

    at: float
    inode: int
    size: int


class Names(NamedTuple):
    """Names that changed together: folder, name, and the inode that it now stands for, or None."""

    at: float
    changes: tuple[tuple[int, str, int | None], ...]


class Sync(NamedTuple):
    """A wait that has ended: what was done to the inode before is on the disk."""

    at: float
    inode: int


Operation: TypeAlias = Data | Size | Names | Sync


@dataclass
class Recording:
    """The operations, and what there was before: the content of inodes, None for a folder."""

    before: dict[int, bytes | None]
    names: dict[int, dict[str, int]]
    operations: list[Operation] = field(default_factory=list)

    def tree(self) -> dict[str, bytes | None]:
        """What the whole recording gives: content by relative path, None for a folder."""
        disk = Disk(self)
        for operation in self.operations:
            disk.apply(operation)
        return disk.tree()


class Disk:
    """Files and folders as some of a recording's operations leave them."""

    def __init__(self, recording: Recording) -> None:
        self._contents = {
            inode: bytearray(content)
            for inode, content in recording.before.items()
            if content is not None
        }
        self._names = {inode: dict(names) for inode, names in recording.names.items()}

    def apply(self, operation: Operation) -> None:
        """Do one operation."""
        if isinstance(operation, Data):
            self.write(operation.inode, operation.offset, operation.content)
        elif isinstance(operation, Size):
            content = self._contents.setdefault(operation.inode, bytearray())
            del content[operation.size :]
            content.extend(bytes(operation.size - len(content)))
        elif isinstance(operation, Names):
            for folder, name, inode in operation.changes:
                names = self._names.setdefault(folder, {})
                if inode is None:
                    names.pop(name, None)
                else:
                    names[name] = inode

    def write(self, inode: int, offset: int, data: bytes) -> None:
        """Write bytes; what lies between the end and ``offset`` is zeros."""
        self.lengthen(inode, offset)
        content = self._contents[inode]
        content[offset : offset + len(data)] = data

    def lengthen(self, inode: int, size: int) -> None:
        """Let a file have at least ``size`` bytes; the new ones are zeros."""
        content = self._contents.setdefault(inode, bytearray())
        content.extend(bytes(max(0, size - len(content))))

    def tree(self) -> dict[str, bytes | None]:
        """Content by relative path, None for a folder; what has no name is not there."""
        return dict(self._below(ROOT, ""))

    def write_into(self, folder: Path) -> None:
        """Make the files and folders in ``folder``, which is emptied before."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        for path, content in self.tree().items():
            if content is None:
                (folder / path).mkdir(mode=0o700)
            else:
                (folder / path).write_bytes(content)
                (folder / path).chmod(0o600)

    def _below(self, inode: int, path: str) -> Iterator[tuple[str, bytes | None]]:
        for name, child in sorted(self._names.get(inode, {}).items()):
            inside = f"{path}{name}"
            if child in self._names:
                yield inside, None
                yield from self._below(child, f"{inside}/")
            else:  # with a name, perhaps without any of its content
                yield inside, bytes(self._contents.get(child, b""))


def strace_command(trace: Path) -> list[str]:
    """What to put before a command so that its calls are recorded in ``trace``."""
    return [
        *("strace", "-D", "-f", "-y", "-ttt", "-xx", "-s", str(_LONGEST), "--seccomp-bpf"),
        *("-o", str(trace), "-e", f"trace={_CALLS}"),
    ]


@cache
def is_available() -> bool:
    """Whether ``strace`` is installed, and allowed to look at processes."""
    try:
        command = ["strace", "-o", "/dev/null", "true"]
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    except FileNotFoundError:
        return False


def tree_of(folder: Path) -> dict[str, bytes | None]:
    """What is below a folder, as :meth:`Recording.tree` gives it."""
    return {
        str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_dir() or path.is_file()
    }


def read_recording(
    traces: Sequence[Path], folder: Path, before: Mapping[str, bytes | None]
) -> Recording:
    """The operations below ``folder``; ``before`` is what :func:`tree_of` gave at the start.

    Raises ValueError for a call that cannot be replayed.
    """
    reader = _Reader(folder, before)
    for trace in traces:
        for time, call in _whole_calls(trace):
            reader.take(float(time), call)
    return reader.recording


def _whole_calls(trace: Path) -> Iterator[tuple[str, str]]:
    """Time and text of each call, in the order in which they ended."""
    begun: dict[str, str] = {}
    with trace.open() as lines:
        for line in lines:
            pid, time, text = line.rstrip("\n").split(None, 2)
            if text.endswith("<unfinished ...>"):
                begun[pid] = text.removesuffix("<unfinished ...>")
            elif text.startswith("<..."):
                yield time, begun.pop(pid, "") + text.split("resumed>", 1)[1]
            else:
                yield time, text


_CALL: Final = re.compile(r"(\w+)\((.*)\)\s+= (-?\d+)(?:<(.*)>(?:\(deleted\))?)?")
_STRING: Final = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_FILE: Final = re.compile(r"^(\d+)<((?:\\x[0-9a-f]{2})+)>(\(deleted\))?")


def _unescaped(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


class _Reader:
    """Follows names and offsets, so that each call becomes an operation on an inode."""

    def __init__(self, folder: Path, before: Mapping[str, bytes | None]) -> None:
        self._folder = str(folder)
        self._next = ROOT + 1
        self.recording = Recording({ROOT: None}, {ROOT: {}})
        self._names: dict[int, dict[str, int]] = {ROOT: {}}
        self._sizes: dict[int, int] = {}
        self._offsets: dict[str, int] = {}
        self._appending: set[str] = set()
        for path in sorted(before):
            parent, _, name = path.rpartition("/")
            inode = self._new()
            self._names[self._find(parent)][name] = inode
            content = before[path]
            self.recording.before[inode] = content
            if content is None:
                self._names[inode] = {}
            else:
                self._sizes[inode] = len(content)
        self.recording.names = {inode: dict(names) for inode, names in self._names.items()}

    def take(self, at: float, call: str) -> None:
        match = _CALL.match(call)
        if match is None or int(match[3]) < 0:
            return
        name, arguments, result = match[1], match[2], int(match[3])
        if name in ("openat", "creat"):
            self._opened(at, arguments, match[3])
        elif name in ("write", "pwrite64", "writev", "pwritev"):
            self._written(at, name, arguments, result)
        elif name == "lseek":
            self._offsets[arguments.split("<", 1)[0]] = result
        elif name in ("fsync", "fdatasync"):
            if (inode := self._of(arguments)) is not None:
                self._emit(Sync(at, inode))
        elif name == "ftruncate":
            self._resized(at, arguments, int(arguments.rsplit(", ", 1)[1]), shrinks=True)
        elif name == "fallocate":
            _, mode, offset, length = arguments.rsplit(", ", 3)
            if mode != "0":
                raise ValueError(f"cannot replay {call[:200]}")
            self._resized(at, arguments, int(offset) + int(length), shrinks=False)
        elif self._concerns(arguments):
            self._renamed(at, name, arguments, call)

    # --- Files -------------------------------------------------------------------------------

    def _opened(self, at: float, arguments: str, descriptor: str) -> None:
        self._offsets[descriptor] = 0
        self._appending.discard(descriptor)
        path = self._paths(arguments)[0]
        if "O_APPEND" in arguments:
            self._appending.add(descriptor)
        if path is None or "O_TMPFILE" in arguments:
            return
        folder, name = self._place(path)
        inode = self._names.get(folder, {}).get(name)
        if inode is None:
            if "O_CREAT" in arguments:
                inode = self._new()
                self._sizes[inode] = 0
                self._emit(Size(at, inode, 0))
                self._change(at, (folder, name, inode))
        elif "O_TRUNC" in arguments:
            self._sizes[inode] = 0
            self._emit(Size(at, inode, 0))

    def _written(self, at: float, name: str, arguments: str, count: int) -> None:
        inode = self._of(arguments)
        descriptor = arguments.split("<", 1)[0]
        if inode is None:
            return
        data = b"".join(_unescaped(one) for one in _STRING.findall(arguments))[:count]
        if len(data) != count:
            raise ValueError(f"{count} bytes were written and {len(data)} recorded")
        if name in ("pwrite64", "pwritev"):
            offset = int(arguments.rsplit(", ", 1)[1])
        else:
            offset = (
                self._sizes[inode] if descriptor in self._appending else self._offsets[descriptor]
            )
            self._offsets[descriptor] = offset + count
        self._sizes[inode] = max(self._sizes[inode], offset + count)
        self._emit(Data(at, inode, offset, data))

    def _resized(self, at: float, arguments: str, size: int, *, shrinks: bool) -> None:
        inode = self._of(arguments)
        if inode is not None and (shrinks or size > self._sizes[inode]):
            self._sizes[inode] = size
            self._emit(Size(at, inode, size))

    # --- Names -------------------------------------------------------------------------------

    def _renamed(self, at: float, call: str, arguments: str, text: str) -> None:
        paths = self._paths(arguments)
        places = [None if path is None else self._place(path) for path in paths]
        if call in ("mkdir", "mkdirat"):
            (place,) = places
            assert place is not None
            inode = self._new()
            self._names[inode] = {}
            self.recording.names.setdefault(inode, {})
            self._change(at, (*place, inode))
        elif call in ("unlink", "unlinkat", "rmdir"):
            (place,) = places
            assert place is not None
            self._change(at, (*place, None))
        elif call in ("rename", "renameat", "renameat2", "link", "linkat") and None not in places:
            old, new = places
            assert old is not None
            assert new is not None
            inode = self._names[old[0]][old[1]]
            gone = () if call.startswith("link") else ((*old, None),)
            self._change(at, *gone, (*new, inode))
        else:
            raise ValueError(f"cannot replay {text[:200]}")

    def _change(self, at: float, *changes: tuple[int, str, int | None]) -> None:
        for folder, name, inode in changes:
            if inode is None:
                self._names[folder].pop(name, None)
            else:
                self._names[folder][name] = inode
        self._emit(Names(at, changes))

    def _concerns(self, arguments: str) -> bool:
        return any(path is not None for path in self._paths(arguments))

    def _paths(self, arguments: str) -> Sequence[str | None]:
        """Paths in a call, relative to the folder; None for those elsewhere."""
        found: list[str | None] = []
        start = re.match(r"^\w+<((?:\\x[0-9a-f]{2})+)>", arguments)
        base = _unescaped(start[1]).decode() if start else ""
        for text in _STRING.findall(arguments):
            path = _unescaped(text).decode()
            found.append(self._relative(path if path.startswith("/") else f"{base}/{path}"))
        return found or [None]

    def _relative(self, path: str) -> str | None:
        if path == self._folder:
            return ""
        return (
            path.removeprefix(f"{self._folder}/") if path.startswith(f"{self._folder}/") else None
        )

    def _of(self, arguments: str) -> int | None:
        """The inode of a call's descriptor, if it has a name below the folder."""
        match = _FILE.match(arguments)
        if match is None or match[3]:
            return None
        path = self._relative(_unescaped(match[2]).decode())
        return None if path is None else self._find(path)

    def _place(self, path: str) -> tuple[int, str]:
        parent, _, name = path.rpartition("/")
        return self._find(parent), name

    def _find(self, path: str) -> int:
        inode = ROOT
        for name in filter(None, path.split("/")):
            inode = self._names[inode][name]
        return inode

    def _new(self) -> int:
        self._next += 1
        return self._next

    def _emit(self, operation: Operation) -> None:
        self.recording.operations.append(operation)
