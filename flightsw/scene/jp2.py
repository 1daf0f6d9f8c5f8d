"""One band in a JPEG 2000 file, decoded row range by row range with OpenJPEG.

The calls use glymur's bindings instead of ``Jp2k[...]``, which collects OpenJPEG's
errors of all threads in one list and sends its warnings through :mod:`warnings`, whose
state is global.  Here each decode collects its own messages.  glymur's option
``lib.num_threads`` is not used: the caller provides the threads.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from glymur.lib import openjp2
from numpy.typing import NDArray

from flightsw.errors import CorruptImage, SceneError
from flightsw.scene.codestream import Codestream

_Message = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_void_p)
_STREAM_BYTES: Final = 1 << 16
_MESSAGES_KEPT: Final = 4  # a damaged file can cause any number


@dataclass(frozen=True)
class Area:
    """Pixels of a band at full resolution; ``bottom`` and ``right`` are outside."""

    top: int
    left: int
    bottom: int
    right: int


@dataclass(frozen=True)
class Jp2Band:
    """Rows of one band at every ``step``-th pixel, a :class:`~flightsw.scene.strips.StripPart`.

    ``step`` is a power of two; reduced sizes are ``ceil(n / step)``.  ``columns`` is the
    number of columns, at full resolution, that one call decodes, rounded down to whole tiles:
    four tiles of a real 10 m band.  OpenJPEG holds four bytes a pixel until the call ends; calls
    narrower than a panel would save little of a scene's memory.
    """

    path: Path
    codestream: Codestream
    bands: slice
    step: int
    columns: int = 4096

    def __post_init__(self) -> None:
        if openjp2.OPENJP2 is None:
            cure = "Install libopenjp2"
            raise SceneError(self.path, "cannot be decoded without the OpenJPEG library", cure)
        if self.step > 1 << self.codestream.levels:
            raise SceneError(
                self.path,
                f"has only {self.codestream.levels} reduced resolutions",
                f"Process it at most {1 << self.codestream.levels} times coarser",
            )

    def read(self, top: int, left: int, targets: Sequence[NDArray[np.uint16]]) -> None:
        """Decode from row ``top`` and column ``left`` into ``targets``, each uint16 ``(1, H, W)``.

        Both count at the reduced resolution.  Raises :class:`CorruptImage`.
        """
        width = targets[0].shape[2]
        tiles = self.columns // self.codestream.tile_width
        columns = tiles * self.codestream.tile_width // self.step or width
        for start in range(0, width, columns):
            parts = [target[0, :, start : start + columns] for target in targets]
            self.read_area(top, left + start, parts)

    def read_area(self, top: int, left: int, targets: Sequence[NDArray[np.uint16]]) -> None:
        """Decode from row ``top`` and column ``left`` into ``targets``, each ``(rows, columns)``.

        Both count at the reduced resolution.  Raises :class:`CorruptImage`.
        """
        area = self.area(top, left, stacked_shape(targets))
        messages: list[str] = []
        try:
            self._decode(area, targets, messages)
        except openjp2.OpenJPEGLibraryError as error:
            raise self._corrupt(messages, area) from error
        if messages:
            raise self._corrupt(messages, area)

    def area(self, top: int, left: int, shape: tuple[int, int]) -> Area:
        """The area at full resolution of ``(rows, columns)`` at the reduced resolution."""
        first, begin = top * self.step, left * self.step
        return Area(
            first,
            begin,
            min(first + shape[0] * self.step, self.codestream.height),
            min(begin + shape[1] * self.step, self.codestream.width),
        )

    def _decode(
        self, area: Area, targets: Sequence[NDArray[np.uint16]], messages: list[str]
    ) -> None:
        listen = _Message(lambda text, _data: _note(messages, text))
        ignore = _Message(lambda _text, _data: None)
        with ExitStack() as stack:
            stream = _open_stream(self.path)
            if not stream:
                raise self._corrupt(["the file cannot be opened"], area)
            stack.callback(openjp2.stream_destroy, stream)
            kind = openjp2.CODEC_JP2 if self.codestream.boxed else openjp2.CODEC_J2K
            codec = openjp2.create_decompress(kind)
            stack.callback(openjp2.destroy_codec, codec)
            openjp2.set_error_handler(codec, listen)
            # A header may hold what OpenJPEG does not know; only warnings about pixels count.
            openjp2.set_warning_handler(codec, ignore)
            parameters = openjp2.set_default_decoder_parameters()
            parameters.cp_reduce = self.step.bit_length() - 1
            openjp2.setup_decoder(codec, parameters)
            image = openjp2.read_header(stream, codec)
            stack.callback(openjp2.image_destroy, image)
            openjp2.set_warning_handler(codec, listen)
            openjp2.set_decode_area(codec, image, area.left, area.top, area.right, area.bottom)
            openjp2.decode(codec, stream, image)
            self._copy(image.contents, targets, messages)

    def _copy(
        self, image: openjp2.ImageType, targets: Sequence[NDArray[np.uint16]], messages: list[str]
    ) -> None:
        component, wanted = image.comps[0], stacked_shape(targets)
        rows, width = component.h, component.w
        if not component.data or (rows, width) != wanted:
            messages.append(f"{width} x {rows} pixels were decoded, not {wanted[1]} x {wanted[0]}")
            return
        # OpenJPEG clips to the band's precision.
        copy_rows(np.ctypeslib.as_array(component.data, shape=(rows, width)), targets)

    def _corrupt(self, messages: list[str], area: Area) -> CorruptImage:
        reason = "; ".join(messages) or "OpenJPEG gives no reason"
        return CorruptImage(
            self.path,
            f"cannot be decoded from row {area.top}, column {area.left}: {reason}",
            "Fetch the file again",
            row=area.top,
            column=area.left,
        )


def stacked_shape(targets: Sequence[NDArray[np.uint16]]) -> tuple[int, int]:
    """Rows and columns of arrays that lie one below the other."""
    return sum(len(target) for target in targets), targets[0].shape[1]


def copy_rows(pixels: NDArray[Any], targets: Sequence[NDArray[np.uint16]]) -> None:
    """Copy ``(rows, columns)`` of any integers to arrays that lie one below the other."""
    top = 0
    for target in targets:
        np.copyto(target, pixels[top : top + len(target)], casting="unsafe")
        top += len(target)


def _open_stream(path: Path) -> Any:
    """A stream with a small buffer, which the binding does not offer; None if it cannot be opened.

    OpenJPEG skips the tiles before the wanted ones by their headers, and fills its
    buffer, a megabyte by default, for each of them.
    """
    create = openjp2.OPENJP2.opj_stream_create_file_stream
    create.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int32)
    create.restype = openjp2.STREAM_TYPE_P
    return create(os.fsencode(path), _STREAM_BYTES, 1)


def _note(messages: list[str], text: bytes) -> None:
    if len(messages) < _MESSAGES_KEPT:
        messages.append(text.decode("utf-8", "replace").strip())
