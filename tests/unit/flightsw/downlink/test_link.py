"""The link over real sockets: receivers come, go, read slowly and send rubbish."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import zmq

from flightsw.downlink.contact import ContactWindow
from flightsw.downlink.link import MAX_REQUEST_BYTES, DownlinkLink, prepare_socket
from flightsw.downlink.taken import TakenBytes
from flightsw.downlink.transfer import Transfer
from telecommands.codec import decode_as, encode
from telecommands.dictionary import (
    Chunk,
    ChunkRequest,
    Code,
    DownlinkRefused,
    DownlinkReply,
    DownlinkRequest,
    NextProduct,
    NothingNow,
    OpenContact,
    ProductDelivered,
    ProductOffer,
    ProductReceived,
)
from tests.unit.flightsw.downlink.conftest import Board

_DEADLINE_MS = 10_000
_CHUNK = 64 << 10


class Receiver:
    """A DEALER that asks and reads."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> None:
        self.socket = context.socket(zmq.DEALER)
        self.socket.rcvtimeo = self.socket.sndtimeo = _DEADLINE_MS
        self.socket.linger = 0
        self.socket.rcvhwm = 1
        self.socket.rcvbuf = 4096
        self.endpoint = endpoint
        self.socket.connect(endpoint)

    def ask(self, request: DownlinkRequest) -> None:
        self.socket.send(encode(request))

    def reply(self) -> tuple[DownlinkReply, bytes]:
        header, *data = self.socket.recv_multipart()
        return decode_as(DownlinkReply, header, "a reply"), b"".join(data)

    def chunks(self, product: str, size: int) -> bytes:
        """The content; a chunk is as long as the service chose it."""
        content = b""
        while len(content) < size:
            self.ask(ChunkRequest(product=product, offset=len(content), credit=1))
            reply, data = self.reply()
            assert reply == Chunk(product=product, offset=len(content), size=len(data))
            content += data
        return content

    def refusal(self) -> Code:
        reply, _ = self.reply()
        assert isinstance(reply, DownlinkRefused)
        return reply.code


