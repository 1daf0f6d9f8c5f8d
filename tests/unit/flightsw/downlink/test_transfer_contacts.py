"""Contacts of any budget: every product arrives whole, and no contact exceeds its budget."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flightsw.downlink.link_rate import LinkRate
from flightsw.state import StateFile
from telecommands.dictionary import Chunk, NextProduct, ProductOffer, ProductState
from tests.unit.flightsw.downlink.conftest import Board
from tests.unit.flightsw.downlink.test_transfer import Station

_SECONDS = 300.0


class _Receiver:
    """Keeps what arrived in earlier contacts; the link carries some bytes a second."""

    def __init__(self, station: Station, bytes_per_second: float, credit: int) -> None:
        self._station = station
        self._bytes_per_second = bytes_per_second
        self._credit = credit
        self.stored: dict[str, bytes] = {}
        self.sent = self.lost = 0

    def take_contact(self, lost_after: int) -> list[str]:
        """Receive until the contact ends or its link breaks after that many chunks.

        Returns the delivered products.
        """
        delivered: list[str] = []
        left = lost_after
        self._station.rate = LinkRate()  # a new connection
        while left > 0 and isinstance(offer := self._station.next(), ProductOffer):
            stored = self.stored.setdefault(offer.product, b"")
            arrived, broken = self._window(offer, len(stored), left)
            left -= len(arrived)
            self.stored[offer.product] = stored = stored + b"".join(arrived)
            if broken:
                break
            if len(stored) == offer.size:
                record = self._station.board.catalogue.stored(offer.product).record
                assert hashlib.sha256(stored).hexdigest() == offer.sha256
                self._station.received(record)
                delivered.append(offer.product)
        return delivered

    def _window(self, offer: ProductOffer, offset: int, left: int) -> tuple[list[bytes], bool]:
        """The chunks that arrive, and whether the link breaks behind them."""
        arrived: list[bytes] = []
        for step in self._station.chunks(offer.product, offset, self._credit):
            assert step is not None
            reply, data = step
            if not isinstance(reply, Chunk) or data is None:
                return arrived, False  # the contact ended
            self.sent += len(data)
            if len(arrived) == left:
                self.lost += len(data)
                return arrived, True
            self._station.now += len(data) / self._bytes_per_second
            arrived.append(data)
        return arrived, False


@given(
    sizes=st.lists(st.integers(0, 20_000), min_size=1, max_size=4),
    contacts=st.lists(st.tuples(st.integers(1, 9_000), st.integers(1, 30)), max_size=12),
    bytes_per_second=st.sampled_from((300.0, 1200.0, 2000.0, 1e8)),
    credit=st.integers(1, 8),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_sum_over_contacts_brings_every_product_whole(
    sizes: list[int], contacts: list[tuple[int, int]], bytes_per_second: float, credit: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, StateFile(Path(folder) / "state") as state:
        station = Station(Board(state, Path(folder)), chunk_bytes=4096)
        records = [station.board.add(size=size) for size in sizes]
        receiver = _Receiver(station, bytes_per_second, credit)
        delivered: list[str] = []
        for budget, lost_after in contacts:
            station.open_contact(budget, _SECONDS)
            before = receiver.sent
            delivered += receiver.take_contact(lost_after)
            assert receiver.sent - before == station.contact.spent_bytes <= budget
            station.now += 5400
        station.open_contact(10**6, 86_400)
        delivered += receiver.take_contact(10**6)
        assert sorted(delivered) == sorted(record.product for record in records)
        assert all(station.state(record) is ProductState.DELIVERED for record in records)
        assert receiver.sent == sum(sizes) + receiver.lost


def test_twelve_contacts_of_a_third_of_a_product_bring_the_small_one_first(board: Board) -> None:
    station = Station(board, chunk_bytes=1 << 20)
    for _ in range(3):
        board.add("geotiff", size=1_600_000)
    small = board.add("quicklook", size=321_000)
    receiver = _Receiver(station, 2000.0, 4)
    delivered: list[list[str]] = []
    for _ in range(12):
        station.open_contact(500_000, _SECONDS)
        delivered.append(receiver.take_contact(10**6))
        station.now += 5400
    assert delivered[0] == [small.product]
    assert sum(map(len, delivered)) == 4
    assert receiver.sent == 3 * 1_600_000 + 321_000


def test_a_product_that_was_begun_is_finished_before_smaller_ones(board: Board) -> None:
    station = Station(board)
    large = board.add(size=1000)
    station.fetch(large.product, 0, credit=3)
    station.now += 2
    station.open_contact(200, 60)
    assert len(station.fetch(large.product, 300, credit=2)) == 200
    station.open_contact(200, 60)
    board.add(size=100)
    reply = station.next()
    assert isinstance(reply, ProductOffer)
    assert reply.product == large.product


def test_what_was_stored_before_the_end_of_a_contact_is_recorded_after_it(board: Board) -> None:
    station = Station(board)
    record = board.add(size=1000)
    station.open_contact(250, 60)
    *sent, _ = station.chunks(record.product)
    station.refusal(record.product, sum(len(data) for _, data in sent))
    assert board.catalogue.stored(record.product).record.confirmed == 250


def test_a_smaller_product_of_lower_priority_does_not_overtake(board: Board) -> None:
    station = Station(board)
    large, _small = board.add(size=1000), board.add(size=100)
    board.catalogue.prioritise(large.product, 9)
    station.open_contact(200, 60)
    reply = station.transfer.answer(NextProduct(), station.rate)
    ((offer, _),) = [step for step in reply if step is not None]
    assert isinstance(offer, ProductOffer)
    assert offer.product == large.product
