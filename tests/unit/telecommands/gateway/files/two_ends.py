"""A sender and a receiver without sockets and threads; what passes between them can be changed."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from spacepackets.cfdp.pdu import PduFactory

from telecommands.gateway.files.library import read_pdu
from telecommands.gateway.files.receiving import FileReceiver
from telecommands.gateway.files.sending import FileSender
from telecommands.gateway.files.settings import CfdpSettings

_PATIENCE_S = 20.0


class TwoEnds:
    """``change`` gets each PDU and the direction (down: from the sender) and gives what arrives."""

    def __init__(self, folder: Path, *, largest: int = 10**6, pdu_bytes: int = 300) -> None:
        self.folder = folder
        self.inbox = folder / "inbox"
        self.inbox.mkdir(parents=True)
        self.counts: Counter[str] = Counter()
        self.settled: list[tuple[Path | None, str]] = []
        self.change: Callable[[bytes, bool], list[bytes]] = lambda pdu, _down: [pdu]
        times = {"resend_s": 0.005, "silence_s": 10.0}
        self.completed: list[int] = []
        self._numbers = itertools.count(1)
        self._settings = CfdpSettings(local=1, peer=2, pdu_bytes=pdu_bytes, **times)
        self.sender = FileSender(self._settings, self.counts, self.completed.append)
        self.receiver = FileReceiver(
            CfdpSettings(local=2, peer=1, pdu_bytes=pdu_bytes, largest_file=largest, **times),
            self.inbox,
            lambda _name, _size: True,
            lambda path, why: self.settled.append((path, why)),
            self.counts,
        )

    def send(
        self, content: bytes, name: str = "m.tar", number: int = 0, *, resumed: bool = False
    ) -> str:
        """Until the sender's transaction has ended; its outcome.  0: the next number."""
        path = self.folder / "file"
        path.write_bytes(content)
        number = number or next(self._numbers)
        self.sender.begin(path, name, number, time.monotonic(), resumed=resumed)
        deadline = time.monotonic() + _PATIENCE_S
        while self.sender.busy:
            assert time.monotonic() < deadline
            self.pass_on()
        self.pass_on()
        assert self.sender.outcome is not None
        return self.sender.outcome

    def kill_sender(self) -> None:
        """All that it knew is lost."""
        self.sender.abandon("killed")
        self.sender = FileSender(self._settings, self.counts, self.completed.append)

    def pass_on(self) -> None:
        """One turn of both ends."""
        now = time.monotonic()
        down = self.sender.emit(1000, now)
        for _ in range(10):
            up = [answer for pdu in self._changed(down, True) for answer in self._received(pdu)]
            up += self.receiver.emit(now)
            down = [
                answer
                for pdu in self._changed(up, False)
                for answer in self.sender.take(read_pdu(pdu), now)
            ]
            if not down:
                return

    def files(self) -> list[Path]:
        return sorted(self.inbox.iterdir())

    def _received(self, pdu: bytes) -> list[bytes]:
        return self.receiver.take(read_pdu(pdu), time.monotonic())

    def _changed(self, pdus: list[bytes], down: bool) -> list[bytes]:
        return [changed for pdu in pdus for changed in self.change(pdu, down)]


def is_file_data(pdu: bytes) -> bool:
    return not PduFactory.is_file_directive(pdu)
