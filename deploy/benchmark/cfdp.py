"""How fast a file goes by CFDP class 2 over the loopback, from one process to another.

    python -m deploy.benchmark.cfdp [MEGABYTES]

Both ends are this project's, nothing is lost on purpose, and the rate is the default one.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Final

from deploy.rig.ports import free_udp_ports
from telecommands.gateway.files.entity import CfdpEntity
from telecommands.gateway.files.link import UdpLink
from telecommands.gateway.files.receiving import FileReceiver
from telecommands.gateway.files.settings import CfdpSettings

_PDU_BYTES: Final = (4096, 8192, 32_768)
_RUNS: Final = 5
_HOST: Final = "127.0.0.1"


def measure(size: int, pdu_bytes: int, folder: Path) -> tuple[list[float], Counter[str]]:
    """Seconds of each run, and what was counted; the file of ``size`` bytes is random."""
    path = folder / "file"
    path.write_bytes(os.urandom(size))
    own, other = free_udp_ports(2)
    counts: Counter[str] = Counter()
    settings = CfdpSettings(pdu_bytes=pdu_bytes, resend_s=0.5)
    receiver = FileReceiver(settings, folder, lambda *_: False, lambda *_: None, counts)
    words = [str(folder), str(other), str(own), str(pdu_bytes)]
    child = [sys.executable, "-m", "deploy.benchmark.cfdp", "receive", *words]
    with (
        subprocess.Popen(child, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process,
        UdpLink((_HOST, own), (_HOST, other), counts) as link,
        CfdpEntity(settings, link, receiver, counts) as entity,
    ):
        assert process.stdout is not None
        process.stdout.readline()
        seconds = []
        for run in range(_RUNS):
            began = time.monotonic()
            entity.send(path, f"run{run}", run + 1)
            seconds.append(time.monotonic() - began)
        process.kill()
    for arrived in folder.glob("run*"):
        if arrived.read_bytes() != path.read_bytes():
            raise SystemExit(f"{arrived.name} is not the file that was sent")
        arrived.unlink()
    return seconds, counts


def _receive(folder: Path, own: int, other: int, pdu_bytes: int) -> None:
    """The other process; until it is killed."""
    counts: Counter[str] = Counter()
    settings = CfdpSettings(local=2, peer=1, pdu_bytes=pdu_bytes, resend_s=0.5)
    receiver = FileReceiver(settings, folder, lambda *_: True, lambda *_: None, counts)
    with (
        UdpLink((_HOST, own), (_HOST, other), counts) as link,
        CfdpEntity(settings, link, receiver, counts),
    ):
        print("ready", flush=True)
        sys.stdin.read()


def main(words: list[str]) -> None:
    """Print a line for each length of a PDU."""
    if words[:1] == ["receive"]:
        own, other, longest = map(int, words[2:])
        return _receive(Path(words[1]), own, other, longest)
    size = int(float(words[0]) * 1e6) if words else 20_000_000
    for pdu_bytes in _PDU_BYTES:
        with tempfile.TemporaryDirectory() as name:
            seconds, counts = measure(size, pdu_bytes, Path(name))
        rate = size / statistics.median(seconds) / 1e6
        slowest = size / max(seconds) / 1e6
        print(
            f"PDUs of {pdu_bytes:6} bytes: median {rate:5.1f} MB/s, slowest {slowest:5.1f} MB/s"
            f" of {_RUNS} runs  {dict(counts) or ''}"
        )
    return None


if __name__ == "__main__":
    main(sys.argv[1:])
