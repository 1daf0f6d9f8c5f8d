"""A flight unit as an operator sets it up: keys, settings, the daemon in its own process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from flightsw.keys import KeyFolder
from telecommands.dictionary import Verification
from telecommands.ground.commanding import TelecommandClient
from telecommands.ground.connection import GroundKeys, read_ground_keys
from telecommands.ground.downlink import DownlinkReceiver
from telecommands.ground.sequence import SequenceFile
from telecommands.ground.telemetry import TelemetryClient
from telecommands.keys import generate_curve_pair, generate_telecommand_key

_START_SECONDS = 300.0
_STOP_SECONDS = 30.0


class DaemonProcess(Protocol):
    """A daemon's process, as :class:`subprocess.Popen` is one."""

    @property
    def pid(self) -> int: ...  # noqa: D102 - as subprocess says

    @property
    def stdout(self) -> IO[str] | None: ...  # noqa: D102

    def poll(self) -> int | None: ...  # noqa: D102

    def wait(self, timeout: float | None = None) -> int: ...  # noqa: D102

    def send_signal(self, number: int, /) -> None: ...  # noqa: D102


class FlightUnit:
    """Its folders, its daemon, and an operator with keys."""

    def __init__(
        self,
        folder: Path,
        *,
        threads: int = 1,
        lines: str = "",
        engines: Sequence[str] = ("dimc",),
        unit: str = "rig",
        package: Path | None = None,
    ) -> None:
        self.unit = unit
        self.folder = folder
        self.state = folder / "state"
        self.scenes = folder / "scenes"
        self.ground = folder / "ground"
        self.settings = folder / "flight.toml"
        self.clock_file = folder / "clock"  # if it exists, the daemon trusts the clock
        self.scenes.mkdir(parents=True)
        self.ground.mkdir(mode=0o700)
        self.settings.write_text(
            f"engines = {json.dumps(engines)}\n"
            f'[service]\nstate_dir = "{self.state}"\nscene_root = "{self.scenes}"\n'
            "telecommand_port = 0\ntelemetry_port = 0\ndownlink_port = 0\n"
            f'clock_file = "{self.clock_file}"\n'
            f'[dimc]\ncard = "simulator"\nthreads = {threads}\n{lines}'
        )
        if package is not None:
            self.use_package(package)
        keys = KeyFolder(self.state / "keys")
        public = keys.generate(unit)
        generate_curve_pair(self.ground, "operator")
        secret = generate_telecommand_key(self.ground, "operator")
        keys.authorise(self.ground / "operator.key", secret)
        (self.ground / "service.key").write_bytes(public.read_bytes())
        self.launcher: Sequence[str] = ()
        """A command that runs the daemon's, such as ``strace``."""
        self.process: DaemonProcess | None = None
        self.log: list[dict[str, Any]] = []
        self.announced = threading.Event()
        self._reader: threading.Thread | None = None

    def use_package(self, package: Path) -> None:
        """Name a model package in the settings; nobody need have signed it."""
        settings = self.settings.read_text()
        unsigned = settings.replace("[service]\n", "[service]\nunsigned_models = true\n", 1)
        self.settings.write_text(f'model = "{package}"\n{unsigned}')

    def add_scene(self, product: Path) -> str:
        """Link a product's files below the scene root; its path there."""
        target = self.scenes / product.name
        for source in product.rglob("*"):
            place = target / source.relative_to(product)
            if source.is_dir():
                place.mkdir(parents=True, exist_ok=True)
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                os.link(source, place)
        return product.name

    # --- The daemon --------------------------------------------------------------------------

    def start(
        self,
        *,
        wait: bool = True,
        environ: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
    ) -> None:
        """Start the daemon; ``wait`` until it reports that it is ready."""
        self.announced.clear()
        (self.state / "endpoints.json").unlink(missing_ok=True)
        words = ["serve", "--settings", str(self.settings), *options]
        self.process = self._launch(words, environ or {})
        self._reader = threading.Thread(target=self._read_log, args=(self.process,))
        self._reader.start()
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Until SERVICE_STARTED is in the log; fails with the log if the daemon ended."""
        assert self.announced.wait(_START_SECONDS), self.log[-5:]
        assert self.process is not None
        assert self.events("SERVICE_STARTED"), self.log[-5:]

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self._join()

    def stop(self) -> int:
        """Stop it as systemd does; the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self._join()

    def wait_for_end(self) -> int:
        """Until the daemon ends by itself; the exit status."""
        return self._join()

    def close(self) -> None:
        """Kill the daemon if it still runs."""
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def events(self, name: str) -> list[dict[str, Any]]:
        """Lines of the log with this event, over all runs."""
        return [line for line in self.log if line.get("event") == name]

    # --- The operator ------------------------------------------------------------------------

    @property
    def endpoints(self) -> dict[str, str]:
        """Addresses that the daemon listens at."""
        path = self.state / "endpoints.json"
        if path.exists():
            found: dict[str, str] = json.loads(path.read_text())
        else:  # no room for the file
            found = self.events("listening")[-1]["endpoints"]
        return found

    @property
    def keys(self) -> GroundKeys:
        """The operator's keys."""
        return read_ground_keys(self.ground, "operator")

    def client(self) -> TelecommandClient:
        """A telecommand client of the operator."""
        sequence = SequenceFile(self.ground / "operator.sequence")
        return TelecommandClient(self.endpoints["telecommand"], self.keys, sequence)

    def execute(self, name: str, /, timeout_s: float = 120.0, **args: Any) -> Verification:
        """Send a telecommand; its closing stage."""
        with self.client() as client:
            return client.execute(name, args, timeout_s)

    def telemetry(self, *topics: str) -> TelemetryClient:
        """A subscriber."""
        return TelemetryClient(self.endpoints["telemetry"], self.keys, topics or ("",))

    def receiver(self, folder: Path) -> DownlinkReceiver:
        """A receiver of products."""
        return DownlinkReceiver(self.endpoints["downlink"], self.keys, folder)

    # --- Inside ------------------------------------------------------------------------------

    def _launch(self, words: Sequence[str], environ: Mapping[str, str]) -> DaemonProcess:
        return subprocess.Popen(
            [*self.launcher, sys.executable, "-m", "flightsw", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environ},
        )

    def _read_log(self, process: DaemonProcess) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            try:
                self.log.append(json.loads(line))
            except ValueError:
                self.log.append({"event": "", "text": line.rstrip()})
            if self.log[-1].get("event") == "SERVICE_STARTED":
                self.announced.set()
        self.announced.set()  # it ended: there is nothing to wait for

    def _join(self) -> int:
        assert self.process is not None
        assert self._reader is not None
        status = self.process.wait(_STOP_SECONDS)
        self._reader.join(_STOP_SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


@contextmanager
def flight_unit(
    folder: Path,
    *,
    threads: int = 1,
    lines: str = "",
    engines: Sequence[str] = ("dimc",),
    unit: str = "rig",
    package: Path | None = None,
    kind: type[FlightUnit] = FlightUnit,
) -> Iterator[FlightUnit]:
    """A flight unit with the model that ships, or with ``package``; no process outlives it."""
    rig = kind(folder, threads=threads, lines=lines, engines=engines, unit=unit, package=package)
    try:
        yield rig
    finally:
        rig.close()


def wait_until(holds: Callable[[], Any], seconds: float = 60.0) -> None:
    """Poll a condition until it holds, the longer it takes the more seldom: asking costs time."""
    began = time.monotonic()
    while not holds():
        waited = time.monotonic() - began
        assert waited < seconds, f"the condition did not hold within {seconds:g} s"
        threading.Event().wait(max(0.02, waited / 20))
