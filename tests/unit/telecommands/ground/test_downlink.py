from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telecommands.codec import decode_as, encode
from telecommands.dictionary import (
    Chunk,
    ChunkRequest,
    Code,
    DownlinkClass,
    DownlinkRefused,
    DownlinkReply,
    NothingNow,
    ProductOffer,
    ProductReceived,
)
from telecommands.ground.connection import GroundKeys
from telecommands.ground.downlink import DownlinkReceiver
from telecommands.ground.errors import LinkError, NoAnswer, OutputNotWritable, TransferFailed
from telecommands.keys import CurvePair
from tests.unit.telecommands.simulated_links import AnsweringSocket, SimulatedDownlink

_LONG_S = 20.0
_CHUNK = 1000
_CONTENT = bytes(range(256)) * 40  # 10,240 bytes: ten chunks and a piece
_PLAIN = GroundKeys()


def _offer(content: bytes = _CONTENT, **fields: Any) -> tuple[ProductOffer, bytes]:
    values = {
        "unit": "sat-a",
        "product": "p1",
        "job": "job1",
        "kind": "mask",
        "downlink_class": DownlinkClass.MASK,
        "name": "mask.npy",
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "chunk_bytes": _CHUNK,
        "confirmed": 0,
    }
    return ProductOffer(**{**values, **fields}), content


