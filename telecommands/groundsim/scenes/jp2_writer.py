"""Writes bands in ESA's coding: lossless JPEG 2000 in tiles of 1024 x 1024 pixels.

5/3 reversible wavelet, 4 decompositions (5 resolutions), code-blocks of 64 x 64, precincts of
256 x 256 (23 packets a tile), LRCP, one layer, PLT in the header of each tile, one guard bit, 15
bits: read from the AOT band of a real product of baseline 04.00.  Bands at 60 m have tiles of
192 x 192, code-blocks of 4 x 4 and precincts of 64 x 64, read from the same product; those at 20 m
have tiles of 640 x 640, and are otherwise written as those at 10 m.  The place on the map stands
before the codestream, in GML (GMLJP2 1.0).
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import glymur
import numpy as np
from glymur.jp2box import AssociationBox, LabelBox, XMLBox
from glymur.lib.openjp2 import OpenJPEGLibraryError
from lxml import etree
from numpy.typing import NDArray

from telecommands.ground.errors import OutputNotWritable

TILE: Final = 1024
LARGEST_DIGITAL_NUMBER: Final = 2**15 - 1

_END_OF_CODESTREAM: Final = b"\xff\xd9"
_CHUNK: Final = 1 << 24
_RESOLUTIONS: Final = 5
_GUARD_BIT: Final = 1 << 5  # table A.28
_EXPONENT: Final = 1 << 3  # table A.29
_COMMON: Final[dict[str, Any]] = {
    "numres": _RESOLUTIONS,
    "plt": True,
    "prog": "LRCP",
    "irreversible": False,
}


@dataclass(frozen=True)
class Coding:
    """Sides of tiles, code-blocks and precincts, in pixels."""

    tile: int
    block: int
    precinct: int

    def options(self, tile: int) -> dict[str, Any]:
        """The library's options for tiles of this side."""
        return _COMMON | {
            "tilesize": (tile, tile),
            "cbsize": (self.block, self.block),
            "psizes": [(self.precinct, self.precinct)] * _RESOLUTIONS,
        }


CODINGS: Final = {10: Coding(TILE, 64, 256), 20: Coding(640, 64, 256), 60: Coding(192, 4, 64)}
"""By the metres between pixels."""


class _FifteenBits(glymur.Jp2k):  # type: ignore[misc]  # the library is untyped
    """The library declares every uint16 image as 16 bits; ESA's have 15."""

    def _populate_comptparms(self, img_array: NDArray[np.uint16]) -> None:
        super()._populate_comptparms(img_array)
        self._comptparms[0].prec = 15
        self._comptparms[0].bpp = 15


class BandWriter:
    """One band of ``size`` x ``size`` pixels, written tile by tile in raster order.

    ``gml`` is the GMLJP2 document of its place.  Tiles are uint16 ``(rows, columns)``, up to
    the side that ``coding`` gives.  For one thread at a time; encoding releases the interpreter's
    lock.
    """

    def __init__(self, path: Path, size: int, gml: str = "", coding: Coding = CODINGS[10]) -> None:
        self._path = path
        self._gml = gml
        self._left = (-(-size // coding.tile)) ** 2
        self._single = self._left == 1
        with _library_failures(path):
            if self._single:
                self._image = _FifteenBits(path, **coding.options(size))
            else:
                self._image = _FifteenBits(path, shape=(size, size), **coding.options(coding.tile))
                self._tiles: Iterator[Any] = iter(self._image.get_tilewriters())

    def write(self, tile: NDArray[np.uint16]) -> None:
        """Encode the next tile.  Raises :class:`OutputNotWritable` if the file cannot grow."""
        self._left -= 1
        with _library_failures(self._path):
            if self._single:
                self._image[:] = tile
            else:
                next(self._tiles)[:] = tile
            if self._left == 0:
                _leave_one_guard_bit(self._path)
                if self._gml:
                    _insert_before_codestream(self._path, _gml_box(self._gml))
                self._check_end()

    def _check_end(self) -> None:
        """The library does not report what its buffer failed to write at the end."""
        with self._path.open("rb") as file:
            file.seek(-len(_END_OF_CODESTREAM), os.SEEK_END)
            if file.read() != _END_OF_CODESTREAM:
                raise OutputNotWritable(self._path, "is incomplete", "Free space on the disk")


def _leave_one_guard_bit(path: Path) -> None:
    """The library writes two; an exponent one higher keeps the bit-planes of each sub-band."""
    (codestream,) = (one for one in glymur.Jp2k(path).box if one.box_id == "jp2c")
    quantisation = next(one for one in codestream.codestream.segment if one.marker_id == "QCD")
    sub_bands = 3 * _RESOLUTIONS - 2
    with path.open("r+b") as file:
        file.seek(quantisation.offset + 4)  # table A.27
        style, *exponents = file.read(1 + sub_bands)
        file.seek(quantisation.offset + 4)
        file.write(bytes([style - _GUARD_BIT, *(each + _EXPONENT for each in exponents)]))


def _gml_box(gml: str) -> bytes:
    document = etree.ElementTree(etree.fromstring(gml.encode()))
    root = AssociationBox([LabelBox("gml.root-instance"), XMLBox(document)])
    coded = io.BytesIO()
    AssociationBox([LabelBox("gml.data"), root]).write(coded)
    return coded.getvalue()


def _insert_before_codestream(path: Path, box: bytes) -> None:
    """Move the codestream; the library adds boxes only behind it, ESA's stand before it."""
    start = next(one.offset for one in glymur.Jp2k(path).box if one.box_id == "jp2c")
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        while end > start:
            top = max(start, end - _CHUNK)
            file.seek(top)
            piece = file.read(end - top)
            file.seek(top + len(box))
            file.write(piece)
            end = top
        file.seek(start)
        file.write(box)


@contextmanager
def _library_failures(path: Path) -> Iterator[None]:
    """Turn the library's errors into :class:`OutputNotWritable` with the file's path."""
    try:
        yield
    except (OpenJPEGLibraryError, OSError) as error:
        cure = "Check the folder and the space on its disk"
        raise OutputNotWritable(path, "cannot be written", cure) from error
