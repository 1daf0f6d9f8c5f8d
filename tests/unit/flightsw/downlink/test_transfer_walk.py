"""Any order of requests, telecommands and crashes: no product is lost, none delivered twice."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from flightsw.downlink.catalogue import CLASS_OF, ProductCatalogue
from flightsw.state import StateFile
from telecommands.dictionary import (
    Chunk,
    ListProducts,
    ProductDelivered,
    ProductKind,
    ProductOffer,
    ProductState,
)
from telecommands.refusal import Refusal
from tests.unit.flightsw.downlink.conftest import Board
from tests.unit.flightsw.downlink.test_transfer import Station


@dataclass
class _ModelProduct:
    state: ProductState = ProductState.QUEUED
    deliveries: int = 0
    reports: int = 0
    file: bool = True


class TransferWalk(RuleBasedStateMachine):
    """Against a dictionary of products in memory."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._boots = itertools.count()
        self._state = StateFile(self._new_state_folder())
        self._board = Board(self._state, Path(self._folder.name))
        self._station = Station(self._board)
        self._model: dict[str, _ModelProduct] = {}

    def teardown(self) -> None:
        self._state.close()
        self._folder.cleanup()

    def _new_state_folder(self) -> Path:
        return Path(self._folder.name) / f"state-{next(self._boots)}"

    def _drawn(self, data: st.DataObject) -> tuple[str, _ModelProduct]:
        return data.draw(st.sampled_from(list(self._model.items())))

    @rule(kind=st.sampled_from(list(CLASS_OF)), size=st.integers(0, 450))
    def add(self, kind: ProductKind, size: int) -> None:
        self._model[self._board.add(kind, size=size).product] = _ModelProduct()

    @precondition(lambda self: self._model)
    @rule(data=st.data(), what=st.sampled_from(("hold", "release", "delete")))
    def telecommand(self, data: st.DataObject, what: str) -> None:
        name, product = self._drawn(data)
        delivered = product.state is ProductState.DELIVERED
        deleted = product.state is ProductState.DELETED
        refused = {"hold": delivered or deleted, "release": deleted, "delete": False}[what]
        try:
            getattr(self._board.catalogue, what)(name)
        except Refusal:
            assert refused
            return
        assert not refused
        if what == "hold":
            product.state = ProductState.HELD
        elif what == "delete":
            product.state, product.file = ProductState.DELETED, False
        else:
            product.state = ProductState.QUEUED

    @rule()
    def offer(self) -> None:
        reply = self._station.next()
        self._take_losses()
        waiting = [name for name, one in self._model.items() if one.state is ProductState.QUEUED]
        assert isinstance(reply, ProductOffer) == bool(waiting)
        if isinstance(reply, ProductOffer):
            assert reply.product in waiting

    @precondition(lambda self: self._model)
    @rule(data=st.data(), offset=st.integers(0, 450))
    def chunk(self, data: st.DataObject, offset: int) -> None:
        name, product = self._drawn(data)
        size = self._board.catalogue.stored(name).record.size
        ((reply, _), *_) = self._station.chunks(name, offset)
        sendable = product.state in (ProductState.QUEUED, ProductState.DELIVERED) and product.file
        assert isinstance(reply, Chunk) == (sendable and offset <= size)
        self._take_losses()

    @precondition(lambda self: self._model)
    @rule(data=st.data(), right=st.booleans())
    def receive(self, data: st.DataObject, right: bool) -> None:
        name, product = self._drawn(data)
        record = self._board.catalogue.stored(name).record
        reply = self._station.received(record, record.sha256 if right else "0" * 64)
        accepted = right and product.state is not ProductState.DELETED
        assert isinstance(reply, ProductDelivered) == accepted
        if accepted:
            product.deliveries += product.state is not ProductState.DELIVERED
            product.state = ProductState.DELIVERED
        self._take_losses()

    @rule()
    def crash(self) -> None:
        old, new = self._state, self._new_state_folder()
        shutil.copytree(old.path.parent, new)  # what the disk has at this instant
        old.close()
        self._take_deliveries()
        self._state = StateFile(new)
        self._board.state = self._state
        self._board.catalogue = ProductCatalogue(self._state)
        self._station = Station(self._board)

    @precondition(lambda self: self._model)
    @rule(data=st.data())
    def crash_within_a_deletion(self, data: st.DataObject) -> None:
        name, product = self._drawn(data)
        self._board.path(name).unlink(missing_ok=True)
        product.file = False
        self.crash()

    def _take_losses(self) -> None:
        for name, _ in self._station.lost:
            product = self._model[name]
            assert not product.file
            assert product.state is not ProductState.DELETED
            product.state = ProductState.DELETED
        self._station.lost.clear()

    def _take_deliveries(self) -> None:
        for record in self._station.delivered:
            self._model[record.product].reports += 1
        self._station.delivered.clear()

    @invariant()
    def the_record_is_true(self) -> None:
        listed = self._board.catalogue.list(ListProducts(states=(), limit=500)).products
        assert {one.product: one.state for one in listed} == {
            name: product.state for name, product in self._model.items()
        }
        self._take_deliveries()
        for name, product in self._model.items():
            assert self._board.path(name).exists() == product.file
            assert product.reports == product.deliveries


TransferWalk.TestCase.settings = settings(max_examples=30, stateful_step_count=25)
test_any_walk_of_requests_telecommands_and_crashes_keeps_the_record_true = TransferWalk.TestCase