class _Link:
    """The simulated downlink behind a filter of its replies, which injects the faults."""

    def __init__(self, *products: tuple[ProductOffer, bytes]) -> None:
        self.downlink = SimulatedDownlink(products)
        self.filter: Callable[[Sequence[bytes]], Sequence[Sequence[bytes]]] = lambda reply: [reply]

    def __call__(self, frames: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
        for reply in self.downlink(frames):
            yield from self.filter(reply)

    @property
    def chunk_requests(self) -> list[int]:
        return [one.offset for one in self.downlink.requests if isinstance(one, ChunkRequest)]


@contextmanager
def _receiver(link: _Link, folder: Path, **options: Any) -> Iterator[DownlinkReceiver]:
    options = {"resend_s": 0.05, "window_bytes": 4 * _CHUNK, **options}
    with (
        AnsweringSocket(link) as service,
        DownlinkReceiver(service.endpoint, _PLAIN, folder, **options) as receiver,
    ):
        yield receiver


def _is_chunk(reply: Sequence[bytes]) -> bool:
    return len(reply) == 2


def _offset(reply: Sequence[bytes]) -> int:
    return decode_as(Chunk, reply[0], "a chunk").offset


def _files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_product_arrives_over_an_encrypted_link(
    keys: GroundKeys, service_pair: CurvePair, tmp_path: Path
) -> None:
    assert keys.curve is not None
    link = _Link(_offer())
    with (
        AnsweringSocket(link, pair=service_pair, authorised=[keys.curve.public]) as service,
        DownlinkReceiver(service.endpoint, keys, tmp_path) as receiver,
    ):
        received = receiver.receive_next(_LONG_S)
    assert received is not None
    assert received.path == tmp_path / "sat-a" / "job1" / "mask.npy"
    assert received.path.read_bytes() == _CONTENT
    assert received.transferred == received.size == len(_CONTENT)
    assert link.downlink.delivered == ["p1"]
    assert _files(tmp_path) == ["mask.npy"]


@pytest.mark.parametrize("size", [0, 1, _CHUNK - 1, _CHUNK, 4 * _CHUNK, 4 * _CHUNK + 1])
def test_products_of_every_length_arrive(tmp_path: Path, size: int) -> None:
    with _receiver(_Link(_offer(os.urandom(size))), tmp_path) as receiver:
        received = receiver.receive_next(_LONG_S)
    assert received is not None
    assert received.path.stat().st_size == size
    assert hashlib.sha256(received.path.read_bytes()).hexdigest() == received.sha256


def test_products_come_one_after_the_other_until_the_queue_is_empty(tmp_path: Path) -> None:
    link = _Link(_offer(b"one"), _offer(b"two", product="p2", name="two.npy"))
    with _receiver(link, tmp_path) as receiver:
        names = []
        while (received := receiver.receive_next(_LONG_S)) is not None:
            names.append(received.path.name)
        assert receiver.why_nothing == "EMPTY"
    assert names == ["mask.npy", "two.npy"]
    assert link.downlink.delivered == ["p1", "p2"]


def test_equal_jobs_and_names_of_two_units_are_two_files(tmp_path: Path) -> None:
    for unit in ("sat-a", "sat-b"):
        with _receiver(_Link(_offer(unit.encode(), unit=unit)), tmp_path) as receiver:
            received = receiver.receive_next(_LONG_S)
            assert received is not None
            assert received.unit == unit
    for unit in ("sat-a", "sat-b"):
        assert (tmp_path / unit / "job1" / "mask.npy").read_bytes() == unit.encode()


def test_progress_is_reported_to_the_last_byte(tmp_path: Path) -> None:
    stored_bytes: list[int] = []
    with _receiver(
        _Link(_offer()), tmp_path, progress=lambda offer, stored: stored_bytes.append(stored)
    ) as receiver:
        receiver.receive_next(_LONG_S)
    assert stored_bytes == sorted(stored_bytes)
    assert stored_bytes[0] == _CHUNK
    assert stored_bytes[-1] == len(_CONTENT)


def test_no_more_is_asked_for_than_a_window(tmp_path: Path) -> None:
    link = _Link(_offer())
    with _receiver(link, tmp_path) as receiver:
        receiver.receive_next(_LONG_S)
    assert link.chunk_requests == [0, 2 * _CHUNK, 6 * _CHUNK, 10 * _CHUNK]


def test_an_interrupted_transfer_resumes_where_it_ended(tmp_path: Path) -> None:
    link = _Link(_offer())
    link.filter = lambda reply: [] if _is_chunk(reply) and _offset(reply) >= 6000 else [reply]
    with _receiver(link, tmp_path) as receiver, pytest.raises(NoAnswer, match="sends no more of"):
        receiver.receive_next(0.2)
    assert _files(tmp_path / "sat-a" / "job1") == [
        next((tmp_path / "sat-a" / "job1").iterdir()).name
    ]
    assert not (tmp_path / "sat-a" / "job1" / "mask.npy").exists()
    link.filter = lambda reply: [reply]
    link.downlink.requests.clear()
    with _receiver(link, tmp_path) as receiver:
        received = receiver.receive_next(_LONG_S)
    assert received is not None
    assert received.transferred == len(_CONTENT) - 6000
    assert link.chunk_requests[0] == 6000
    assert received.path.read_bytes() == _CONTENT
    assert _files(tmp_path) == ["mask.npy"]


@pytest.mark.parametrize("stored", [1, _CHUNK - 1, 3 * _CHUNK + 7])
def test_bytes_of_a_part_of_a_chunk_are_kept(tmp_path: Path, stored: int) -> None:
    offer, content = _offer()
    link = _Link((offer, content))
    (tmp_path / "sat-a" / "job1").mkdir(parents=True)
    part = tmp_path / "sat-a" / "job1" / f".mask.npy.{offer.sha256[:16]}.part"
    part.write_bytes(content[:stored])
    with _receiver(link, tmp_path) as receiver:
        received = receiver.receive_next(_LONG_S)
    assert link.chunk_requests[0] == stored
    assert received is not None
    assert received.transferred == len(content) - stored
    assert received.path.read_bytes() == content


@given(stored=st.binary(max_size=len(_CONTENT) + 100), right=st.integers(0, len(_CONTENT)))
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_a_crash_left_behind_the_file_is_right(
    tmp_path_factory: pytest.TempPathFactory, stored: bytes, right: int
) -> None:
    folder = tmp_path_factory.mktemp("products")
    offer, content = _offer()
    (folder / "sat-a" / "job1").mkdir(parents=True)
    part = folder / "sat-a" / "job1" / f".mask.npy.{offer.sha256[:16]}.part"
    part.write_bytes(content[:right] + stored[right:])
    with _receiver(_Link((offer, content)), folder) as receiver:
        received = receiver.receive_next(_LONG_S)
    assert received is not None
    assert received.path.read_bytes() == content
    assert _files(folder) == ["mask.npy"]


def test_a_complete_file_is_confirmed_without_being_transferred_again(tmp_path: Path) -> None:
    link = _Link(_offer())
    (tmp_path / "sat-a" / "job1").mkdir(parents=True)
    (tmp_path / "sat-a" / "job1" / "mask.npy").write_bytes(_CONTENT)
    with _receiver(link, tmp_path) as receiver:
        received = receiver.receive_next(_LONG_S)
    assert received is not None
    assert received.transferred == 0
    assert link.chunk_requests == []
    assert link.downlink.delivered == ["p1"]


def test_another_file_of_that_name_is_replaced_whole(tmp_path: Path) -> None:
    (tmp_path / "sat-a" / "job1").mkdir(parents=True)
    (tmp_path / "sat-a" / "job1" / "mask.npy").write_bytes(_CONTENT[::-1])
    with _receiver(_Link(_offer()), tmp_path) as receiver:
        receiver.receive_next(_LONG_S)
    assert (tmp_path / "sat-a" / "job1" / "mask.npy").read_bytes() == _CONTENT


def test_lost_and_repeated_chunks_do_no_harm(tmp_path: Path) -> None:
    link = _Link(_offer())
    numbers = iter(range(1000))

    def unreliable(reply: Sequence[bytes]) -> Sequence[Sequence[bytes]]:
        number = next(numbers)
        if _is_chunk(reply) and number % 3 == 1:
            return []
        return [reply, reply] if number % 2 else [reply]

    link.filter = unreliable
    with _receiver(link, tmp_path) as receiver:
        received = receiver.receive_next(_LONG_S)
    assert received is not None
    assert received.path.read_bytes() == _CONTENT
    assert received.transferred == len(_CONTENT)


def test_a_lost_confirmation_is_sent_again(tmp_path: Path) -> None:
    link = _Link(_offer())
    lost: list[object] = []

    def loses_the_first(reply: Sequence[bytes]) -> Sequence[Sequence[bytes]]:
        if isinstance(link.downlink.requests[-1], ProductReceived) and not lost:
            lost.append(reply)
            return []
        return [reply]

    link.filter = loses_the_first
    with _receiver(link, tmp_path) as receiver:
        assert receiver.receive_next(_LONG_S) is not None
    assert lost
    assert link.downlink.delivered == ["p1"]


def _damage(reply: Sequence[bytes]) -> Sequence[bytes]:
    return [reply[0], bytes(len(reply[1]))] if _is_chunk(reply) else reply


def test_a_product_damaged_on_its_way_is_asked_for_once_more(tmp_path: Path) -> None:
    link = _Link(_offer())
    link.filter = lambda reply: [_damage(reply) if link.chunk_requests.count(0) == 1 else reply]
    with _receiver(link, tmp_path) as receiver:
        received = receiver.receive_next(_LONG_S)
    assert received is not None
    assert received.path.read_bytes() == _CONTENT
    assert link.chunk_requests.count(0) == 2


def test_a_product_that_stays_wrong_is_left_and_the_next_one_comes(tmp_path: Path) -> None:
    link = _Link(
        _offer(sha256=hashlib.sha256(b"other").hexdigest()),
        _offer(b"two", product="p2", name="two.npy"),
    )
    with _receiver(link, tmp_path) as receiver:
        with pytest.raises(TransferFailed, match=r"p1 was received twice, each time with a wrong"):
            receiver.receive_next(_LONG_S)
        received = receiver.receive_next(_LONG_S)
    assert received is not None
    assert received.product == "p2"
    assert link.downlink.delivered == ["p2"]
    assert _files(tmp_path) == ["two.npy"]


def test_the_service_gets_the_received_sha256_and_checks_its_file(
    tmp_path: Path,
) -> None:
    link = _Link(_offer(sha256=hashlib.sha256(b"other").hexdigest()))
    with _receiver(link, tmp_path) as receiver, pytest.raises(TransferFailed):
        receiver.receive_next(_LONG_S)
    confirmed = [one.sha256 for one in link.downlink.requests if isinstance(one, ProductReceived)]
    assert set(confirmed) == {hashlib.sha256(_CONTENT).hexdigest()}


@pytest.mark.parametrize(
    "reply",
    [
        DownlinkRefused(product="p1", code=Code.NO_CONTACT, cause="closed"),
        NothingNow(code="NO_CONTACT"),
    ],
)
def test_the_end_of_a_contact_is_not_an_error_and_keeps_what_came(
    tmp_path: Path, reply: DownlinkReply
) -> None:
    link = _Link(_offer())

    def closes(message: Sequence[bytes]) -> Sequence[Sequence[bytes]]:
        if not _is_chunk(message) or _offset(message) < 5000:
            return [message]
        return [[encode(reply)]] if _offset(message) == 5000 else []

    link.filter = closes
    with _receiver(link, tmp_path) as receiver:
        assert receiver.receive_next(_LONG_S) is None
        assert receiver.why_nothing == "NO_CONTACT"
        assert link.chunk_requests[-1] == 5000  # so that the service knows what is stored
        link.filter = lambda message: [message]
        received = receiver.receive_next(_LONG_S)
    assert received is not None
    assert received.transferred == len(_CONTENT) - 5000


def test_a_product_held_meanwhile_fails_with_the_services_reason(tmp_path: Path) -> None:
    link = _Link(_offer())
    held = DownlinkRefused(product="p1", code=Code.PRODUCT_STATE, cause="p1 is HELD")
    link.filter = lambda reply: [[encode(held)]] if _is_chunk(reply) else [reply]
    with (
        _receiver(link, tmp_path) as receiver,
        pytest.raises(TransferFailed, match="PRODUCT_STATE: p1 is HELD"),
    ):
        receiver.receive_next(_LONG_S)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "../escaped"},
        {"name": "/tmp/escaped"},
        {"name": "a/b"},
        {"name": ".."},
        {"name": ".hidden"},
        {"name": ""},
        {"name": "a\\b"},
        {"name": "a\nb"},
        {"name": "a\x00b"},
        {"name": "ä" * 150},
        {"job": ".."},
        {"job": "."},
    ],
)
def test_a_name_never_leads_out_of_the_folder(tmp_path: Path, fields: dict[str, str]) -> None:
    folder = tmp_path / "products"
    with (
        _receiver(_Link(_offer(**fields)), folder) as receiver,
        pytest.raises(TransferFailed, match="is not a plain file name"),
    ):
        receiver.receive_next(_LONG_S)
    assert _files(tmp_path) == []


