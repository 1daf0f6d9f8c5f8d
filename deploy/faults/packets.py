"""Mutated packet headers of JPEG 2000 tiles.

The rewriter of the fast decode must give packets no longer than its input, or say what is wrong,
in a time in proportion; OpenJPEG must survive what it gives.
"""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import glymur
import numpy as np
from glymur.lib import openjp2

from flightsw.scene.bit_planes import passes_to_drop
from flightsw.scene.block_coding import read_bodies, read_coding, wrap_tile
from flightsw.scene.codestream import Codestream, inspect
from flightsw.scene.jp2 import Area, decoded, open_memory
from flightsw.scene.passes import (
    BlockCoding,
    Bounds,
    DamagedPackets,
    Packet,
    packets_of,
    with_fewer_passes,
)

BATCH: Final = 1000
"""Mutations between two lines of the results."""

_STEP: Final = 40.0  # DN, of the network's input
_SIDE: Final = 130
_LAYOUTS: Final[tuple[dict[str, Any], ...]] = (
    {"numres": 5, "cbsize": (16, 16), "psizes": [(64, 64)]},
    {"numres": 5, "cbsize": (64, 64), "plt": True},
    {"numres": 3, "cbsize": (16, 64), "prog": "RLCP"},
)
_DECODED_EVERY: Final = 50
_REACH: Final = 30  # bytes from the start of a packet: its header, for most
_LONGEST_SECONDS: Final = 0.5  # CPU; one takes 2 ms
SOUND: Final = ("rewritten", "refused", "decoded", "refused by OpenJPEG")
"""Outcomes that may be."""


@dataclass(frozen=True)
class CodedTile:
    """The packets of a tile that is the whole image, and where each of them starts."""

    image: Codestream
    coding: BlockCoding
    bounds: Bounds
    packets: tuple[Packet, ...]
    data: bytes
    starts: tuple[int, ...]


def packet_trials(folder: Path, seed: int, first: int) -> Iterator[dict[str, int]]:
    """The outcomes of batches of mutations, by their number from ``first`` on, without end."""
    tiles = coded_tiles(folder)
    for number in itertools.count(first):
        yield dict(Counter(outcomes(tiles, (seed << 40) + number * BATCH, BATCH)))


def coded_tiles(folder: Path) -> list[CodedTile]:
    """One tile of noise in each layout; the files are written to ``folder``."""
    pixels = np.random.default_rng(2).normal(3000, 200, (_SIDE, _SIDE)).astype(np.uint16)
    tiles = []
    for number, layout in enumerate(_LAYOUTS):
        path = folder / f"tile_{number}.jp2"
        glymur.Jp2k(str(path), data=pixels, **layout)
        tiles.append(_read(path))
    return tiles


def _read(path: Path) -> CodedTile:
    image = inspect(path)
    body, coding = read_bodies(path, image)[0], read_coding(image)
    data, bounds = path.read_bytes()[body.begin : body.end], Bounds(0, 0, _SIDE, _SIDE)
    packets = packets_of(bounds, coding, coding.levels + 1)
    whole = with_fewer_passes(data, packets, coding, (0,) * len(coding.bit_planes))
    starts = np.cumsum([0, *map(len, whole)])[:-1:2]
    return CodedTile(image, coding, bounds, packets, data, tuple(starts.tolist()))


def outcomes(tiles: Sequence[CodedTile], seed: int, count: int) -> Iterator[str]:
    """What became of each of ``count`` mutations: one of :data:`SOUND`, or what is wrong."""
    for number in range(seed, seed + count):
        tile = tiles[number % len(tiles)]
        chance = random.Random(number)
        yield _outcome(tile, mutated(tile, chance), decode=chance.randrange(_DECODED_EVERY) == 0)


def mutated(tile: CodedTile, chance: random.Random) -> bytes:
    """The packets with some bytes near one or two headers changed; some are cut off as well."""
    bad = bytearray(tile.data)
    for start in chance.choices(tile.starts, k=chance.choice([1, 1, 2])):
        for _ in range(chance.randrange(1, 5)):
            place = min(start + chance.randrange(_REACH), len(bad) - 1)
            changed = bad[place] ^ 1 << chance.randrange(8)
            bad[place] = chance.choice([0, 255, chance.randrange(256), changed])
    return bytes(bad[: chance.choice([len(bad), len(bad), chance.randrange(len(bad))])])


def _outcome(tile: CodedTile, content: bytes, *, decode: bool) -> str:
    started = time.thread_time()
    try:
        dropped = passes_to_drop(_STEP, tile.coding.levels)
        pieces = with_fewer_passes(content, tile.packets, tile.coding, dropped)
    except DamagedPackets:
        return "refused"
    except Exception as error:  # noqa: BLE001 - what the campaign looks for
        return f"unexpected {type(error).__name__}"
    if time.thread_time() - started > _LONGEST_SECONDS:
        return "too slow"
    if sum(map(len, pieces[1::2])) > len(content):
        return "more bytes than there were"
    return _decoded(tile, pieces) if decode else "rewritten"


def _decoded(tile: CodedTile, pieces: Sequence[bytes]) -> str:
    content = wrap_tile(tile.image, tile.bounds, tile.coding.levels, pieces)
    area, messages = Area(0, 0, tile.bounds.bottom, tile.bounds.right), list[str]()
    try:
        with (
            open_memory(content) as stream,
            decoded(stream, area, messages, boxed=False, step=1) as pixels,
        ):
            return "refused by OpenJPEG" if messages or not pixels.size else "decoded"
    except openjp2.OpenJPEGLibraryError:
        return "refused by OpenJPEG"
