"""A CFDP entity on its own thread: the link, the two roles, and the clock."""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from cfdppy.handler.common import PacketDestination, get_packet_destination

from telecommands.gateway.files.library import read_pdu
from telecommands.gateway.files.receiving import FileReceiver
from telecommands.gateway.files.sending import FileSender
from telecommands.gateway.files.settings import LONGEST_PDU, CfdpSettings
from telecommands.ground.closable import Closable
from telecommands.ground.errors import GroundError, LinkError, TransferFailed

_TURN_S: Final = 0.05
_RECEIVED_A_TURN: Final = 256
_BURST_S: Final = 0.02  # of the rate at which PDUs are sent
_ENDING_S: Final = 5.0


class PduLink(Protocol):
    """Carries PDUs to and from the peer; either may lose them.

    ``ready``: file data may be sent now.
    """

    @property
    def ready(self) -> bool: ...  # noqa: D102

    def send(self, pdu: bytes) -> None: ...  # noqa: D102

    def receive(self, timeout_s: float) -> bytes | None: ...  # noqa: D102


class CfdpEntity(Closable):
    """Sends files one after the other and receives files, until it is closed.

    ``completed`` is that of :class:`FileSender`, called on the entity's thread.  ``counts`` counts
    the PDUs that were not what they should be, by what was wrong.
    """

    def __init__(
        self,
        settings: CfdpSettings,
        link: PduLink,
        receiver: FileReceiver,
        counts: Counter[str],
        completed: Callable[[int], None] = lambda _number: None,
    ) -> None:
        self._settings, self._link, self.counts = settings, link, counts
        self._sender = FileSender(settings, counts, completed)
        self._receiver = receiver
        self._waiting: queue.Queue[_Order] = queue.Queue(1)
        self._order: _Order | None = None
        self._allowance = 0.0
        self._filled_at = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cfdp", daemon=True)
        self._thread.start()

    def send(self, path: Path, name: str, number: int, *, resumed: bool = False) -> None:
        """Send a file; returns after the peer reported that it has all of it.

        ``number`` is that of the transaction: never used before, unless it is ``resumed``.
        Raises :class:`TransferFailed` with the reason if the peer has not all of it, and what the
        file's own errors are; the peer then has no file of this transaction.  Raises
        :class:`LinkError` if the entity ends meanwhile: the transaction may be resumed.
        """
        order = _Order(path, name, number, resumed, queue.Queue(1))
        self._waiting.put(order, timeout=_ENDING_S)
        while not self._stop.is_set() and self.alive:
            try:
                outcome = order.answer.get(timeout=_TURN_S)
            except queue.Empty:
                continue
            if isinstance(outcome, GroundError):
                raise outcome
            if outcome:
                cure = "Check the peer's log and its address; the file is sent again"
                raise TransferFailed(name, f"did not reach the CFDP peer: {outcome}", cure)
            return
        raise LinkError(name, "is still on its way: the gateway ended", "Start it again")

    @property
    def alive(self) -> bool:
        """Whether the thread works."""
        return self._thread.is_alive()

    def close(self) -> None:
        """End the thread; a transaction that is not finished is given up."""
        self._stop.set()
        self._thread.join(_ENDING_S)

    # --- The thread --------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._turn()
        finally:
            self._stop.set()
            self._sender.abandon("the gateway ended")
            self._receiver.close()

    def _turn(self) -> None:
        sent = self._send_some()
        wait_s = 0.0 if sent else _TURN_S
        for _ in range(_RECEIVED_A_TURN):
            raw = self._link.receive(wait_s)
            if raw is None:
                break
            wait_s = 0.0
            self._transmit(self._take(raw))
        self._transmit(self._receiver.emit(time.monotonic()))
        self._follow()

    def _send_some(self) -> bool:
        """Send what the rate allows; whether there may be more."""
        if not self._sender.busy:
            return False
        now = time.monotonic()
        rate = self._settings.bytes_per_second
        earned = (now - self._filled_at) * rate
        self._allowance = min(self._allowance + earned, rate * _BURST_S)
        self._filled_at = now
        if not self._link.ready:
            self._transmit(self._sender.emit(0, now))
            return False
        if self._allowance <= 0:
            time.sleep(min(_TURN_S, -self._allowance / rate + 1e-4))
            return True
        pdus = self._sender.emit(int(min(self._allowance, 1 << 18)), now)
        self._allowance -= sum(map(len, pdus))
        self._transmit(pdus)
        return bool(pdus)

    def _take(self, raw: bytes) -> list[bytes]:
        if len(raw) > LONGEST_PDU:
            self.counts["oversized"] += 1
            return []
        try:
            pdu = read_pdu(raw)
            role = get_packet_destination(pdu)
        except ValueError:
            self.counts["unreadable"] += 1
            return []
        now = time.monotonic()
        if role is PacketDestination.SOURCE_HANDLER:
            return self._sender.take(pdu, now)
        return self._receiver.take(pdu, now)

    def _transmit(self, pdus: list[bytes]) -> None:
        for pdu in pdus:
            self._link.send(pdu)

    def _follow(self) -> None:
        """Answer the order that ended, and begin the next one."""
        if self._order is not None and not self._sender.busy:
            outcome = self._sender.outcome
            self._order.answer.put_nowait("it has no outcome" if outcome is None else outcome)
            self._order = None
        if self._order is None:
            try:
                order = self._waiting.get_nowait()
            except queue.Empty:
                return
            try:
                now = time.monotonic()
                self._sender.begin(*order[:3], now, resumed=order.resumed)
            except GroundError as error:
                order.answer.put_nowait(error)
                return
            self._order = order


class _Order(NamedTuple):
    path: Path
    name: str
    number: int
    resumed: bool
    answer: queue.Queue[Any]
