"""The service's end of the telemetry link, in a process of its own: two packets each period.

``python -m deploy.benchmark.dashboard.publisher SETTINGS BOOT PORT PORT PORT`` binds and encrypts
as the service does, says on stdout when the first packet was published, and goes on until its
standard input ends; then it says how many periods it published.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from deploy.benchmark.dashboard.telemetry import PERIOD_S, telemetry_of
from deploy.rig.bridge_process import free_port
from deploy.rig.flight_unit import FlightUnit
from flightsw.config import read_settings
from flightsw.keys import KeyFolder
from flightsw.service.sockets import open_sockets, write_endpoints
from flightsw.telemetry.link import TelemetryLink
from flightsw.telemetry.packets import PacketStream
from telecommands.ground.station import StationEndpoints

_STOP_S: Final = 10.0


@dataclass(frozen=True)
class Published:
    """Of one boot: periods that were published, packets that found no room in the link."""

    periods: int
    dropped: int


class Publisher:
    """The process, from outside; each start is a boot of its own at the same port."""

    def __init__(self, unit: FlightUnit) -> None:
        self.boot = 0
        self._unit = unit
        self._ports = [str(free_port()) for _ in StationEndpoints.__struct_fields__]
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> float:
        """Start it; when its first packet was published (UTC seconds)."""
        self.boot += 1
        arguments = [str(self._unit.settings), str(self.boot), *self._ports]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "deploy.benchmark.dashboard.publisher", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is its owner's, who ends it in order
        )
        return float(self._told(self._process)["first_packet"])

    def stop(self) -> Published:
        """End it in order."""
        assert self._process is not None
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()
            return Published(**self._told(process))

    def kill(self) -> None:
        """As a power cut would; also where nothing runs."""
        if self._process is None:
            return
        with self._process as process:
            process.kill()

    def _told(self, process: subprocess.Popen[str]) -> Any:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], _STOP_S)
        line = process.stdout.readline() if ready else ""
        if not line:
            raise RuntimeError("the publisher says nothing; see above")
        return json.loads(line)


def main(settings: Path, boot: int, telecommand: int, telemetry: int, downlink: int) -> None:
    """Publish until standard input ends; nobody answers at the other two ports."""
    service = replace(
        read_settings(settings).service,
        telecommand_port=telecommand,
        telemetry_port=telemetry,
        downlink_port=downlink,
    )
    with open_sockets(service, KeyFolder(service.keys_folder)) as (sockets, _):
        write_endpoints(service.state_dir, sockets.endpoints)
        link = TelemetryLink(
            sockets.telemetry, PacketStream(boot), _nothing, time.time_ns, lambda _: None
        )
        link.start()
        try:
            periods = _publish(link, boot)
        finally:
            link.stop(_STOP_S)
        _say(periods=periods, dropped=link.dropped)


def _publish(link: TelemetryLink, boot: int) -> int:
    began, number = time.monotonic(), 0
    while True:
        number += 1
        for topic, record in telemetry_of(number, boot).items():
            link.publish(topic, record)
        if number == 1:
            _say(first_packet=time.time())
        wait = max(0.0, began + number * PERIOD_S - time.monotonic())
        if select.select([sys.stdin], [], [], wait)[0]:
            return number


def _say(**told: float) -> None:
    print(json.dumps(told), flush=True)


def _nothing() -> None:
    """Nobody watches this thread."""


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
