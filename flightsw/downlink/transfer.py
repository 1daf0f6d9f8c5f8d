"""How products are downlinked: from a receiver's request to the replies that it gets.

Driven by one thread.  Several receivers may ask for the same product: delivery is recorded once,
and confirming it again changes nothing.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from math import inf
from typing import Final, NamedTuple, TypeAlias

from flightsw.downlink.catalogue import ProductCatalogue, StoredProduct
from flightsw.downlink.contact import ContactWindow
from flightsw.downlink.link_rate import LinkRate
from flightsw.downlink.taken import TakenBytes
from telecommands.dictionary import (
    VERSION,
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
    ProductRecord,
    ProductState,
)
from telecommands.refusal import Refusal

Step: TypeAlias = tuple[DownlinkReply, bytes | None] | None
"""A reply and, for a chunk, its bytes; None: no reply yet, ask again."""

_CONFIRM_SECONDS: Final = 1.0  # between writes of what a receiver has stored
_TRANSFER_SECONDS: Final = 60.0  # after its last request a product counts as under transfer
_LOST: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EIO)
_HASH_BYTES: Final = 4 << 20


class Transfer:
    """Answers requests.

    ``unit`` is the name of this unit.  ``delivered`` (with the client that confirmed) and ``lost``
    (with the cause) are called with each product that becomes so; ``taken`` knows who received
    which bytes; ``clock`` gives UTC in nanoseconds, ``monotonic`` seconds.
    """

    def __init__(
        self,
        unit: str,
        catalogue: ProductCatalogue,
        contact: ContactWindow,
        taken: TakenBytes,
        chunk_bytes: Callable[[], int],
        delivered: Callable[[ProductRecord, str], None],
        lost: Callable[[ProductRecord, str], None],
        clock: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        self._unit = unit
        self._catalogue = catalogue
        self._contact = contact
        self._taken = taken
        self._chunk_bytes = chunk_bytes
        self._delivered = delivered
        self._lost = lost
        self._clock = clock
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._marks: dict[str, _TransferMark] = {}

    def answer(
        self, request: DownlinkRequest, rate: LinkRate, client: str = ""
    ) -> Generator[Step, None, None]:
        """The replies to a client's request, made one by one as they are asked for; at least one.

        ``rate`` is that of the receiver's link; it learns from what the request confirms.
        Faults of the service (:class:`FlightError`, :class:`OSError`) are raised.
        """
        try:
            if request.v != VERSION:
                raise Refusal(
                    Code.WRONG_VERSION, f"the request has version {request.v}, not {VERSION}"
                )
            if isinstance(request, NextProduct):
                yield self._offer(request), None
            elif isinstance(request, ChunkRequest):
                yield from self._chunks(request, rate, client)
            else:
                yield from self._received(request, rate, client)
        except Refusal as refusal:
            product = "" if isinstance(request, NextProduct) else request.product
            yield DownlinkRefused(product=product, code=refusal.code, cause=refusal.cause), None

    def under_transfer(self) -> frozenset[str]:
        """Products that a receiver asked for within the last minute.  Any thread may ask."""
        since = self._monotonic() - _TRANSFER_SECONDS
        with self._lock:
            self._marks = {name: one for name, one in self._marks.items() if one.at >= since}
            return frozenset(self._marks)

    def _offer(self, request: NextProduct) -> DownlinkReply:
        contact = self._contact.state(self._monotonic())
        if not contact.open:
            return NothingNow(code="NO_CONTACT")
        while stored := self._catalogue.next(request.skip, contact.bytes_left):
            try:
                with _opened(stored):
                    return self._offer_of(stored.record)
            except _ProductLost as loss:
                self._give_up(stored.record, str(loss))
        return NothingNow(code="EMPTY")

    def _offer_of(self, record: ProductRecord) -> ProductOffer:
        return ProductOffer(
            unit=self._unit,
            product=record.product,
            job=record.job,
            kind=record.kind,
            downlink_class=record.downlink_class,
            name=record.name,
            size=record.size,
            sha256=record.sha256,
            chunk_bytes=self._chunk_bytes(),
            confirmed=record.confirmed,
        )

    def _chunks(self, request: ChunkRequest, rate: LinkRate, client: str) -> Iterator[Step]:
        stored = self._sendable(request.product)
        product, offset, size = request.product, request.offset, stored.record.size
        if offset > size:
            raise Refusal(
                Code.BAD_ARGUMENTS,
                f"offset {offset} is beyond the {size} bytes of {request.product}",
            )
        self._require_taken(stored.record, client, offset)
        self._note(stored.record, offset)
        rate.confirmed(request.product, offset, self._monotonic())
        chunk_bytes = rate.chunk_bytes(self._chunk_bytes())
        self._taken.keep(product, client, min(size, offset + request.credit * chunk_bytes))
        try:
            with _opened(stored) as descriptor:
                for _ in range(request.credit):
                    self._sendable(request.product)  # it may have been held or deleted meanwhile
                    length = self._contact.take(min(chunk_bytes, size - offset), self._monotonic())
                    if length is None:
                        raise Refusal(
                            Code.NO_CONTACT, "no contact window is open, or its bytes are used up"
                        )
                    data = os.pread(descriptor, length, offset)
                    if len(data) < length:
                        raise _ProductLost("its file became shorter")
                    self._taken.add(product, client, offset, length)
                    yield Chunk(product=product, offset=offset, size=length), data
                    offset += length
                    if offset >= size:
                        return
        except _ProductLost as loss:
            self._give_up(stored.record, str(loss))
            raise Refusal(Code.PRODUCT_STATE, f"{request.product} is lost: {loss}") from loss

    def _received(self, request: ProductReceived, rate: LinkRate, client: str) -> Iterator[Step]:
        stored = self._catalogue.stored(request.product)
        if stored.record.state is not ProductState.DELETED:
            self._require_taken(stored.record, client, stored.record.size)
        rate.confirmed(request.product, stored.record.size, self._monotonic())
        if request.sha256 != stored.record.sha256:
            yield from self._check(stored)
        if self._catalogue.delivered(request.product, request.sha256, self._clock()):
            with self._lock:
                self._marks.pop(request.product, None)
            self._delivered(self._catalogue.stored(request.product).record, client)
        yield ProductDelivered(product=request.product), None

    def _check(self, stored: StoredProduct) -> Iterator[Step]:
        """Whether it is our file that is damaged; a step for each few megabytes."""
        digest = hashlib.sha256()
        try:
            with _opened(stored) as descriptor:
                for offset in range(0, stored.record.size, _HASH_BYTES):
                    digest.update(os.pread(descriptor, _HASH_BYTES, offset))
                    yield None
            if digest.hexdigest() != stored.record.sha256:
                raise _ProductLost("its file is damaged")
        except _ProductLost as loss:
            self._give_up(stored.record, str(loss))

    def _require_taken(self, record: ProductRecord, client: str, offset: int) -> None:
        """Whether the client may say that it stored all bytes before ``offset``."""
        taken = self._taken.of(record.product, client)
        if offset > taken:
            who = client or "the receiver"
            cause = f"{who} has received {taken} of the {record.size} bytes of {record.product}"
            raise Refusal(Code.NOT_TAKEN, cause, "Receive it from the beginning")

    def _sendable(self, product: str) -> StoredProduct:
        """A product that may be downlinked; a delivered one may, to a second receiver."""
        stored = self._catalogue.stored(product)
        if stored.record.state not in (ProductState.QUEUED, ProductState.DELIVERED):
            raise Refusal(Code.PRODUCT_STATE, f"{product} is {stored.record.state.value}")
        return stored

    def _note(self, record: ProductRecord, offset: int) -> None:
        """A receiver has stored all before ``offset``.

        Recorded once a second at most, and once more after the contact.
        """
        self.under_transfer()  # forgets the old ones
        now = self._monotonic()
        after = not self._contact.state(now).open
        with self._lock:
            before = self._marks.get(record.product, _NO_MARK)
            waited = now - before.confirmed_at >= _CONFIRM_SECONDS or after > before.after
            due = waited and offset != record.confirmed and record.state is ProductState.QUEUED
            confirmed_at = now if due or before is _NO_MARK else before.confirmed_at
            self._marks[record.product] = _TransferMark(now, confirmed_at, after)
        if due:
            self._catalogue.confirm(record.product, offset)

    def _give_up(self, record: ProductRecord, cause: str) -> None:
        now = self._catalogue.stored(record.product).record
        if now.state is not ProductState.DELETED:  # by telecommand, a moment ago
            self._lost(self._catalogue.delete(record.product), cause)


class _TransferMark(NamedTuple):
    """When a product was last asked for, and its confirmed bytes last recorded; monotonic s.

    ``after``: it was asked for after the contact.
    """

    at: float
    confirmed_at: float
    after: bool


_NO_MARK: Final = _TransferMark(-inf, -inf, after=False)


class _ProductLost(Exception):  # noqa: N818 - reported as PRODUCT_LOST
    """A product's file is not what was recorded."""


@contextmanager
def _opened(stored: StoredProduct) -> Iterator[int]:
    """A descriptor of the product's file, which exists and has the recorded length."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # no wait at a pipe
    try:
        descriptor = os.open(stored.path, flags)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_size != stored.record.size:
                cause = f"its file has {found.st_size} bytes, not {stored.record.size}"
                raise _ProductLost(cause)
            yield descriptor
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _LOST:
            raise
        raise _ProductLost(f"its file cannot be read ({error.strerror})") from error
