"""The dashboard's bridge as an operator starts it, in its own process and on its own port."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from deploy.rig.flight_unit import FlightUnit, wait_until
from deploy.rig.ports import free_tcp_ports

_START_S = 30.0


class BridgeProcess:
    """``groundsim dashboard`` beside flight units; it may be killed and started again.

    Of several units there is a stations file below ``folder``, as is ``archive`` unless given.
    ``options`` are passed to the command.
    """

    def __init__(
        self,
        unit: FlightUnit,
        folder: Path,
        *others: FlightUnit,
        keys: Path | None = None,
        archive: Path | None = None,
        options: Sequence[str] = (),
    ) -> None:
        (self.port,) = free_tcp_ports(1)
        self.address = f"http://127.0.0.1:{self.port}"
        self.archive = archive or folder / "telemetry.sqlite"
        self._log = folder / "bridge.log"
        if others:
            stations = folder / "stations.toml"
            stations.write_text("".join(_table(one) for one in (unit, *others)))
            where = ["--stations", str(stations)]
        else:
            endpoints = str(unit.state / "endpoints.json")
            where = ["--keys", str(keys or unit.ground), "--endpoints", endpoints]
        self._command = [
            *(sys.executable, "-m", "telecommands.groundsim", "dashboard"),
            *("--port", str(self.port), "--archive", str(self.archive)),
            *("--received", str(folder / "received"), *where, *options),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    @cached_property
    def operators_address(self) -> str:
        """With the operator's token, as the command prints it."""
        command = [*self._command, "--address"]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_START_S)
        return done.stdout.strip()

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with self._log.open("ab") as log:
            # Ctrl-C goes to the owner, which stops it cleanly.
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, start_new_session=True
            )
        wait_until(self._answers, _START_S)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        try:
            self.ask("/api/units")
        except urllib.error.URLError:
            return False
        return True

    def kill(self) -> None:
        """End it as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def stop(self) -> None:
        """Stop it cleanly if it runs."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()

    def ask(self, path: str) -> Any:
        """Its answer to a GET, decoded."""
        with urllib.request.urlopen(self.address + path, timeout=10) as answer:  # noqa: S310 - http
            return json.load(answer)


def _table(unit: FlightUnit) -> str:
    endpoints = unit.state / "endpoints.json"
    return f'[{unit.unit}]\nendpoints = "{endpoints}"\nkeys = "{unit.ground}"\n'
