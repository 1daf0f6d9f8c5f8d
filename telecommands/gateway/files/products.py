"""Products on their way down: from the service to the CFDP peer, and only then confirmed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from telecommands.dictionary import ProductOffer
from telecommands.ground.downlink import ReceivedProduct
from telecommands.ground.errors import GroundError, NoAnswer, TransferFailed, product_error
from telecommands.ground.station import Station
from telecommands.whole_file import write_whole

ASK_S: Final = 0.5
"""Pause between two requests for the next product."""

_SILENCE_S: Final = 5.0
_RETRY_S: Final = 2.0
_HANDED_OVER: Final = b""
_PEER_PAUSE_S: Final = 60.0
"""A peer that failed is not tried again for this long: a contact must not be spent on waiting."""


class Send(Protocol):
    """Sends a file in the transaction of this number, which began before if it is ``resumed``."""

    def __call__(self, path: Path, name: str, number: int, *, resumed: bool) -> None: ...  # noqa: D102


class ProductHandOver:
    """Hands each product to the CFDP peer once.

    ``send`` returns when the peer has it whole, after :meth:`completed` was called.

    A file in ``folder`` is the record of a product until the service knows that it was handed over.
    It holds the number of its transaction from before the first PDU on, and is empty once the peer
    has reported that it has the product: a restart between any two of these steps resumes the
    transaction, or sends nothing.  ``numbers`` gives numbers that were never used before.
    """

    def __init__(
        self,
        folder: Path,
        send: Send,
        numbers: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._send, self._monotonic = folder, send, monotonic
        self._numbers = numbers
        self._not_before = 0.0

    def hand_on(self, offer: ProductOffer, path: Path) -> None:
        """Send the product; :class:`TransferFailed` if the peer does not have it."""
        record = self._record(offer.unit, offer.product, offer.sha256)
        begun = self._begun(record)
        if begun == _HANDED_OVER:
            return
        if self._monotonic() < self._not_before:
            cause = "waits on the ground: the CFDP peer failed a moment ago"
            raise TransferFailed(offer.product, cause, "Start the peer")
        resumed = begun is not None and begun.isdigit()
        number = int(begun) if begun is not None and resumed else self._begin(record)
        name = f"{offer.unit}_{offer.job}_{offer.name}"
        try:
            self._send(path, name, number, resumed=resumed)
        except TransferFailed:
            if self._begun(record) == _HANDED_OVER:
                return  # the report arrived when the transaction had been given up
            record.unlink(missing_ok=True)  # this transaction has ended; the next one begins again
            self._not_before = self._monotonic() + _PEER_PAUSE_S
            raise

    def completed(self, number: int) -> None:
        """The peer reported that it has all of this transaction; for any thread.

        Raises :class:`~telecommands.ground.errors.ProductError` if that cannot be kept.
        """
        for record in self._records():
            if self._begun(record) == b"%d" % number:
                self._hand_over(record)

    def confirmed(self, product: ReceivedProduct) -> None:
        """The service knows that the product arrived."""
        self._record(product.unit, product.product, product.sha256).unlink(missing_ok=True)

    def _records(self) -> list[Path]:
        try:
            return [path for path in self._folder.iterdir() if not path.name.startswith(".")]
        except OSError as error:
            raise product_error(self._folder, error) from error

    def _begun(self, record: Path) -> bytes | None:
        """The number of its transaction, or that it is handed over; None without a record."""
        try:
            return record.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise product_error(record, error) from error

    def _begin(self, record: Path) -> int:
        """A new transaction, which is on the disk before it is used."""
        number = self._numbers()
        try:
            write_whole(record, b"%d" % number)
        except OSError as error:
            raise product_error(record, error) from error
        return number

    def _hand_over(self, record: Path) -> None:
        try:
            write_whole(record, _HANDED_OVER)
        except OSError as error:
            raise product_error(record, error) from error

    def _record(self, unit: str, product: str, sha256: str) -> Path:
        return self._folder / f"{unit}.{product}.{sha256}"


class ProductRelay:
    """Receives products into ``folder`` whenever a contact is open, and hands each one over."""

    def __init__(
        self,
        station: Station,
        folder: Path,
        hand_over: ProductHandOver,
        done: Callable[[ReceivedProduct], None],
        failed: Callable[[GroundError], None],
    ) -> None:
        self._station, self._folder, self._hand_over = station, folder, hand_over
        self._done, self._failed = done, failed
        self._reported = ""

    def run(self, stop: threading.Event) -> None:
        """Relay until ``stop`` is set; an interrupted product is resumed next time."""

        def progress(_offer: ProductOffer, _stored: int) -> None:
            if stop.is_set():
                raise _StoppedError

        while not stop.is_set():
            try:
                with self._station.downlink(
                    self._folder, progress, self._hand_over.hand_on
                ) as receiver:
                    while not stop.is_set():
                        product = receiver.receive_next(_SILENCE_S)
                        if product is None:
                            stop.wait(ASK_S)
                            continue
                        self._hand_over.confirmed(product)
                        self._reported = ""
                        self._done(product)
            except _StoppedError:
                return
            except GroundError as error:
                if not stop.is_set():
                    self._report(error)
                stop.wait(ASK_S if isinstance(error, TransferFailed) else _RETRY_S)

    def _report(self, error: GroundError) -> None:
        """Report a repeated error once; without a service it occurs all the time."""
        if str(error) != self._reported and not isinstance(error, NoAnswer):
            self._failed(error)
        self._reported = str(error)


class _StoppedError(Exception):
    """The operator asked to stop."""
