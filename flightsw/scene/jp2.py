"""One band in a JPEG 2000 file, decoded row range by row range with OpenJPEG.

The calls use glymur's bindings instead of ``Jp2k[...]``, which collects OpenJPEG's
errors of all threads in one list and sends its warnings through :mod:`warnings`, whose
state is global.  Here each decode collects its own messages.  glymur's option
``lib.num_threads`` is not used: the caller provides the threads.

OpenJPEG reads the file with one bit of its header set: it then checks where the code of each
block ends, which shows damage that no checksum shows (docs/decisions/0029).  No sample changes.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from glymur.lib import openjp2
from numpy.typing import NDArray

from flightsw.errors import CorruptImage, SceneError
from flightsw.host.disk import open_plain
from flightsw.scene.codestream import Codestream
from flightsw.scene.strips import aligned

_Message = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_void_p)
_STREAM_BYTES: Final = 1 << 16
_MESSAGES_KEPT: Final = 4  # a damaged file can cause any number
_PREDICTABLE: Final = 0x10  # predictable termination (table A.19)
_READ_BEYOND: Final = re.compile(r"PTERM check failure: (\d+) synthetized")
_MOST_BEYOND: Final = 5
"""Markers that OpenJPEG makes up beyond the end of a sound block: up to 3 in files of ESA, which
cuts its code as short as it can."""
_NOTHING: Final = (1 << 64) - 1  # what a stream's callback returns at the end and for an error


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
        wanted = range(left, left + targets[0].shape[2])
        tiles = self.columns // self.codestream.tile_width
        columns = tiles * self.codestream.tile_width // self.step or wanted.stop
        for part in aligned(wanted, columns):
            inside = slice(part.start - left, part.stop - left)
            self.read_area(top, part.start, [target[0, :, inside] for target in targets])

    def read_area(self, top: int, left: int, targets: Sequence[NDArray[np.uint16]]) -> None:
        """Decode from row ``top`` and column ``left`` into ``targets``, each ``(rows, columns)``.

        Both count at the reduced resolution.  Raises :class:`CorruptImage`, and
        :class:`SceneError` for a part of a tile of an HTJ2K file.
        """
        area = self.area(top, left, stacked_shape(targets))
        self._check_whole_tiles(area)
        messages: list[str] = []
        try:
            self._decode(area, targets, messages)
        except (openjp2.OpenJPEGLibraryError, OSError) as error:
            if isinstance(error, OSError):
                messages.append(f"the file cannot be opened ({error.strerror})")
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

    def _check_whole_tiles(self, area: Area) -> None:
        """OpenJPEG 2.5 gives wrong samples, without a message, for a part of an HTJ2K tile."""
        image = self.codestream
        within = (
            area.top % image.tile_height
            or area.left % image.tile_width
            or area.bottom % image.tile_height * (area.bottom < image.height)
            or area.right % image.tile_width * (area.right < image.width)
        )
        if image.high_throughput and within:
            cause = "is an HTJ2K file, whose tiles can only be decoded whole"
            raise SceneError(self.path, cause, "Process the whole scene, or recode the file")

    def _decode(
        self, area: Area, targets: Sequence[NDArray[np.uint16]], messages: list[str]
    ) -> None:
        boxed, style_at = self.codestream.boxed, self.codestream.style_at
        with (
            open_plain(self.path) as file,
            _open_stream(file.fileno(), style_at) as stream,
            decoded(stream, area, messages, boxed=boxed, step=self.step) as pixels,
        ):
            wanted = stacked_shape(targets)
            if pixels.shape != wanted:
                rows, width = pixels.shape
                found = f"{width} x {rows} pixels were decoded, not {wanted[1]} x {wanted[0]}"
                messages.append(found)
                return
            # OpenJPEG clips to the band's precision.
            copy_rows(pixels, targets)

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


_Read = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
_Skip = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
_Seek = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p)


@contextmanager
def open_memory(content: bytes) -> Iterator[Any]:
    """A stream for :func:`decoded` that reads these bytes; raises :class:`OSError`."""
    with os.fdopen(os.memfd_create("codestream"), "w+b", buffering=0) as file:
        file.write(content)
        with _open_stream(file.fileno(), None) as stream:
            yield stream


@contextmanager
def _open_stream(descriptor: int, style_at: int | None) -> Iterator[Any]:
    """A stream that reads the file, with predictable termination at ``style_at`` unless None.

    Its buffer is small: OpenJPEG skips the tiles before the wanted ones by their headers, and
    fills its buffer, a megabyte by default, for each of them.  Raises :class:`OSError`.
    """
    source = _Source(descriptor, style_at)
    callbacks = _Read(source.read), _Skip(source.skip), _Seek(source.seek)
    library = openjp2.OPENJP2
    library.opj_stream_create.restype = openjp2.STREAM_TYPE_P
    stream = ctypes.c_void_p(library.opj_stream_create(ctypes.c_size_t(_STREAM_BYTES), 1))
    try:
        library.opj_stream_set_read_function(stream, callbacks[0])
        library.opj_stream_set_skip_function(stream, callbacks[1])
        library.opj_stream_set_seek_function(stream, callbacks[2])
        length = ctypes.c_uint64(os.fstat(descriptor).st_size)
        library.opj_stream_set_user_data_length(stream, length)
        yield stream
    finally:
        openjp2.stream_destroy(stream)


class _Source:
    """What a stream reads, called by OpenJPEG in one thread."""

    def __init__(self, descriptor: int, style_at: int | None) -> None:
        self._descriptor = descriptor
        self._style_at = style_at
        self._position = 0

    def read(self, target: int, count: int, _data: object) -> int:
        buffer = (ctypes.c_ubyte * count).from_address(target)
        try:
            found = os.preadv(self._descriptor, [buffer], self._position)
        except OSError:
            return _NOTHING
        if self._style_at is not None and 0 <= self._style_at - self._position < found:
            buffer[self._style_at - self._position] |= _PREDICTABLE
        self._position += found
        return found or _NOTHING

    def skip(self, count: int, _data: object) -> int:
        self._position += count
        return count

    def seek(self, position: int, _data: object) -> int:
        self._position = position
        return 1


@contextmanager
def decoded(
    stream: Any, area: Area, messages: list[str], *, boxed: bool, step: int
) -> Iterator[NDArray[np.int32]]:
    """Decode an area of a stream, at every ``step``-th pixel: ``(rows, columns)``.

    The samples are valid inside the context; there are none, ``(0, 0)``, if the library says
    nothing else.  Its messages are added to ``messages``.  Raises ``OpenJPEGLibraryError``.
    """
    listen = _Message(lambda text, _data: _note(messages, text))
    ignore = _Message(lambda _text, _data: None)
    with ExitStack() as stack:
        codec = openjp2.create_decompress(openjp2.CODEC_JP2 if boxed else openjp2.CODEC_J2K)
        stack.callback(openjp2.destroy_codec, codec)
        openjp2.set_error_handler(codec, listen)
        # A header may hold what OpenJPEG does not know; only warnings about pixels count.
        openjp2.set_warning_handler(codec, ignore)
        parameters = openjp2.set_default_decoder_parameters()
        parameters.cp_reduce = step.bit_length() - 1
        openjp2.setup_decoder(codec, parameters)
        image = openjp2.read_header(stream, codec)
        stack.callback(openjp2.image_destroy, image)
        openjp2.set_warning_handler(codec, listen)
        openjp2.set_decode_area(codec, image, area.left, area.top, area.right, area.bottom)
        openjp2.decode(codec, stream, image)
        component = image.contents.comps[0]
        if component.data:
            yield np.ctypeslib.as_array(component.data, shape=(component.h, component.w))
        else:
            yield np.empty((0, 0), np.int32)


def _note(messages: list[str], text: bytes) -> None:
    message = text.decode("utf-8", "replace").strip()
    beyond = _READ_BEYOND.match(message)
    if beyond and int(beyond[1]) <= _MOST_BEYOND:
        return
    if message.startswith("PTERM"):
        message = f"the code of a block does not end where it should ({message})"
    if len(messages) < _MESSAGES_KEPT:
        messages.append(message)
