"""Attacks on the downlink by clients that may use it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import zmq

from deploy.faults.attacks import PRODUCT_BYTES
from telecommands.codec import decode_as, encode
from telecommands.dictionary import (
    Chunk,
    ChunkRequest,
    Code,
    DownlinkRefused,
    DownlinkReply,
    NextProduct,
    ProductOffer,
    ProductReceived,
    ProductState,
    Stage,
)
from telecommands.ground.downlink import DownlinkReceiver
from tests.attacks.conftest import Attacked

_CONNECTIONS = 12  # of 12 MiB each, more than twice the growth that is allowed
_MOST_GROWTH_BYTES = 60 << 20


def _reply(frame: bytes) -> DownlinkReply:
    return decode_as(DownlinkReply, frame, "a reply")  # type: ignore[arg-type]


def _state(attacked: Attacked) -> ProductState:
    listed = attacked.unit.execute("LIST_PRODUCTS", states=("QUEUED", "DELIVERED"))
    return ProductState(listed.data["products"][0]["state"])


def _show_speed(socket: zmq.Socket[bytes], product: str) -> None:
    """Take some chunks without a pause: the service makes the next ones longer."""
    offset = 0
    for _ in range(11):  # the length doubles, to 1 MiB
        socket.send(encode(ChunkRequest(product=product, offset=offset, credit=1)))
        chunk = _reply(socket.recv_multipart()[0])
        assert isinstance(chunk, Chunk)
        offset += chunk.size


def test_who_took_nothing_or_half_confirms_nothing(attacked: Attacked) -> None:
    attacked.open_contact()
    product = attacked.product
    with attacked.dealer("receiver", "downlink") as socket:
        socket.send(encode(NextProduct()))
        offer = _reply(socket.recv())
        assert isinstance(offer, ProductOffer)
        confirmation = ProductReceived(product=offer.product, sha256=offer.sha256)
        for requests in ((), (ChunkRequest(product=product.product, offset=0, credit=1),)):
            for request in requests:
                socket.send(encode(request))
                socket.recv_multipart()
            socket.send(encode(confirmation))
            refused = _reply(socket.recv())
            assert isinstance(refused, DownlinkRefused)
            assert refused.code is Code.NOT_TAKEN
        behind = ChunkRequest(product=product.product, offset=PRODUCT_BYTES - 1, credit=1)
        socket.send(encode(behind))
        refused = _reply(socket.recv())
        assert isinstance(refused, DownlinkRefused)
        assert refused.code is Code.NOT_TAKEN
    assert _state(attacked) is ProductState.QUEUED


def test_receivers_that_do_not_read_starve_neither_others_nor_memory(
    attacked: Attacked, tmp_path: Path
) -> None:
    attacked.open_contact()
    before = attacked.memory_bytes()
    with ExitStack() as opened:
        product = attacked.product.product
        deaf = [
            opened.enter_context(attacked.dealer("receiver", "downlink"))
            for _ in range(_CONNECTIONS)
        ]
        # All are fast before the first is deaf: what waits for it is the share of all of them.
        for socket in deaf:
            _show_speed(socket, product)
        for socket in deaf:
            socket.send(encode(ChunkRequest(product=product, offset=0, credit=256)))
        assert deaf[0].poll(60_000)
        endpoint = attacked.unit.endpoints["downlink"]
        with DownlinkReceiver(endpoint, attacked.unit.keys, tmp_path) as receiver:
            received = receiver.receive_next(60)
        assert received is not None
        assert received.size == PRODUCT_BYTES
        attacked.wait_until_memory_is_steady()
        assert attacked.memory_bytes() - before < _MOST_GROWTH_BYTES
        first = [_reply(socket.recv_multipart()[0]) for socket in deaf if socket.poll(0)]
        refused = [one.code for one in first if isinstance(one, DownlinkRefused)]
        assert set(refused) == {Code.QUEUE_FULL}
    delivered = attacked.unit.events("PRODUCT_DELIVERED")
    assert [line["fields"]["key_id"] for line in delivered] == ["operator"]


def test_what_came_with_another_key_is_received_again(attacked: Attacked, tmp_path: Path) -> None:
    released = attacked.unit.execute("RELEASE_PRODUCT", product=attacked.product.product)
    assert released.stage is Stage.COMPLETED
    attacked.open_contact()
    endpoint = attacked.unit.endpoints["downlink"]
    place = tmp_path / attacked.product.job / attacked.product.name
    place.parent.mkdir()
    place.write_bytes(bytes(range(256)) * (PRODUCT_BYTES // 256))
    with DownlinkReceiver(endpoint, attacked.keys("another"), tmp_path) as receiver:
        received = receiver.receive_next(60)
    assert received is not None
    assert received.transferred == PRODUCT_BYTES
    assert _state(attacked) is ProductState.DELIVERED
