"""kill -9 of the file gateway in mid-file: each product must reach the CFDP peer whole, once.

    python -m deploy.faults.gateway_kills [KILLS]

A real service offers a mask, and a CFDP entity of another make receives it.  The gateway is killed
after random parts of the file have arrived, and once more after the peer has all of it, when its
report is on its way.
"""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deploy.faults.small_package import write_small_package
from deploy.rig.cfdp_peer import CfdpPeer, cfdp_peer
from deploy.rig.flight_unit import FlightUnit, flight_unit, wait_until
from deploy.rig.ports import free_udp_ports

_SIDE: Final = 600  # pixels of the scene: a mask of 360,000 bytes

_PDU: Final = 4096
_RATE: Final = 1e5  # bytes a second: slow enough to be killed in mid-file
_SETTLE_S: Final = 2.0
_LARGE_CONTACT: Final = {"bytes": 10**9, "seconds": 86_400.0}


def _queue_mask(unit: FlightUnit, folder: Path) -> dict[str, Any]:
    """Process a simulated scene; the record of its mask, which is queued for downlink."""
    words = ["scene", str(folder), "--size", str(_SIDE), "--seed", "5", "--json"]
    made = subprocess.run(
        [sys.executable, "-m", "telecommands.groundsim", *words],
        check=True,
        capture_output=True,
        timeout=300,
    )
    scene = unit.add_scene(Path(json.loads(made.stdout)["scene"]))
    done = unit.execute("PROCESS_SCENE", 600, scene=scene, products=["mask"])
    assert done.data.get("products"), done
    unit.execute("OPEN_CONTACT", **_LARGE_CONTACT)
    return _product(unit)


@dataclass(frozen=True)
class OfferedFile:
    """The one product that a service offers; ``delivered`` says whether it counts as delivered."""

    size: int
    sha256: str
    delivered: Callable[[], bool]


def kill_in_mid_file(
    gateway: Callable[[float], AbstractContextManager[subprocess.Popen[bytes]]],
    offered: OfferedFile,
    peer: CfdpPeer,
    bucket: Path,
    kills: int,
    choice: random.Random,
) -> list[str]:
    """Kill the gateway ``kills`` times while the file is on its way, and once when the peer has it.

    The answer is what was found wrong.  ``gateway`` starts one that sends a number of bytes a
    second; ``bucket`` is the peer's folder.
    """
    findings = []
    most = offered.size // _PDU // (kills + 1)
    for kill in range(kills):
        peer.printed()
        with gateway(_RATE) as process:
            for _ in range(choice.randint(1, max(1, most // 2))):
                peer.wait_for("segment", 60)
            process.kill()
            process.wait()
        if offered.delivered():
            findings.append(f"kill {kill}: the product counts as delivered")
    peer.hold_reports(held=True)
    with gateway(200 * _RATE) as process:
        peer.wait_for("reported", 60)
        process.kill()
        process.wait()
    if offered.delivered():
        findings.append("the product counts as delivered before its report arrived")
    peer.printed()
    peer.hold_reports(held=False)
    with gateway(200 * _RATE):
        wait_until(offered.delivered)
        time.sleep(_SETTLE_S)  # a second file would arrive now
    if again := [line for line in peer.printed() if line.startswith("segment")]:
        findings.append(f"{len(again)} segments arrived of a file that the peer had")
    files = list(bucket.iterdir())
    if len(files) != 1:
        findings.append(f"the peer has {len(files)} files: {[path.name for path in files]}")
    findings += [
        f"{path.name} is not the product"
        for path in files
        if hashlib.sha256(path.read_bytes()).hexdigest() != offered.sha256
    ]
    return findings


@contextmanager
def file_gateway(
    folder: Path, ports: tuple[int, int], rate: float, options: Sequence[str]
) -> Iterator[subprocess.Popen[bytes]]:
    """``groundsim cfdp`` in a process of its own; terminated at the end."""
    own, other = (f"127.0.0.1:{port}" for port in ports)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "telecommands.groundsim", "cfdp", str(folder)),
            *("--listen", own, "--peer", other, "--rate", str(rate), "--pdu-bytes", str(_PDU)),
            *options,
        ],
        stdout=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def station_options(unit: FlightUnit) -> tuple[str, ...]:
    """Options of groundsim that connect it to the unit."""
    return "--keys", str(unit.ground), "--endpoints", str(unit.state / "endpoints.json")


def _product(unit: FlightUnit) -> dict[str, Any]:
    states = ["QUEUED", "HELD", "DELIVERED"]
    (found,) = unit.execute("LIST_PRODUCTS", states=states).data["products"]
    product: dict[str, Any] = found
    return product


def main() -> int:
    """Run the campaign; exit status 1 if anything was found."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    own, other = free_udp_ports(2)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with flight_unit(folder / "unit") as unit:
            unit.use_package(write_small_package(folder / "package"))
            unit.start()
            mask = _queue_mask(unit, folder / "scenes")
            offered = OfferedFile(
                mask["size"], mask["sha256"], lambda: _product(unit)["state"] == "DELIVERED"
            )

            def gateway(rate: float) -> AbstractContextManager[subprocess.Popen[bytes]]:
                options = station_options(unit)
                return file_gateway(folder / "received", (own, other), rate, options)

            bucket = folder / "bucket"
            with cfdp_peer(bucket, other, own) as peer:
                began = time.monotonic()
                choice = random.Random(1)
                findings = kill_in_mid_file(gateway, offered, peer, bucket, kills, choice)
                seconds = time.monotonic() - began
    print(f"{kills + 1} kills in {seconds:.0f} s: {len(findings)} findings")
    print(*findings, sep="\n")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
