"""The bridge as an operator starts it: in a process of its own, on a port of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from deploy.flight_unit import FlightUnit, wait_until

_START_S = 30.0


class BridgeProcess:
    """``groundsim dashboard`` beside a flight unit; it may be killed and started again."""

    def __init__(self, unit: FlightUnit, folder: Path, port: int, keys: Path | None = None) -> None:
        self.port = port
        self.address = f"http://127.0.0.1:{port}"
        self._log = folder / "bridge.log"
        self._command = [
            *(sys.executable, "-m", "telecommands.groundsim", "dashboard"),
            *("--port", str(port), "--archive", str(folder / "telemetry.sqlite"), "--fetch"),
            *("--received", str(folder / "received"), "--keys", str(keys or unit.ground)),
            *("--endpoints", str(unit.state / "endpoints.json")),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    @cached_property
    def operators_address(self) -> str:
        """With the operator's token, as the command tells it."""
        command = [*self._command, "--address"]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        wait_until(self._answers, _START_S)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        try:
            self.ask("/api/status")
        except urllib.error.URLError:
            return False
        return True

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def stop(self) -> None:
        """In order, where it runs."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()

    def ask(self, path: str) -> Any:
        with urllib.request.urlopen(self.address + path, timeout=10) as answer:
            return json.load(answer)

    def post_telecommand(self, name: str, args: Mapping[str, Any]) -> tuple[int, Any]:
        """As the page does, but by hand; status and answer."""
        headers = {
            "Content-Type": "application/json",
            "Origin": self.address,
            "X-Flightsw-Token": self.operators_address.partition("#token=")[2],
        }
        body = json.dumps({"name": name, "args": args}).encode()
        request = urllib.request.Request(f"{self.address}/api/telecommands", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)
