"""Built engines on disk: only a file that is complete, ours, and built for exactly this is run.

An engine file is executable code for one GPU.  A digest finds damage, not malice, so the folder
and its files belong to the service's user, and no other user may write to them.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path
from typing import Annotated, Final

import msgspec
import structlog

from telecommands.failure import UNDECODABLE
from telecommands.whole_file import write_whole

_log: Final = structlog.get_logger(__name__)

_MAGIC: Final = b"flightsw engine 1\n"
_KEPT: Final = 8  # files; those of models that left the flight unit are removed in time
_OTHERS_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


class EngineIdentity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an engine was built from and for; any difference makes it another engine."""

    model_id: str
    onnx_sha256: str
    tensorrt: str
    gpu: str
    compute_capability: str
    precision: str
    batch: Annotated[int, msgspec.Meta(ge=1)]
    tile_size: Annotated[int, msgspec.Meta(ge=1)]

    @property
    def file_name(self) -> str:
        """One name for all library versions, so that a new engine replaces the old one."""
        place = (self.model_id, self.gpu, self.compute_capability)
        shape = (self.precision, str(self.batch), str(self.tile_size))
        digest = hashlib.sha256("\0".join(place + shape).encode()).hexdigest()
        return f"{re.sub(r'[^A-Za-z0-9.+_-]', '_', self.model_id)[:80]}-{digest[:16]}.engine"


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    identity: EngineIdentity
    sha256: str


class EngineCache:
    """A folder of built engines.  Processes may share it; the last to store wins.

    A folder that cannot be used costs a build each time, and is reported once.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._reported = False

    def load(self, identity: EngineIdentity) -> bytes | None:
        """The engine built for exactly this, or None; a refused file is logged with its reason."""
        path = self._folder / identity.file_name
        try:
            self._require_own_folder()
            return _engine_inside(_read_ours(path), identity)
        except FileNotFoundError:
            return None
        except _Refused as refused:
            _log.warning("engine file refused", file=str(path), because=str(refused))
        except OSError as error:
            self._report_unusable(error)
        return None

    def store(self, identity: EngineIdentity, engine: bytes) -> None:
        """Keep an engine: it is on the disk under its name, complete, or not at all."""
        header = _Header(identity, hashlib.sha256(engine).hexdigest())
        content = _MAGIC + msgspec.json.encode(header) + b"\n" + engine
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._require_own_folder()
            write_whole(self._folder / identity.file_name, content, 0o600)
            self._remove_old()
        except OSError as error:
            self._report_unusable(error)

    def _require_own_folder(self) -> None:
        if distrust := _distrust(self._folder.stat()):
            raise PermissionError(f"the folder {distrust}")

    def _remove_old(self) -> None:
        """Keep the newest files, including those that an interrupted process left behind."""
        files = [path for path in self._folder.iterdir() if path.suffix in (".engine", ".partial")]
        for path in sorted(files, key=_age)[_KEPT:]:
            path.unlink(missing_ok=True)

    def _report_unusable(self, error: Exception) -> None:
        if not self._reported:
            self._reported = True
            _log.warning("engine cache unusable", folder=str(self._folder), because=str(error))


def default_folder() -> Path:
    """``$XDG_CACHE_HOME/flightsw/engines``, else below ``~/.cache`` (XDG Base Directory 0.8)."""
    configured = Path(os.environ.get("XDG_CACHE_HOME") or "relative")
    # The specification has relative paths ignored.
    root = configured if configured.is_absolute() else Path.home() / ".cache"
    return root / "flightsw" / "engines"


class _Refused(Exception):  # noqa: N818
    """Why a file must not be run."""


def _read_ours(path: Path) -> bytes:
    """Read a plain file of this user; checked on the open file, so that it cannot be swapped."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _Refused("it is not a plain file")
        if distrust := _distrust(status):
            raise _Refused(f"it {distrust}")
        return file.read()


def _distrust(status: os.stat_result) -> str:
    """Why a file of this status may not be ours alone; empty if it is."""
    if status.st_uid != os.geteuid():
        return f"belongs to user {status.st_uid}, not to {os.geteuid()}"
    if status.st_mode & _OTHERS_MAY_WRITE:
        return f"can be written by others (mode {status.st_mode & 0o7777:o})"
    return ""


def _engine_inside(content: bytes, identity: EngineIdentity) -> bytes:
    magic, (line, _, engine) = content[: len(_MAGIC)], content[len(_MAGIC) :].partition(b"\n")
    if magic != _MAGIC:
        raise _Refused("it is not an engine file of this software")
    try:
        header = msgspec.json.decode(line, type=_Header)
    except UNDECODABLE as error:
        raise _Refused(f"its header cannot be read ({error})") from error
    for field in EngineIdentity.__struct_fields__:
        expected, found = getattr(identity, field), getattr(header.identity, field)
        if expected != found:
            raise _Refused(f"it was built for {field} {found}, not {expected}")
    if hashlib.sha256(engine).hexdigest() != header.sha256:
        raise _Refused("it is truncated or was changed after it was written")
    return engine


def _age(path: Path) -> float:
    try:
        return -path.stat().st_mtime
    except FileNotFoundError:  # a neighbour removed it
        return 0.0
