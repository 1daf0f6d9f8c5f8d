"""A process gives up all system calls but a few: a classic BPF program, installed by prctl.

libseccomp and its bindings are not used: they are under the LGPL, and the list below is short.
A call that is not listed fails with EPERM; ``clone3`` with ENOSYS, after which the C library takes
``clone``, whose flags can be seen.
Numbers: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h of Linux.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Sequence
from typing import Final

_PARENT_DEATH, _DUMPABLE, _GET_SECCOMP, _SET_SECCOMP, _NO_NEW_PRIVILEGES = 1, 4, 21, 22, 38
_FILTER: Final = 2  # SECCOMP_MODE_FILTER
_ALLOW: Final = 0x7FFF0000
_FAIL: Final = 0x00050000
_KILL: Final = 0x80000000

_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06  # BPF: ld abs word, jeq, jset, ret
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_THREAD: Final = 0x00010000  # CLONE_THREAD
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_ARCHITECTURES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_COLUMN: Final = {"x86_64": 0, "aarch64": 1}
_ABSENT: Final = -1
# Numbers on x86_64 and aarch64.
_CALLS: Final = {
    # memory and threads
    "brk": (12, 214),
    "mmap": (9, 222),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "mprotect": (10, 226),
    "madvise": (28, 233),
    "mincore": (27, 232),
    "futex": (202, 98),
    "set_robust_list": (273, 99),
    "rseq": (334, 293),
    "set_tid_address": (218, 96),
    "membarrier": (324, 283),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "exit": (60, 93),
    "exit_group": (231, 94),
    # the process, as far as it sees itself
    "arch_prctl": (158, _ABSENT),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "getppid": (110, 173),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "getcpu": (309, 168),
    "uname": (63, 160),
    "sysinfo": (99, 179),
    "getrusage": (98, 165),
    "times": (100, 153),
    "getrandom": (318, 278),
    # signals to itself by the hardware
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    # time
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101),
    "gettimeofday": (96, 169),
    # reading, and answering on what is open
    "read": (0, 63),
    "readv": (19, 65),
    "pread64": (17, 67),
    "preadv": (295, 69),
    "preadv2": (327, 286),
    "readahead": (187, 213),
    "write": (1, 64),
    "writev": (20, 66),
    "lseek": (8, 62),
    "close": (3, 57),
    "fstat": (5, 80),
    "newfstatat": (262, 79),
    "stat": (4, _ABSENT),
    "lstat": (6, _ABSENT),
    "statx": (332, 291),
    "statfs": (137, 43),
    "fstatfs": (138, 44),
    "access": (21, _ABSENT),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "readlink": (89, _ABSENT),
    "readlinkat": (267, 78),
    "getcwd": (79, 17),
    "getdents": (78, _ABSENT),
    "getdents64": (217, 61),
    "fadvise64": (221, 223),
    "getrlimit": (97, 163),
    "poll": (7, _ABSENT),
    "ppoll": (271, 73),
    "dup": (32, 23),
    "recvmsg": (47, 212),
    "recvfrom": (45, 207),
    "sendmsg": (46, 211),
    "sendto": (44, 206),
    # strips
    "memfd_create": (319, 279),
    "ftruncate": (77, 46),
}
_FILLING: Final = {
    "mkdir": (83, _ABSENT),
    "mkdirat": (258, 34),
    "copy_file_range": (326, 285),
    "sendfile": (40, 71),
}
# Allowed for some arguments only.
_OPEN, _OPENAT, _CLONE, _CLONE3 = (2, _ABSENT), (257, 56), (56, 220), (435, 435)
_FCNTL, _LIMITS, _SIGNAL_THREAD = (72, 25), (302, 261), (234, 131)  # prlimit64, tgkill
_OF_DESCRIPTORS: Final = (0, 1, 2, 3, 1030, 1033, 1034)
"""What ``fcntl`` may do: F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC, F_ADD_SEALS and
F_GET_SEALS; not F_SETOWN, with which the kernel would signal another process."""

_Instruction = tuple[int, int, int, int]
_ALWAYS: Final[list[_Instruction]] = [(_RETURN, 0, 0, _ALLOW)]
_REFUSED: Final[_Instruction] = (_RETURN, 0, 0, _FAIL | errno.EPERM)


def seccomp_works() -> bool:
    """Whether system calls can be taken away on this kernel and machine."""
    known = platform.machine() in _ARCHITECTURES
    return known and ctypes.CDLL(None).prctl(_GET_SECCOMP, 0, 0, 0, 0) >= 0


def give_up_privileges() -> None:
    """Nothing that is executed gains rights, and no process of this user looks into this one.

    The process dies with its parent.  Raises :class:`OSError`.
    """
    for option, value in ((_NO_NEW_PRIVILEGES, 1), (_DUMPABLE, 0), (_PARENT_DEATH, 9)):
        _prctl(option, value)


def restrict_calls(*, filling: bool = False) -> None:
    """Take all calls away but those that reading and decoding need; threads are allowed.

    Files are opened for reading only and nothing is made, unless ``filling``.  No socket is made,
    nothing executed, no process made, traced, limited or signalled.  Needs ``no_new_privs``; for
    the calling thread and those it starts.  Called again, it takes away more.
    Raises :class:`OSError`.
    """
    program = b"".join(struct.pack("=HBBI", *one) for one in _program(filling=filling))
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    _prctl(_SET_SECCOMP, _FILTER, header)


def _program(*, filling: bool) -> list[_Instruction]:
    column = _COLUMN[machine := platform.machine()]
    found = [
        _load(_ARCHITECTURE),
        (_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL),
        _load(_NUMBER),
        *_if_call(_CLONE[column], _only_with(_THREAD)),
        *_if_call(_CLONE3[column], [(_RETURN, 0, 0, _FAIL | errno.ENOSYS)]),
        *_if_call(_FCNTL[column], _only_for(1, _OF_DESCRIPTORS)),
        *_if_call(_LIMITS[column], _only_for(0, [0])),  # of itself
        *_if_call(_SIGNAL_THREAD[column], _only_for(0, [os.getpid()])),  # abort()
    ]
    allowed = {**_CALLS, **_FILLING} if filling else _CALLS
    for number, flags in ((_OPEN[column], 1), (_OPENAT[column], 2)):
        found += _if_call(number, _ALWAYS if filling else _only_without(flags, _WRITING))
    for numbers in allowed.values():
        found += _if_call(numbers[column], _ALWAYS)
    return [*found, _REFUSED]


def _if_call(number: int, then: Sequence[_Instruction]) -> list[_Instruction]:
    """Instructions for a call's number in the accumulator; ``then`` ends with a return."""
    return [] if number == _ABSENT else [(_EQUAL, 0, len(then), number), *then]


def _only_for(argument: int, values: Sequence[int]) -> list[_Instruction]:
    equal = [(_EQUAL, len(values) - index, 0, value) for index, value in enumerate(values)]
    return [_load(_ARGUMENTS + 8 * argument), *equal, _REFUSED, *_ALWAYS]


def _only_with(bits: int) -> list[_Instruction]:
    return [_load(_ARGUMENTS), (_ANY_BIT, 1, 0, bits), _REFUSED, *_ALWAYS]


def _only_without(argument: int, bits: int) -> list[_Instruction]:
    return [_load(_ARGUMENTS + 8 * argument), (_ANY_BIT, 0, 1, bits), _REFUSED, *_ALWAYS]


def _load(offset: int) -> _Instruction:
    """The lower half of an argument, on the little-endian machines that have a column here."""
    return (_LOAD, 0, 0, offset)


def _prctl(option: int, *arguments: object) -> None:
    given = [one if isinstance(one, bytes) else ctypes.c_ulong(int(str(one))) for one in arguments]
    given += [ctypes.c_ulong(0)] * (4 - len(given))
    if ctypes.CDLL(None, use_errno=True).prctl(option, *given):
        error = ctypes.get_errno()
        raise OSError(error, f"prctl {option}: {os.strerror(error)}")
