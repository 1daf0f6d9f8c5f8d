"""What each request of a receiver is answered with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from flightsw.downlink.contact import ContactWindow
from flightsw.downlink.link_rate import LinkRate
from flightsw.downlink.taken import TakenBytes
from flightsw.downlink.transfer import Step, Transfer
from telecommands.dictionary import (
    Chunk,
    ChunkRequest,
    Code,
    DownlinkRefused,
    NextProduct,
    NothingNow,
    OpenContact,
    ProductDelivered,
    ProductOffer,
    ProductReceived,
    ProductRecord,
    ProductState,
)
from tests.unit.flightsw.downlink.conftest import Board

_CHUNK = 100


class Station:
    """A transfer under test: an open contact, clocks to move, and the reports of the service."""

    def __init__(self, board: Board, chunk_bytes: int = _CHUNK) -> None:
        self.now = 1000.0
        self.board = board
        self.rate = LinkRate()
        self.contact = ContactWindow(board.state)
        self.open_contact(2**40, 86_400)
        self.delivered: list[ProductRecord] = []
        self.confirmed_by: list[str] = []
        self.lost: list[tuple[str, str]] = []
        self.taken = TakenBytes(board.state, lambda: self.now)
        self.transfer = Transfer(
            "sat-a",
            board.catalogue,
            self.contact,
            self.taken,
            lambda: chunk_bytes,
            self._note_delivered,
            lambda record, cause: self.lost.append((record.product, cause)),
            lambda: int(self.now * 10**9),
            lambda: self.now,
        )

    def _note_delivered(self, record: ProductRecord, client: str) -> None:
        self.delivered.append(record)
        self.confirmed_by.append(client)

    def open_contact(self, bytes_: int, seconds: float) -> None:
        request = OpenContact(bytes=bytes_, seconds=seconds)
        self.contact.open(request, self.now, int(self.now * 10**9))

    def next(self, *skip: str) -> ProductOffer | NothingNow:
        ((reply, _),) = self._answers(NextProduct(skip=skip))
        assert isinstance(reply, (ProductOffer, NothingNow))
        return reply

    def chunks(self, product: str, offset: int = 0, credit: int = 256) -> Iterator[Step]:
        """The answer to a receiver that has all bytes before the offset."""
        self.taken.add(product, "", 0, offset)
        request = ChunkRequest(product=product, offset=offset, credit=credit)
        return self.transfer.answer(request, self.rate)

    def fetch(self, product: str, offset: int = 0, credit: int = 256) -> bytes:
        """The bytes of the chunks, which follow one another."""
        content = b""
        for step in self.chunks(product, offset, credit):
            assert step is not None
            reply, data = step
            assert reply == Chunk(product=product, offset=offset + len(content), size=len(data))
            content += data
        return content

    def received(self, record: ProductRecord, sha256: str = "") -> ProductDelivered | Code:
        """The answer to a receiver that has all bytes."""
        self.taken.add(record.product, "", 0, record.size)
        *_, (reply, _) = self._answers(
            ProductReceived(product=record.product, sha256=sha256 or record.sha256)
        )
        return _code(reply) if isinstance(reply, DownlinkRefused) else reply

    def refusal(self, product: str, offset: int = 0) -> Code:
        ((reply, _),) = self.chunks(product, offset)
        return _code(reply)

    def state(self, record: ProductRecord) -> ProductState:
        return self.board.catalogue.stored(record.product).record.state

    def _answers(self, request: NextProduct | ProductReceived) -> list[Step]:
        return [step for step in self.transfer.answer(request, self.rate) if step is not None]


def _code(reply: object) -> Code:
    assert isinstance(reply, DownlinkRefused)
    assert reply.cause
    return reply.code


@pytest.fixture
def station(board: Board) -> Station:
    return Station(board)


def test_an_offer_states_all_about_the_product(station: Station) -> None:
    record = station.board.add("geotiff", size=250)
    assert station.next() == ProductOffer(
        unit="sat-a",
        product=record.product,
        job=record.job,
        kind="geotiff",
        downlink_class=record.downlink_class,
        name=record.name,
        size=250,
        sha256=record.sha256,
        chunk_bytes=_CHUNK,
        confirmed=0,
    )


def test_skipped_products_are_not_offered(station: Station) -> None:
    first, second = station.board.add(), station.board.add()
    assert station.next(first.product).product == second.product
    assert station.next(first.product, second.product) == NothingNow(code="EMPTY")


def test_a_product_is_downlinked_whole_in_chunks(station: Station) -> None:
    record = station.board.add(size=250)
    content = station.fetch(record.product)
    assert hashlib.sha256(content).hexdigest() == record.sha256
    assert station.received(record) == ProductDelivered(product=record.product)
    assert [one.product for one in station.delivered] == [record.product]
    assert station.state(record) is ProductState.DELIVERED
    assert station.next() == NothingNow(code="EMPTY")


def test_no_more_chunks_come_than_the_credit(station: Station) -> None:
    record = station.board.add(size=1000)
    assert len(station.fetch(record.product, 130, credit=2)) == 2 * _CHUNK


def test_chunks_start_at_any_offset(station: Station) -> None:
    record = station.board.add(size=250)
    whole = station.fetch(record.product)
    assert station.fetch(record.product, 133) == whole[133:]


@pytest.mark.parametrize("size", [0, 250])
def test_asking_from_the_end_gives_one_empty_chunk(station: Station, size: int) -> None:
    record = station.board.add(size=size)
    ((reply, data),) = station.chunks(record.product, size)
    assert (reply, data) == (Chunk(product=record.product, offset=size, size=0), b"")


def test_an_offset_beyond_the_end_is_refused(station: Station) -> None:
    record = station.board.add(size=250)
    assert station.refusal(record.product, 251) is Code.BAD_ARGUMENTS


def test_unknown_held_and_deleted_products_do_not_go_down(station: Station) -> None:
    held, deleted = station.board.add(), station.board.add()
    station.board.catalogue.hold(held.product)
    station.board.catalogue.delete(deleted.product)
    assert station.refusal("job-9.mask.1") is Code.UNKNOWN_PRODUCT
    assert station.refusal(held.product) is Code.PRODUCT_STATE
    assert station.refusal(deleted.product) is Code.PRODUCT_STATE


def test_a_product_held_during_its_transfer_stops_there(station: Station) -> None:
    record = station.board.add(size=1000)
    steps = station.chunks(record.product)
    next(steps)
    station.board.catalogue.hold(record.product)
    ((reply, _),) = steps
    assert _code(reply) is Code.PRODUCT_STATE


def test_outside_a_contact_nothing_goes_down(station: Station) -> None:
    record = station.board.add()
    station.contact.close()
    assert station.next() == NothingNow(code="NO_CONTACT")
    assert station.refusal(record.product) is Code.NO_CONTACT


def test_a_product_that_was_received_is_recorded_outside_a_contact_too(station: Station) -> None:
    record = station.board.add()
    station.fetch(record.product)
    station.contact.close()
    assert station.received(record) == ProductDelivered(product=record.product)


def test_the_budget_is_used_to_its_last_byte(station: Station) -> None:
    record = station.board.add(size=1000)
    station.open_contact(250, 60)
    *sent, (reply, _) = station.chunks(record.product)
    assert [len(data) for _, data in sent] == [100, 100, 50]
    assert _code(reply) is Code.NO_CONTACT
    assert station.contact.spent_bytes == 250
    assert not station.contact.state(station.now).open


def test_a_contact_that_ends_stops_the_chunks(station: Station) -> None:
    record = station.board.add(size=1000)
    station.open_contact(10**6, 60)
    steps = station.chunks(record.product)
    next(steps)
    station.now += 60
    ((reply, _),) = steps
    assert _code(reply) is Code.NO_CONTACT


def test_delivery_is_reported_once_however_often_it_is_confirmed(station: Station) -> None:
    record = station.board.add()
    for _ in range(3):
        assert station.received(record) == ProductDelivered(product=record.product)
    assert len(station.delivered) == 1


def test_a_second_receiver_may_finish_what_the_first_confirmed(station: Station) -> None:
    record = station.board.add(size=250)
    steps = station.chunks(record.product)
    next(steps)
    station.received(record)
    assert sum(len(data) for _, data in steps) == 150
    assert station.received(record) == ProductDelivered(product=record.product)


def test_a_wrong_sha256_is_not_a_delivery(station: Station) -> None:
    record = station.board.add()
    assert station.received(record, "0" * 64) is Code.BAD_ARGUMENTS
    assert station.state(record) is ProductState.QUEUED
    assert station.delivered == station.lost == []


def test_a_wrong_sha256_of_a_damaged_file_reports_the_product_as_lost(
    station: Station,
) -> None:
    record = station.board.add()
    station.board.path(record.product).write_bytes(b"damaged???"[: record.size])
    assert station.received(record, "0" * 64) is Code.PRODUCT_STATE
    assert station.lost == [(record.product, "its file is damaged")]
    assert station.state(record) is ProductState.DELETED


def _remove(path: Path) -> None:
    path.unlink()


def _shorten(path: Path) -> None:
    path.write_bytes(b"")


def _make_link(path: Path) -> None:
    path.rename(path.with_suffix(".moved"))
    path.symlink_to(path.with_suffix(".moved"))


@pytest.mark.parametrize("damage", [_remove, _shorten, _make_link])
def test_the_next_product_is_offered_in_place_of_a_lost_one(station: Station, damage) -> None:
    lost, whole = station.board.add("report"), station.board.add("mask")
    damage(station.board.path(lost.product))
    assert station.next().product == whole.product
    assert [product for product, _ in station.lost] == [lost.product]
    assert station.state(lost) is ProductState.DELETED


def test_a_product_whose_file_is_lost_during_the_transfer_is_refused(station: Station) -> None:
    record = station.board.add(size=1000)
    steps = station.chunks(record.product)
    next(steps)
    station.board.path(record.product).write_bytes(b"short")
    ((reply, _),) = steps
    assert _code(reply) is Code.PRODUCT_STATE
    assert station.lost == [(record.product, "its file became shorter")]


def test_a_product_deleted_by_telecommand_is_not_called_lost(station: Station) -> None:
    record = station.board.add()
    station.board.catalogue.delete(record.product)
    assert station.received(record, "0" * 64) is Code.PRODUCT_STATE
    assert station.lost == []


def test_what_a_receiver_has_stored_is_recorded_once_a_second(station: Station) -> None:
    record = station.board.add(size=1000)
    for at, offset, recorded in ((0, 0, 0), (0.9, 300, 0), (1.2, 500, 500), (2.1, 700, 500)):
        station.now = 2000.0 + at
        next(station.chunks(record.product, offset))
        assert station.next().confirmed == recorded


def test_a_receiver_that_begins_again_is_believed(station: Station) -> None:
    record = station.board.add(size=1000)
    for offset in (500, 0):
        station.now += 2
        next(station.chunks(record.product, offset))
        assert station.next().confirmed == offset


def test_products_asked_for_within_a_minute_are_under_transfer(station: Station) -> None:
    first, second = station.board.add(), station.board.add()
    station.fetch(first.product)
    station.now += 40
    station.fetch(second.product)
    assert station.transfer.under_transfer() == {first.product, second.product}
    station.now += 40
    assert station.transfer.under_transfer() == {second.product}
    station.received(second)
    assert station.transfer.under_transfer() == frozenset()


def test_requests_of_another_version_are_refused(station: Station) -> None:
    ((reply, _),) = station.transfer.answer(NextProduct(v=1), station.rate)
    assert _code(reply) is Code.WRONG_VERSION


def test_only_the_client_that_took_all_bytes_confirms_them(station: Station) -> None:
    record = station.board.add(size=250)
    confirmation = ProductReceived(product=record.product, sha256=record.sha256)

    def answers(client: str, request: ChunkRequest | ProductReceived) -> list[object]:
        return [step[0] for step in station.transfer.answer(request, station.rate, client) if step]

    def chunks(offset: int, credit: int) -> ChunkRequest:
        return ChunkRequest(product=record.product, offset=offset, credit=credit)

    assert len(answers("alice", chunks(0, 2))) == 2
    for client, request in (
        ("bob", confirmation),
        ("alice", confirmation),
        ("bob", chunks(200, 1)),
        ("alice", chunks(201, 1)),
    ):
        [refused] = answers(client, request)
        assert _code(refused) is Code.NOT_TAKEN
    assert station.state(record) is ProductState.QUEUED
    assert len(answers("alice", chunks(200, 1))) == 1
    assert answers("alice", confirmation) == [ProductDelivered(product=record.product)]
    assert station.confirmed_by == ["alice"]