@pytest.mark.parametrize("sha256", ["", "../../escaped", "A" * 64, "0" * 63])
def test_only_a_sha256_becomes_a_file_name(tmp_path: Path, sha256: str) -> None:
    with (
        _receiver(_Link(_offer(sha256=sha256)), tmp_path) as receiver,
        pytest.raises(TransferFailed, match="is not a SHA-256"),
    ):
        receiver.receive_next(_LONG_S)
    assert _files(tmp_path) == []


def test_a_chunk_that_never_comes_ends_in_no_answer(tmp_path: Path) -> None:
    link = _Link(_offer())
    link.filter = lambda reply: [] if _is_chunk(reply) and _offset(reply) == 2000 else [reply]
    with _receiver(link, tmp_path) as receiver, pytest.raises(NoAnswer, match="sends no more of"):
        receiver.receive_next(0.3)


def test_empty_chunks_end_in_no_answer(tmp_path: Path) -> None:
    link = _Link(_offer())

    def empty(reply: Sequence[bytes]) -> Sequence[Sequence[bytes]]:
        if not _is_chunk(reply):
            return [reply]
        return [[encode(Chunk(product="p1", offset=_offset(reply), size=0)), b""]]

    link.filter = empty
    with _receiver(link, tmp_path) as receiver, pytest.raises(NoAnswer, match="sends no more of"):
        receiver.receive_next(0.3)


