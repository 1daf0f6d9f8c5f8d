"""A CFDP entity of another make, the package ``cfdp``, in a process of its own.

    python -m deploy.rig.cfdp_peer FOLDER LISTEN PEER LOSS SEED

Files arrive in FOLDER, and a line ``put NAME`` on its input sends FOLDER/NAME.  It prints
``segment`` for each PDU of file data and, at the end of a transaction,
``ended SOURCE NUMBER CONDITION``.  LOSS of the PDUs are lost, both ways.  Between the lines
``hold`` and ``release`` each report that a file is complete (Finished PDU) is lost, and
``reported`` printed.
``cfdp`` 0.2 answers with one octet of the transaction's number, so that numbers must stay below
256.
"""

from __future__ import annotations

import queue
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from cfdp import CfdpEntity
from cfdp.constants import TransmissionMode
from cfdp.filestore import NativeFileStore
from cfdp.transport.udp import UdpTransport

PEER_ID: Final = 2
OWN_ID: Final = 1

_HOST: Final = "127.0.0.1"
_TIMER_S: Final = 0.4
_LIMIT: Final = 1000  # repetitions: neither 5 % loss nor a restart must end a transaction
_FILE_DATA: Final = 0x10  # in the first byte of a PDU
_FINISHED: Final = 5  # the first byte of a directive
_PACKET: Final = 6500  # the transport reads ten times as much


class CfdpPeer:
    """The process; ``lines`` are those that it printed and nobody has taken yet."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def put(self, name: str) -> None:
        """Send a file of its folder."""
        self._write(f"put {name}")

    def hold_reports(self, *, held: bool) -> None:
        """Lose the reports that a file is complete, or do not lose them any more."""
        self._write("hold" if held else "release")

    def wait_for(self, word: str, seconds: float = 30.0) -> list[str]:
        """The words of the next line that begins with ``word``; all others are dropped."""
        deadline = time.monotonic() + seconds
        while True:
            words = self._lines.get(timeout=max(0.0, deadline - time.monotonic())).split()
            if words and words[0] == word:
                return words

    def printed(self) -> list[str]:
        """All lines that were printed since the last call of a method that takes lines."""
        found = []
        while not self._lines.empty():
            found.append(self._lines.get_nowait())
        return found

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)


@contextmanager
def cfdp_peer(
    folder: Path, listen: int, peer: int, loss: float = 0.0, seed: int = 0
) -> Iterator[CfdpPeer]:
    """A peer that is ready; it is killed at the end."""
    folder.mkdir(exist_ok=True)
    words = [str(folder), str(listen), str(peer), str(loss), str(seed)]
    with subprocess.Popen(
        [sys.executable, "-m", "deploy.rig.cfdp_peer", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # its log
        text=True,
    ) as process:
        try:
            one = CfdpPeer(process)
            one.wait_for("ready")
            yield one
        finally:
            process.kill()


class _LossyUdp(UdpTransport):  # type: ignore[misc] # cfdp has no types
    def __init__(self, peer: int, loss: float, seed: int) -> None:
        super().__init__({"*": [(_HOST, peer)]}, _PACKET)
        self._loss, self._random = loss, random.Random(seed)
        self._deliver: Any = None
        self.holds_reports = False

    def request(self, data: bytes) -> None:
        if self.holds_reports and _content(data)[:1] == bytes([_FINISHED]):
            print("reported", flush=True)
        elif self._random.random() >= self._loss:
            super().request(data)

    @property
    def indication(self) -> Any:
        return self._arrived

    @indication.setter
    def indication(self, deliver: Any) -> None:
        self._deliver = deliver

    def _arrived(self, pdu: bytes) -> None:
        if self._random.random() >= self._loss:
            self._deliver(pdu)
            if pdu[0] & _FILE_DATA:
                print("segment", flush=True)


def _content(pdu: bytes) -> bytes:
    """What follows the header: four bytes, two entities, the number of the transaction."""
    return pdu[4 + 2 * ((pdu[3] >> 4 & 7) + 1) + (pdu[3] & 7) + 1 :]


class _Entity(CfdpEntity):  # type: ignore[misc]
    def transaction_finished_indication(
        self, transaction: Any, condition: int, *_: Any, **__: Any
    ) -> None:
        print("ended", *transaction, condition, flush=True)


def _main() -> None:
    folder, listen, peer, loss, seed = sys.argv[1:]
    transport = _LossyUdp(int(peer), float(loss), int(seed))
    entity = _Entity(
        PEER_ID,
        NativeFileStore(Path(folder)),
        transport,
        transaction_finished_indication_required=True,
        positive_ack_timer_interval=_TIMER_S,
        positive_ack_timer_expiration_limit=_LIMIT,
        nak_timer_interval=_TIMER_S,
        nak_timer_expiration_limit=_LIMIT,
    )
    transport.bind(_HOST, int(listen))
    print("ready", flush=True)
    for line in map(str.strip, sys.stdin):
        if line in ("hold", "release"):
            transport.holds_reports = line == "hold"
            continue
        name = line.removeprefix("put ")
        entity.put(OWN_ID, f"/{name}", name, transmission_mode=TransmissionMode.ACKNOWLEDGED)


if __name__ == "__main__":
    _main()
