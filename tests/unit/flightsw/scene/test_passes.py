"""Packet headers are rewritten, whatever they hold."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

import glymur
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightsw.scene.bit_planes import passes_to_drop
from flightsw.scene.block_coding import read_bodies, read_coding
from flightsw.scene.codestream import inspect
from flightsw.scene.passes import (
    BlockCoding,
    Bounds,
    DamagedPackets,
    _bytes_used,
    _stuffed,
    _unstuffed,
    packets_of,
    with_fewer_passes,
)

_SIDE = 130
_BOUNDS = Bounds(0, 0, _SIDE, _SIDE)
_MUTATIONS = 1500


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, BlockCoding]:
    """The packets of a tile, and how it is coded."""
    path: Path = tmp_path_factory.mktemp("passes") / "tile.jp2"
    pixels = np.random.default_rng(2).normal(3000, 200, (_SIDE, _SIDE)).astype(np.uint16)
    glymur.Jp2k(str(path), data=pixels, numres=5, cbsize=(16, 16), psizes=[(64, 64)])
    image = inspect(path)
    body = read_bodies(path, image)[0]
    return path.read_bytes()[body.begin : body.end], read_coding(image)


def test_dropping_nothing_gives_the_same_bytes(coded: tuple[bytes, BlockCoding]) -> None:
    data, coding = coded
    packets = packets_of(_BOUNDS, coding, coding.levels + 1)
    pieces = with_fewer_passes(data, packets, coding, (0,) * len(coding.bit_planes))
    assert b"".join(pieces) == data


def test_the_blocks_stay_as_they_are_and_headers_become_shorter(
    coded: tuple[bytes, BlockCoding],
) -> None:
    data, coding = coded
    packets = packets_of(_BOUNDS, coding, coding.levels + 1)
    old = with_fewer_passes(data, packets, coding, (0,) * len(coding.bit_planes))
    new = with_fewer_passes(data, packets, coding, passes_to_drop(40, coding.levels))
    assert old[1::2] == new[1::2]
    assert old[::2] != new[::2]
    assert sum(map(len, new)) < len(data) + len(packets)


def test_mutated_packet_headers_give_packets_or_say_what_is_wrong(
    coded: tuple[bytes, BlockCoding],
) -> None:
    data, coding = coded
    chance, damaged = random.Random(7), 0
    packets = packets_of(_BOUNDS, coding, coding.levels + 1)
    dropped = passes_to_drop(40, coding.levels)
    sound = with_fewer_passes(data, packets, coding, (0,) * len(coding.bit_planes))
    starts = np.cumsum([0, *map(len, sound)])[:-1:2]
    for _ in range(_MUTATIONS):
        bad = bytearray(data)
        start = int(chance.choice([*starts]))
        for _ in range(chance.randrange(1, 5)):
            place = min(start + chance.randrange(30), len(bad) - 1)
            bad[place] = chance.choice([0, 255, chance.randrange(256)])
        content = bytes(bad[: chance.choice([len(bad), len(bad), chance.randrange(len(bad))])])
        try:
            pieces = with_fewer_passes(content, packets, coding, dropped)
            assert sum(map(len, pieces[1::2])) <= len(content)
        except DamagedPackets:
            damaged += 1
    assert damaged > _MUTATIONS // 4


@given(st.binary(max_size=200))
def test_any_bytes_give_packets_or_say_what_is_wrong(content: bytes) -> None:
    coding = BlockCoding(2, 4, 4, b"\xff" * 3, (9,) * 9)
    packets = packets_of(Bounds(100, 50, 190, 130), coding, 3)
    with suppress(DamagedPackets):
        assert with_fewer_passes(content, packets, coding, (3,) * 9)


@pytest.mark.parametrize("filler", [0x00, 0x7F, 0x80, 0xFF])
def test_a_header_without_an_end_is_given_up(filler: int) -> None:
    """In time: such a tile may have megabytes."""
    coding = BlockCoding(1, 4, 4, b"\xff\xff", (12,) * 6)
    packets = packets_of(Bounds(0, 0, 1024, 1024), coding, 2)
    content = b"\x80" + bytes([filler]) * 2_000_000
    with suppress(DamagedPackets):
        pieces = with_fewer_passes(content, packets, coding, (0,) * 6)
        assert len(b"".join(pieces)) <= len(content)


@given(st.text("01", min_size=1, max_size=5000).map(lambda bits: bits.replace("0000", "1111")))
def test_stuffed_bits_are_read_back(bits: str) -> None:
    packed = _stuffed(bits)
    found, places = _unstuffed(packed + b"\x12\x34")
    assert found.startswith(bits)
    assert _bytes_used(len(bits), places) == len(packed)
    assert not packed.endswith(b"\xff")
    for place in places:
        assert place + 1 >= len(packed) or packed[place + 1] < 0x80