def test_a_flood_of_old_chunks_ends_in_no_answer(tmp_path: Path) -> None:
    link = _Link(_offer())
    stop = threading.Event()

    def flood(frames: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
        for reply in link(frames):
            yield reply
            while _is_chunk(reply) and not stop.wait(0.001):
                yield reply

    with (
        AnsweringSocket(flood) as service,
        contextlib.closing(
            DownlinkReceiver(service.endpoint, _PLAIN, tmp_path, resend_s=0.05)
        ) as receiver,
    ):
        with pytest.raises(NoAnswer, match="sends no more of"):
            receiver.receive_next(0.5)
        stop.set()


def test_two_receivers_of_one_folder_do_not_write_the_same_file(tmp_path: Path) -> None:
    link, other = _Link(_offer()), _Link(_offer())
    refused: list[str] = []
    with _receiver(other, tmp_path) as second:

        def meanwhile(offer: ProductOffer, stored: int) -> None:
            if stored == _CHUNK:
                with pytest.raises(TransferFailed) as failed:
                    second.receive_next(_LONG_S)
                refused.append(failed.value.cause)

        with _receiver(link, tmp_path, progress=meanwhile) as first:
            assert first.receive_next(_LONG_S) is not None
    assert refused == ["is being written by another receiver"]
    assert other.downlink.delivered == []


def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        _receiver(_Link(_offer()), tmp_path / "file") as receiver,
        pytest.raises(OutputNotWritable),
    ):
        receiver.receive_next(_LONG_S)


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    offer, content = _offer()
    victim = tmp_path / "victim"
    victim.write_text("kept")
    (tmp_path / "products" / "sat-a" / "job1").mkdir(parents=True)
    part = tmp_path / "products" / "sat-a" / "job1" / f".mask.npy.{offer.sha256[:16]}.part"
    part.symlink_to(victim)
    with (
        _receiver(_Link((offer, content)), tmp_path / "products") as receiver,
        pytest.raises(OutputNotWritable),
    ):
        receiver.receive_next(_LONG_S)
    assert victim.read_text() == "kept"


def test_silence_is_reported(tmp_path: Path) -> None:
    link = _Link()
    link.filter = lambda reply: []
    with _receiver(link, tmp_path) as receiver, pytest.raises(NoAnswer, match="does not answer"):
        receiver.receive_next(0.1)


def test_an_answer_of_another_interface_is_reported(tmp_path: Path) -> None:
    link = _Link(_offer())
    link.filter = lambda reply: [[b"\xc1"]]
    with _receiver(link, tmp_path) as receiver, pytest.raises(LinkError, match="version"):
        receiver.receive_next(_LONG_S)


def test_a_product_of_another_unit_than_that_of_the_keys_is_refused(tmp_path: Path) -> None:
    link = _Link(_offer(unit="sat-b"))
    keys = GroundKeys(unit="sat-a")
    with (
        AnsweringSocket(link) as service,
        DownlinkReceiver(service.endpoint, keys, tmp_path) as receiver,
    ):
        with pytest.raises(TransferFailed, match="belongs to unit sat-b, but sat-a was expected"):
            receiver.receive_next(_LONG_S)
        assert receiver.receive_next(_LONG_S) is None  # others would be received
    assert list(tmp_path.iterdir()) == []
