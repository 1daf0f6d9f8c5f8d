"""Commands in processes of their own, forked from one process that has loaded everything.

Such a process does what ``python -m flightsw`` does; only loading, which is most of the cost of a
start, is saved.  The tests start services and commands some two hundred times.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from multiprocessing.context import ForkServerContext
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import IO, Any, Final, Literal

from deploy.rig import flight_unit as rig
from deploy.rig.flight_unit import DaemonProcess, FlightUnit

Module = Literal["flightsw", "telecommands.groundsim"]

_ENTRIES: Final[Mapping[Module, tuple[str, str]]] = {
    "flightsw": ("flightsw.cli", "main_and_exit"),
    "telecommands.groundsim": ("telecommands.groundsim.cli", "main"),
}
"""What ``python -m`` of the module calls."""

_LOADED: Final = (
    "flightsw.cli", "flightsw.commands.serve", "flightsw.service.daemon", "flightsw.chain",
    "flightsw.products.product_set", "flightsw.dimc.simulator.runtime",
    "flightsw.engines.dimc.engine", "telecommands.groundsim.cli",
    "rasterio", "cv2", "glymur", "deploy.rig.loaded_openvino",
)  # fmt: skip
_DEATH_SIGNAL: Final = 1  # PR_SET_PDEATHSIG


def fork_server() -> ForkServerContext:
    """Processes started in this context are forked from the one that has loaded everything."""
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(list(_LOADED))
    return forks


def die_with_the_fork_server() -> None:
    """Have the calling process killed when the process that it was forked from ends."""
    ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)


class ForkedCommand:
    """A running command; a part of what :class:`subprocess.Popen` is."""

    def __init__(
        self, module: Module, arguments: Sequence[str], output: IO[Any], error: IO[Any]
    ) -> None:
        forks = fork_server()
        words = (module, list(arguments), str(Path.cwd()), dict(os.environ))
        self._child = forks.Process(target=_Command(*words, output, error), daemon=True)
        self._child.start()
        assert self._child.pid is not None
        self.pid = self._child.pid
        self.stdout: IO[str] | None = None

    def poll(self) -> int | None:
        """The exit status, that of a signal negative; None while it runs."""
        return self._child.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """The exit status at its end.  Raises :class:`subprocess.TimeoutExpired`."""
        self._child.join(timeout)
        status = self._child.exitcode
        if status is None:
            raise subprocess.TimeoutExpired(self._child.name, timeout or 0.0)
        return status

    def send_signal(self, number: int, /) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


class _Command:
    """What the forked process does; the files are duplicated when it is pickled."""

    def __init__(
        self,
        module: Module,
        arguments: list[str],
        folder: str,
        environ: dict[str, str],
        output: IO[Any],
        error: IO[Any],
    ) -> None:
        self._words = (module, arguments, folder, environ)
        self._files: tuple[Any, Any] = (output, error)

    def __getstate__(self) -> dict[str, Any]:
        files = tuple(DupFd(one.fileno()) for one in self._files)
        return {"_words": self._words, "_files": files}

    def __call__(self) -> None:
        die_with_the_fork_server()
        module, arguments, folder, environ = self._words
        for end, file in enumerate(self._files, start=1):
            os.dup2(descriptor := file.detach(), end)
            os.close(descriptor)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environ)
        place, name = _ENTRIES[module]
        sys.argv = [module, *arguments]
        sys.exit(getattr(import_module(place), name)())


def run_forked(
    module: Module, arguments: Sequence[str], timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """As :func:`subprocess.run` of ``python -m module`` with captured text."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as error:
        command = ForkedCommand(module, arguments, output, error)
        try:
            status = command.wait(timeout_s)
        finally:
            command.send_signal(signal.SIGKILL)
        said = []
        for file in (output, error):
            file.seek(0)
            said.append(file.read().decode())
    return subprocess.CompletedProcess([module, *arguments], status, *said)


class ForkedFlightUnit(FlightUnit):
    """Its daemon is forked, unless it has a launcher or an environment of its own."""

    def _launch(self, words: Sequence[str], environ: Mapping[str, str]) -> DaemonProcess:
        if self.launcher or environ:
            return super()._launch(words, environ)
        read, write = os.pipe()
        with os.fdopen(write, "wb") as output:
            command = ForkedCommand("flightsw", words, output, output)
        command.stdout = os.fdopen(read)
        return command


flight_unit = partial(rig.flight_unit, kind=ForkedFlightUnit)
