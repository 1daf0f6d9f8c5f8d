"""Landlock: a process gives up the file system, except for what it is about to need.

The kernel's own interface (https://docs.kernel.org/userspace-api/landlock.html); no library of the
package index that is kept and permissively licensed wraps it.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446  # the same on x86_64 and aarch64
_MACHINES: Final = ("x86_64", "aarch64")
_VERSION: Final = 1  # a flag: answer with the kernel's version of the interface
_BELOW_PATH: Final = 1  # a type of rule

_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_MAKE_DIR, _MAKE_FILE = 1 << 7, 1 << 8
_OF_FILES: Final = _WRITE_FILE | _READ_FILE
_READING: Final = _READ_FILE | _READ_DIR
_FILLING: Final = _READING | _WRITE_FILE | _MAKE_DIR | _MAKE_FILE
_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 5: 16}  # how many rights to files a version knows
_TRUNCATE_SINCE: Final = 3
_TRUNCATE: Final = 1 << 14
_TCP_SINCE, _SCOPES_SINCE = 4, 6
_TCP: Final = 0b11  # bind and connect
_SCOPES: Final = 0b11  # abstract Unix sockets, and signals to processes outside


def landlock_version() -> int:
    """The version of the kernel's interface, from 1 (Linux 5.13); 0: the kernel has none."""
    if platform.machine() not in _MACHINES:
        return 0
    return max(0, int(_libc().syscall(_CREATE, None, ctypes.c_size_t(0), _VERSION)))


def restrict_files(readable: Iterable[Path], fillable: Iterable[Path] = ()) -> None:
    """From now on, this thread and those it starts may only read what lies below ``readable``.

    Folders in ``fillable`` may also get new files and folders.  Nothing else is opened, listed,
    made, renamed, removed or executed, no TCP socket bound or connected, no process outside
    signalled, as far as the kernel's version knows.  What is open stays open.  Called again, it
    takes away more.  Paths that cannot be reached are left out.  Needs ``no_new_privs``.
    Raises :class:`OSError`.
    """
    version = landlock_version()
    handled = (1 << _RIGHTS[max(one for one in _RIGHTS if one <= version)]) - 1
    attributes = struct.pack("=Q", handled)
    if version >= _TCP_SINCE:
        attributes += struct.pack("=Q", _TCP)
    if version >= _SCOPES_SINCE:
        attributes += struct.pack("=Q", _SCOPES)
    rules = _call(_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0)
    try:
        filling = _FILLING | (_TRUNCATE if version >= _TRUNCATE_SINCE else 0)
        for paths, rights in ((readable, _READING), (fillable, filling)):
            for path in paths:
                _add(rules, path, rights)
        _call(_RESTRICT, rules, 0)
    finally:
        os.close(rules)


def _add(rules: int, path: Path, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what cannot be reached needs no rule
    try:
        allowed = rights if path.is_dir() else rights & _OF_FILES
        _call(_ADD_RULE, rules, _BELOW_PATH, struct.pack("=Qi", allowed, place), 0)
    finally:
        os.close(place)


def _call(number: int, *arguments: object) -> int:
    result = int(_libc().syscall(number, *arguments))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"Landlock: {os.strerror(error)}")
    return result


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
