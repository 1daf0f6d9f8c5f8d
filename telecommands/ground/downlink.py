"""Receive products: complete, checked, and resumed after an interruption."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar, cast

import msgspec
import zmq

from telecommands.codec import encode
from telecommands.dictionary import (
    Chunk,
    ChunkRequest,
    Code,
    DownlinkRefused,
    DownlinkReply,
    DownlinkRequest,
    NextProduct,
    NothingNow,
    ProductDelivered,
    ProductOffer,
    ProductReceived,
    Role,
)
from telecommands.ground.connection import Connection, GroundKeys, LinkClient
from telecommands.ground.credit import Credit
from telecommands.ground.errors import TransferFailed
from telecommands.ground.part_file import PartFile, is_complete, place_of

WINDOW_BYTES: Final = 32 << 20
"""Bytes of one request: no more than this is in transit, and on a slow link some seconds' worth.

The next window is requested when the last one is stored.  The pause of one round trip is
negligible for windows of 32 MiB, or of some seconds, on a link to orbit.
"""

RESEND_S: Final = 2.0
"""A request without a reply is sent again after this time."""

_OFFERS: Final[tuple[type[ProductOffer | NothingNow], ...]] = (ProductOffer, NothingNow)
_MOST_SKIPPED: Final = 100

ProgressCallback: TypeAlias = Callable[[ProductOffer, int], None]
"""Called with the product and the number of its bytes that are stored."""

HandOn: TypeAlias = Callable[[ProductOffer, Path], None]
"""Called with each product that is stored, before it is confirmed to the service.

