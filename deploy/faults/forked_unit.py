"""A flight unit whose daemon is forked from a process that has loaded everything already.

The daemon is ``flightsw serve`` in a process of its own, as on board; only its loading, which is
most of the cost of a start, is saved.  Campaigns kill it a thousand times.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

from deploy.faults.moved_clock import install, set_offset
from deploy.rig.flight_unit import FlightUnit
from deploy.rig.forked import die_with_the_fork_server, fork_server
from telecommands.ground.errors import LinkError

_START_SECONDS: Final = 600.0
_END_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.01


class ForkedUnit(FlightUnit):
    """As :class:`FlightUnit`; :meth:`start` does not wait until the service is ready."""

    def __init__(self, folder: Path, *, package: Path) -> None:
        super().__init__(folder, package=package)
        self._forks = fork_server()
        self._child: BaseProcess | None = None
        self.clock: Path | None = None
        """File of :mod:`deploy.faults.moved_clock` that the daemon's time follows."""
        self._output = folder / "log"
        self._read = 0
        self._lines: list[dict[str, Any]] = []

    def start(
        self,
        *,
        wait: bool = False,
        environ: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
    ) -> None:
        """Fork the daemon; ``wait`` until it reports that it is ready."""
        (self.state / "endpoints.json").unlink(missing_ok=True)
        command = ["serve", "--settings", str(self.settings), *options]
        arguments = (command, self._output, self.clock, dict(environ or {}))
        self._child = self._forks.Process(target=_serve, args=arguments, daemon=True)
        self._child.start()
        if wait:
            self.wait_until_ready()

    def move_clock(self, seconds: float) -> None:
        """The daemon's UTC is this far from the true one, from now on."""
        assert self.clock is not None
        set_offset(self.clock, seconds)

    def wait_until_ready(self) -> None:
        """Until the present run has reported SERVICE_STARTED."""
        self._wait_for("SERVICE_STARTED")

    @property
    def endpoints(self) -> dict[str, str]:
        """Addresses of the present run; :class:`LinkError` before it listens."""
        try:
            found: dict[str, str] = json.loads((self.state / "endpoints.json").read_text())
        except FileNotFoundError as error:
            raise LinkError("the unit", "does not listen yet", "Wait") from error
        return found

    @property
    def alive(self) -> bool:
        """Whether the daemon runs."""
        return self._child is not None and self._child.is_alive()

    @property
    def pid(self) -> int:
        """Of the running daemon."""
        assert self._child is not None
        assert self._child.pid is not None
        return self._child.pid

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The log of all runs; a line that was cut short by a kill has only its text."""
        if self._output.exists():
            with self._output.open("rb") as file:
                file.seek(self._read)
                *whole, _ = file.read().split(b"\n")
            for line in whole:
                self._read += len(line) + 1
                try:
                    self._lines.append(json.loads(line))
                except ValueError:
                    self._lines.append({"event": "", "text": line.decode(errors="replace")})
        return self._lines

    def events(self, name: str) -> list[dict[str, Any]]:
        """Lines of the log with this event, over all runs."""
        return [line for line in self.lines if line.get("event") == name]

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._child is not None:
            self._child.kill()
            self._child.join(_END_SECONDS)

    def terminate(self) -> None:
        """Ask it to stop, as systemd does."""
        assert self._child is not None
        self._child.terminate()

    def stop(self) -> int:
        """Stop it as systemd does; the exit status."""
        self.terminate()
        return self.wait_for_end()

    def wait_for_end(self) -> int:
        """Until the daemon ends by itself; the exit status."""
        assert self._child is not None
        self._child.join(_END_SECONDS)
        assert self._child.exitcode is not None, "the daemon does not end"
        return self._child.exitcode

    def close(self) -> None:
        """Kill the daemon if it still runs."""
        self.kill()

    def _wait_for(self, event: str) -> None:
        before = len(self.events(event))
        deadline = time.monotonic() + _START_SECONDS
        while len(self.events(event)) == before:
            assert self.alive, self.lines[-5:]
            assert time.monotonic() < deadline, self.lines[-5:]
            time.sleep(5 * _POLL_SECONDS)


def _serve(
    command: Sequence[str], output: Path, clock: Path | None, environ: Mapping[str, str]
) -> None:
    """The daemon's life in the forked process."""
    from flightsw.cli import main  # noqa: PLC0415 - of the forked process

    die_with_the_fork_server()  # no daemon outlives its campaign
    if clock is not None:
        install(clock)
    os.environ.update({"OMP_NUM_THREADS": "1", **environ})
    log = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    status = main(list(command))
    sys.stdout.flush()
    os._exit(status)


@contextmanager
def forked_unit(folder: Path, *, package: Path) -> Iterator[ForkedUnit]:
    """A unit with this model package; no process is left running at the end."""
    unit = ForkedUnit(folder, package=package)
    try:
        yield unit
    finally:
        unit.close()
