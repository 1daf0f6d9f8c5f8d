"""The program that takes system calls away, run on both machines' numbers."""

from __future__ import annotations

import errno
import os
import platform
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from flightsw.host import seccomp

_ALLOWED, _KILLED = 0x7FFF0000, 0x80000000
_HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def answer_to(machine: str, call: int, *arguments: int, filling: bool = False) -> int:
    """What the kernel does about a call: its own interpreter, in a few lines."""
    data = {0: call, 4: _ARCHITECTURES[machine]}
    data |= {16 + 8 * place: value for place, value in enumerate((*arguments, *[0] * 6)[:6])}
    program = seccomp._program(filling=filling)
    place = value = 0
    while True:
        code, true, false, operand = program[place]
        place += 1
        if code == 0x06:
            return operand
        if code == 0x20:
            value = data[operand]
        elif code == 0x15:
            place += true if value == operand else false
        elif code == 0x45:
            place += true if value & operand else false
        else:
            raise AssertionError(code)


@pytest.fixture(params=["x86_64", "aarch64"])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(platform, "machine", lambda: request.param)
    return str(request.param)


def number_of(machine: str, name: str) -> int:
    """The kernel's number of a call, as this machine's headers have it."""
    if not _HEADERS[machine].exists():
        pytest.skip("the kernel's headers are not installed")
    if machine == "aarch64":
        name = {"newfstatat": "fstatat"}.get(name, name)
    found = re.search(rf"#define __NR(?:3264)?_{name}\s+(\d+)", _HEADERS[machine].read_text())
    assert found, name
    return int(found[1])


def test_the_numbers_are_those_of_the_kernel(machine: str) -> None:
    column = ("x86_64", "aarch64").index(machine)
    tables = {**seccomp._CALLS, **seccomp._FILLING}
    for name, numbers in tables.items():
        if numbers[column] >= 0:
            assert numbers[column] == number_of(machine, name), name


@pytest.mark.parametrize(
    "name",
    [
        "socket",
        "socketpair",
        "connect",
        "bind",
        "execve",
        "execveat",
        "ptrace",
        "kill",
        "tkill",
        "process_vm_readv",
        "pidfd_open",
        "unshare",
        "setns",
        "mount",
        "chroot",
        "bpf",
        "keyctl",
        "io_uring_setup",
        "userfaultfd",
        "prctl",
        "setrlimit",
        "ioctl",
        "openat2",
        "mkdirat",
        "unlinkat",
        "renameat2",
        "linkat",
        "symlinkat",
        "fchmodat",
        "fchownat",
        "truncate",
        "sched_setscheduler",
        "setpriority",
        "perf_event_open",
        "shmget",
    ],
)
def test_what_a_decoder_does_not_need_is_refused(machine: str, name: str) -> None:
    refused = 0x00050000 | errno.EPERM
    assert answer_to(machine, number_of(machine, name)) == refused


def test_files_are_opened_for_reading_only_unless_an_archive_is_unpacked(machine: str) -> None:
    refused = 0x00050000 | errno.EPERM
    call = number_of(machine, "openat")
    assert answer_to(machine, call, 0, 0, os.O_RDONLY | os.O_CLOEXEC) == _ALLOWED
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC):
        assert answer_to(machine, call, 0, 0, flags) == refused
        assert answer_to(machine, call, 0, 0, flags, filling=True) == _ALLOWED


def test_threads_are_made_and_processes_are_not(machine: str) -> None:
    refused = 0x00050000 | errno.EPERM
    thread, process = 0x3D0F00, 0x1200011
    assert answer_to(machine, number_of(machine, "clone"), thread) == _ALLOWED
    assert answer_to(machine, number_of(machine, "clone"), process) == refused
    unknown = 0x00050000 | errno.ENOSYS
    assert answer_to(machine, number_of(machine, "clone3")) == unknown


def test_only_this_process_is_signalled_and_limited(machine: str) -> None:
    refused = 0x00050000 | errno.EPERM
    for name, own in (("tgkill", os.getpid()), ("prlimit64", 0)):
        assert answer_to(machine, number_of(machine, name), own) == _ALLOWED
        assert answer_to(machine, number_of(machine, name), os.getppid()) == refused
    owner, duplicate = 8, 1030
    assert answer_to(machine, number_of(machine, "fcntl"), 1, duplicate) == _ALLOWED
    assert answer_to(machine, number_of(machine, "fcntl"), 1, owner) == refused


def test_calls_of_another_architecture_end_the_process(machine: str) -> None:
    other = {"x86_64": "aarch64", "aarch64": "x86_64"}[machine]
    assert answer_to(other, 0) == _KILLED


def test_the_kernel_takes_the_program() -> None:
    code = (
        "import socket; from flightsw.host.seccomp import *; give_up_privileges();"
        "restrict_calls(); print(open('/proc/self/status').read().count('Seccomp:\\t2'));"
        "socket.socket()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("1\n", 1)
    assert "PermissionError" in done.stderr
    assert socket.socket().close() is None  # this process still can