class Ground:
    """The link under test, and receivers for it."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.context = zmq.Context()
        self.faults: list[Exception] = []
        self.beats = threading.Semaphore(0)
        contact = ContactWindow(board.state)
        contact.open(OpenContact(bytes=2**40, seconds=86_400), time.monotonic(), 0)
        self.taken = TakenBytes(board.state, time.monotonic)
        self.transfer = Transfer(
            "sat-a",
            board.catalogue,
            contact,
            self.taken,
            lambda: _CHUNK,
            lambda record, client: None,
            lambda record, cause: None,
            time.time_ns,
            time.monotonic,
        )
        socket = self.context.socket(zmq.ROUTER)
        prepare_socket(socket)
        socket.sndbuf = 4096
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        self.endpoint = f"tcp://127.0.0.1:{port}"
        self.link = DownlinkLink(
            socket, self.transfer, self.beats.release, self.faults.append, lambda _: ""
        )
        self._receivers: list[Receiver] = []

    def receiver(self) -> Receiver:
        self._receivers.append(Receiver(self.context, self.endpoint))
        return self._receivers[-1]

    def close(self) -> None:
        assert self.link.stop(10)
        for receiver in self._receivers:
            receiver.socket.close()
        self.context.term()


@pytest.fixture
def ground(board: Board) -> Iterator[Ground]:
    ground = Ground(board)
    ground.link.start()
    yield ground
    ground.close()


def test_a_product_is_downlinked_and_delivered(ground: Ground) -> None:
    record = ground.board.add(size=5 * _CHUNK + 7)
    receiver = ground.receiver()
    receiver.ask(NextProduct())
    offer, _ = receiver.reply()
    assert isinstance(offer, ProductOffer)
    content = receiver.chunks(offer.product, offer.size)
    assert content == ground.board.path(record.product).read_bytes()
    receiver.ask(ProductReceived(product=offer.product, sha256=offer.sha256))
    assert receiver.reply()[0] == ProductDelivered(product=offer.product)
    receiver.ask(NextProduct())
    assert receiver.reply()[0] == NothingNow(code="EMPTY")


def test_requests_sent_together_are_all_answered_in_order(ground: Ground) -> None:
    first, second = ground.board.add(), ground.board.add()
    receiver = ground.receiver()
    ground.taken.add(first.product, "", 0, first.size)
    receiver.ask(ProductReceived(product=first.product, sha256=first.sha256))
    receiver.ask(NextProduct())
    assert receiver.reply()[0] == ProductDelivered(product=first.product)
    offer, _ = receiver.reply()
    assert isinstance(offer, ProductOffer)
    assert offer.product == second.product


def test_a_new_request_for_chunks_takes_the_place_of_the_earlier_one(ground: Ground) -> None:
    size = 400 * _CHUNK  # more than the sockets hold
    record = ground.board.add(size=size)
    ground.taken.add(record.product, "", 0, size)
    receiver = ground.receiver()
    receiver.ask(ChunkRequest(product=record.product, offset=0, credit=256))
    assert isinstance(receiver.reply()[0], Chunk)
    receiver.ask(ChunkRequest(product=record.product, offset=size - 1, credit=256))
    offsets = [0]
    while offsets[-1] != size - 1:
        reply, _ = receiver.reply()
        assert isinstance(reply, Chunk)
        offsets.append(reply.offset)
    assert len(offsets) < 256


def test_a_receiver_that_does_not_read_keeps_nobody_waiting(ground: Ground) -> None:
    record = ground.board.add(size=200 * _CHUNK)
    stuck = ground.receiver()
    stuck.ask(ChunkRequest(product=record.product, offset=0, credit=256))
    assert isinstance(stuck.reply()[0], Chunk)  # is being served, and reads no more
    other = ground.receiver()
    content = other.chunks(record.product, record.size)
    assert content == ground.board.path(record.product).read_bytes()


def test_a_receiver_that_goes_during_its_transfer_is_forgotten(ground: Ground) -> None:
    record = ground.board.add(size=200 * _CHUNK)
    gone = ground.receiver()
    gone.ask(ChunkRequest(product=record.product, offset=0, credit=256))
    gone.reply()
    gone.socket.close()
    other = ground.receiver()
    assert len(other.chunks(record.product, record.size)) == record.size


@pytest.mark.parametrize(
    "frames",
    [
        [b""],
        [b"\xc1"],
        [b"\x91" * 2000],
        [encode(NextProduct()), b"more"],
        [msgspec.msgpack.encode({"type": "launch", "v": 1})],
        [msgspec.msgpack.encode({"type": "next", "v": 1, "colour": "blue"})],
        [msgspec.msgpack.encode({"type": "chunks", "product": "../x", "offset": 0, "credit": 1})],
        [msgspec.msgpack.encode({"type": "chunks", "product": "x", "offset": -1, "credit": 1})],
        [msgspec.msgpack.encode({"type": "chunks", "product": "x", "offset": 0, "credit": 257})],
    ],
)
def test_what_is_not_a_request_is_refused_and_counted(ground: Ground, frames: list[bytes]) -> None:
    receiver = ground.receiver()
    receiver.socket.send_multipart(frames)
    assert receiver.refusal() is Code.MALFORMED
    assert ground.link.refused == 1
    receiver.ask(NextProduct())
    assert receiver.reply()[0] == NothingNow(code="EMPTY")


def test_an_oversized_request_hurts_only_its_sender(ground: Ground) -> None:
    ground.receiver().socket.send(bytes(MAX_REQUEST_BYTES + 1))
    receiver = ground.receiver()
    receiver.ask(NextProduct())
    assert receiver.reply()[0] == NothingNow(code="EMPTY")


def test_a_request_that_skips_a_thousand_products_is_not_oversized(ground: Ground) -> None:
    receiver = ground.receiver()
    receiver.ask(NextProduct(skip=tuple(f"{number:064d}" for number in range(1000))))
    assert receiver.reply()[0] == NothingNow(code="EMPTY")


def test_more_requests_than_are_served_at_the_same_time_are_refused(ground: Ground) -> None:
    record = ground.board.add(size=200 * _CHUNK)
    receiver = ground.receiver()
    receiver.ask(ChunkRequest(product=record.product, offset=0, credit=256))
    receiver.reply()  # and reads no more, so that the answers cannot go
    for _ in range(20):
        receiver.ask(NextProduct())
    _until(lambda: ground.link.refused > 0, ground)


def test_a_fault_of_the_service_is_reported_and_refused(ground: Ground, tmp_path: Path) -> None:
    record = ground.board.add()
    path = ground.board.path(record.product)
    path.unlink()
    path.mkdir()  # neither a product's file nor removable as one
    receiver = ground.receiver()
    receiver.ask(ChunkRequest(product=record.product, offset=0, credit=1))
    assert receiver.refusal() is Code.INTERNAL
    assert len(ground.faults) == 1
    receiver.ask(NextProduct(skip=(record.product,)))
    assert receiver.reply()[0] == NothingNow(code="EMPTY")


def test_the_link_beats_while_nobody_asks(ground: Ground) -> None:
    for _ in range(3):
        assert ground.beats.acquire(timeout=10)


def test_the_link_stops_while_chunks_are_under_way(ground: Ground) -> None:
    record = ground.board.add(size=200 * _CHUNK)
    receiver = ground.receiver()
    receiver.ask(ChunkRequest(product=record.product, offset=0, credit=256))
    receiver.reply()
    assert ground.link.stop(10)
    assert ground.link.stop(10)


def test_a_link_that_never_started_stops_as_well(board: Board) -> None:
    Ground(board).close()


def _until(holds: Callable[[], bool], ground: Ground) -> None:
    """Wait, heartbeat by heartbeat."""
    for _ in range(1000):
        if holds():
            return
        assert ground.beats.acquire(timeout=10)
    raise AssertionError("does not become true")