What it raises leaves the product unconfirmed: the service offers it again.
"""

Reply = TypeVar("Reply")


class ReceivedProduct(msgspec.Struct, frozen=True):
    """A product that is stored at ``path`` and recorded as delivered by the service.

    ``transferred`` counts the bytes received in this call: fewer than ``size`` after an
    interruption, 0 if the file was already complete.
    """

    unit: str
    product: str
    job: str
    kind: str
    path: Path
    size: int
    sha256: str
    transferred: int


class DownlinkReceiver(LinkClient):
    """Receives products one by one into ``folder/UNIT/JOB/NAME``.  For one thread at a time.

    With the keys of a named unit, products of other units are refused.  A file appears complete
    and with the right SHA-256, or not at all.  An interruption leaves a
    hidden ``.part`` file beside it, from which the next call resumes.
    """

    def __init__(
        self,
        endpoint: str,
        keys: GroundKeys,
        folder: Path,
        *,
        progress: ProgressCallback | None = None,
        hand_on: HandOn | None = None,
        window_bytes: int = WINDOW_BYTES,
        resend_s: float = RESEND_S,
    ) -> None:
        self._folder = folder
        self._unit = keys.unit
        self._progress = progress or (lambda _offer, _stored: None)
        self._hand_on = hand_on or (lambda _offer, _path: None)
        self._credit = Credit(window_bytes)
        self._resend_s = resend_s
        self._skip: dict[str, None] = {}
        self.why_nothing = ""
        """After :meth:`receive_next` gave None: EMPTY or NO_CONTACT."""
        super().__init__(Connection(zmq.DEALER, endpoint, keys, role=Role.RECEIVE))

    def receive_next(
        self, timeout_s: float = 10.0, stall_s: float | None = None
    ) -> ReceivedProduct | None:
        """Receive the next product; None if none is available (:attr:`why_nothing`).

        ``timeout_s`` bounds the silence of the service, and ``stall_s`` (by default the same) the
        time without another stored byte; neither bounds the transfer.  Raises :class:`NoAnswer`
        after them, :class:`TransferFailed` for a product that cannot be received (the next call
        continues with another one) and :class:`~telecommands.ground.errors.ProductError` for one
        that cannot be stored.
        """
        reply: ProductOffer | NothingNow = self._ask(
            NextProduct(skip=tuple(self._skip)), _OFFERS, timeout_s
        )
        if isinstance(reply, NothingNow):
            self.why_nothing = reply.code
            self._skip.clear()
            return None
        try:
            return self._receive(reply, timeout_s, timeout_s if stall_s is None else stall_s)
        except _ContactEnded:
            self.why_nothing = "NO_CONTACT"
            return None
        except TransferFailed:
            if len(self._skip) < _MOST_SKIPPED:
                self._skip[reply.product] = None
            raise

    def _receive(self, offer: ProductOffer, timeout_s: float, stall_s: float) -> ReceivedProduct:
        if self._unit not in ("", offer.unit):
            cause = f"belongs to unit {offer.unit}, but {self._unit} was expected"
            raise TransferFailed(offer.product, cause, "Check the address of the unit")
        place = place_of(offer, self._folder)
        transferred = 0
        if not is_complete(place, offer):
            transferred = self._fetch_file(place, offer, timeout_s, stall_s)
        self._progress(offer, offer.size)
        self._hand_on(offer, place)
        try:
            self._confirm(offer.product, offer.sha256, timeout_s)
        except _NotTaken:  # the file came with another key, or while the service lost its record
            transferred = self._fetch_file(place, offer, timeout_s, stall_s)
            self._confirm(offer.product, offer.sha256, timeout_s)
        return ReceivedProduct(
            unit=offer.unit,
            product=offer.product,
            job=offer.job,
            kind=offer.kind,
            path=place,
            size=offer.size,
            sha256=offer.sha256,
            transferred=transferred,
        )

    def _fetch_file(
        self, place: Path, offer: ProductOffer, timeout_s: float, stall_s: float
    ) -> int:
        """Transfer the file into its place; the number of bytes received."""
        with PartFile(place, offer) as part:
            try:
                transferred = self._fetch_whole(part, offer, timeout_s, stall_s)
            except _NotTaken:  # what is stored came with another key
                part.restart()
                transferred = self._fetch_whole(part, offer, timeout_s, stall_s)
            part.publish()
        return transferred

    def _confirm(self, product: str, sha256: str, timeout_s: float) -> None:
        received = ProductReceived(product=product, sha256=sha256)
        self._ask(received, (ProductDelivered,), timeout_s)

    def _fetch_whole(
        self, part: PartFile, offer: ProductOffer, timeout_s: float, stall_s: float
    ) -> int:
        """Transfer until the part file is correct, at most twice; the number of bytes received."""
        transferred = 0
        for _ in range(2):
            start = part.position
            self._fetch(part, offer, stall_s)
            transferred += part.position - start
            if part.fits():
                return transferred
            wrong = part.sha256
            part.restart()
        part.remove()
        cause = "was received twice, each time with a wrong SHA-256"
        # The service compares this SHA-256 with its own file.
        with suppress(TransferFailed, _ContactEnded):
            self._confirm(offer.product, wrong, timeout_s)
        raise TransferFailed(offer.product, cause, "Check the events of the service")

    def _fetch(self, part: PartFile, offer: ProductOffer, stall_s: float) -> None:
        """Request window after window, and missing chunks again."""
        wait_s = min(self._resend_s, stall_s)
        heard_at = time.monotonic()
        try:
            while part.position < offer.size:
                before = part.position
                if self._fetch_window(part, offer, wait_s, stall_s):
                    wait_s = min(2 * wait_s, stall_s)  # chunks were slow, not lost
                if part.position > before:
                    heard_at = time.monotonic()
                elif time.monotonic() >= heard_at + stall_s:
                    raise self._connection.no_answer(f"sends no more of {offer.name}")
        except _ContactEnded:
            self._report_position(part.position, offer)
            raise

    def _fetch_window(
        self, part: PartFile, offer: ProductOffer, wait_s: float, stall_s: float
    ) -> bool:
        """Request a window and store its chunks; whether chunks were repeated.

        Ends ``wait_s`` after the last reply, or ``stall_s`` after the last stored chunk.
        """
        start, started = part.position, time.monotonic()
        credit, stored, longest = self._credit.chunks, 0, 0
        repeated = False
        deadline = started + stall_s
        self._request_chunks(offer, start, credit)
        while stored < credit and part.position < offer.size:
            received = self._reply(min(time.monotonic() + wait_s, deadline))
            if received is None:
                self._credit.stalled()
                return repeated
            reply, data = received
            chunk = self._expected(reply, (Chunk,), offer.product)
            if chunk is None or data is None or len(data) != chunk.size or not data:
                continue
            longest = max(longest, chunk.size)
            if chunk.offset == part.position:
                part.append(data)
                stored, deadline = stored + 1, time.monotonic() + stall_s
                self._progress(offer, part.position)
            elif chunk.offset < part.position:
                repeated = True
            elif chunk.offset + chunk.size >= min(offer.size, start + credit * longest):
                return repeated  # a chunk before it was lost
        if stored == credit:
            self._credit.arrived(longest, time.monotonic() - started)
        return repeated

    def _request_chunks(self, offer: ProductOffer, position: int, credit: int) -> None:
        self._connection.send(
            encode(ChunkRequest(product=offer.product, offset=position, credit=credit))
        )

    def _report_position(self, position: int, offer: ProductOffer) -> None:
        """The service learns what was stored before the contact ended; it refuses more."""
        self._request_chunks(offer, position, 1)
        self._reply(time.monotonic() + self._resend_s)

    def _ask(
        self, request: DownlinkRequest, kinds: tuple[type[Reply], ...], timeout_s: float
    ) -> Reply:
        """Send a request until it is answered; all other messages are old."""
        product = "" if isinstance(request, NextProduct) else request.product
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            self._connection.send(encode(request))
            resend_at = min(deadline, time.monotonic() + self._resend_s)
            while (received := self._reply(resend_at)) is not None:
                reply = self._expected(received[0], kinds, product)
                if reply is not None:
                    return reply
        raise self._connection.no_answer(f"did not answer within {timeout_s:g} s")

    def _expected(
        self, reply: DownlinkReply, kinds: tuple[type[Reply], ...], product: str
    ) -> Reply | None:
        """The reply if it is of these kinds and this product; a refusal is raised."""
        if isinstance(reply, kinds) and (not product or getattr(reply, "product", "") == product):
            return reply
        if isinstance(reply, NothingNow) and product and reply.code == "NO_CONTACT":
            raise _ContactEnded
        if isinstance(reply, DownlinkRefused) and reply.product in ("", product):
            if reply.code is Code.NO_CONTACT:
                raise _ContactEnded
            kind = _NotTaken if reply.code is Code.NOT_TAKEN else TransferFailed
            raise kind(
                reply.product or self._connection.endpoint,
                f"was refused with {reply.code.value}: {reply.cause}",
            )
        return None

    def _reply(self, deadline: float) -> tuple[DownlinkReply, memoryview | None] | None:
        frames = self._connection.receive(deadline) if time.monotonic() < deadline else None
        if frames is None:
            return None
        reply: DownlinkReply = self._decode(cast(Any, DownlinkReply), frames[0].bytes)
        return reply, frames[1].buffer if len(frames) == 2 else None


class _NotTaken(TransferFailed):
    """The service has no record that this client received the bytes."""


class _ContactEnded(Exception):  # noqa: N818 - no fault
    """The contact window closed, or its byte budget is spent."""
