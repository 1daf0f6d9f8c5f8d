"""JPEG 2000 decoded on the GPU with nvImageCodec, with the same samples as on the CPU.

The calls are those of nvImageCodec 0.9
(https://docs.nvidia.com/cuda/nvimagecodec/py_api.html), which hands JPEG 2000 to
nvJPEG2000.  Its Python calls decode regions but no reduced resolutions.  It refuses
the boxes of ESA's files ("Invalid box size"), so it is given their bare codestreams.
The CPU decodes the 9/7 wavelet, because decoders round it differently.  After a failure
of the GPU the CPU decodes.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock
from typing import Any, Final, Literal

import numpy as np
import structlog
from numpy.typing import NDArray

from flightsw.errors import CorruptImage, SceneError
from flightsw.host.cuda import cuda_answers
from flightsw.scene.jp2 import Area, Jp2Band, copy_rows, stacked_shape
from flightsw.scene.strips import StripPart

Decoder = Literal["auto", "cpu", "gpu"]

_LIBRARY: Final = "nvidia.nvimgcodec"
_LIBRARY_ERRORS: Final = (RuntimeError, OSError, MemoryError, AttributeError, TypeError, ValueError)
_COMPARED_SIDE: Final = 1024  # pixels, a tile of a real 10 m band
_TURN_SECONDS: Final = 60.0  # longest wait for another thread's strip, which takes a second
_CURE: Final = "Set pipeline.decoder to auto or cpu"
_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True)
class ChosenDecoder:
    """What reads the strips, and remarks that say why an existing GPU is not used."""

    parts: tuple[StripPart, ...]
    remarks: tuple[str, ...] = ()


def choose_decoder(bands: tuple[Jp2Band, ...], decoder: Decoder, *, checked: bool) -> ChosenDecoder:
    """The GPU for all bands together or the CPU for each of them.

    The GPU decodes files that all decoders compute identically, if a CUDA device and
    nvImageCodec are available and a tile in the middle of the first band is decoded
    identically by both.  ``auto`` also requires that the files are ``checked`` against
    checksums meanwhile, because nvJPEG2000 may overlook damage that OpenJPEG
    reports; ``gpu`` raises :class:`SceneError` if the device or the library is absent.
    """
    if decoder == "cpu" or (decoder == "auto" and not cuda_answers()):
        return ChosenDecoder(bands)
    if reason := _reason_for_cpu(bands, checked=checked or decoder == "gpu"):
        return _on_cpu(bands, reason)
    try:
        codec = _open_codec(bands)
    except GpuError as error:
        if decoder == "gpu":
            cause = f"cannot be used because {error}"
            raise SceneError("pipeline.decoder gpu", cause, _CURE) from error
        return _on_cpu(bands, str(error))
    try:
        _compare(codec, bands[0])
    except GpuError as error:
        return _on_cpu(bands, str(error))
    return ChosenDecoder((GpuBands(codec, bands),))


class GpuError(Exception):
    """Why the GPU does not decode something, as a clause; caught here, and the CPU decodes."""


def _on_cpu(bands: tuple[Jp2Band, ...], reason: str) -> ChosenDecoder:
    return ChosenDecoder(bands, (f"JPEG 2000 is decoded on the CPU because {reason}",))


def _reason_for_cpu(bands: Sequence[Jp2Band], *, checked: bool) -> str:
    """Why the GPU cannot decode the files; empty if it can."""
    if any(band.step > 1 for band in bands):
        return "nvImageCodec cannot decode reduced resolutions"
    if len({(band.codestream.width, band.codestream.height) for band in bands}) > 1:
        return "the bands are measured at different distances"
    if not all(band.codestream.reversible for band in bands):
        return "decoders round the 9/7 wavelet differently"
    return "" if checked else "no checksum shows whether the files are intact"


def _open_codec(bands: Sequence[Jp2Band]) -> GpuCodec:
    if not cuda_answers():
        raise GpuError("no CUDA device answers")
    try:
        library = importlib.import_module(_LIBRARY)
    except (ImportError, OSError) as error:
        raise GpuError(f"nvImageCodec cannot be loaded ({error})") from error
    return GpuCodec(library, bands)


def _compare(codec: GpuCodec, band: Jp2Band) -> None:
    """Decode the tile in the middle of the first band on GPU and CPU; they must agree."""
    image = band.codestream
    rows, columns = (min(side, _COMPARED_SIDE) for side in (image.tile_height, image.tile_width))
    top, left = image.height // 2 // rows * rows, image.width // 2 // columns * columns
    expected = np.empty(
        (min(rows, image.height - top), min(columns, image.width - left)), np.uint16
    )
    try:
        band.read_area(top, left, [expected])
    except CorruptImage as error:
        raise GpuError(error.sentence) from error
    found = codec.decode(band.area(top, left, expected.shape))[0]
    if not np.array_equal(found, expected):
        raise GpuError(f"the GPU gives different samples at row {top}, column {left}")


class GpuCodec:
    """The library's calls: one area of every file in one batch.

    Raises :class:`GpuError` if a call fails.
    """

    def __init__(self, library: Any, bands: Sequence[Jp2Band]) -> None:
        self._library = library
        self._paths = tuple(band.path for band in bands)
        try:
            gpu = library.Backend(library.BackendKind.GPU_ONLY)
            self._decoder = library.Decoder(max_num_cpu_threads=len(bands), backends=[gpu])
            self._parameters = library.DecodeParams(
                apply_exif_orientation=False,
                color_spec=library.ColorSpec.UNCHANGED,
                allow_any_depth=True,  # digital numbers as they are, not scaled to uint8
            )
            self._streams = [library.CodeStream(_mapped(band)) for band in bands]
        except _LIBRARY_ERRORS as error:
            raise GpuError(f"nvImageCodec cannot be used ({error})") from error

    def decode(self, area: Area) -> list[NDArray[np.uint16]]:
        """The area of each file, uint16 ``(rows, columns)``; one thread at a time."""
        try:
            region = self._library.Region(area.top, area.left, area.bottom, area.right)
            sources = [stream.get_sub_code_stream(region=region) for stream in self._streams]
            images = self._decoder.decode(sources, params=self._parameters)
            # An image that could not be decoded is None; cpu() waits for the pixels.
            copies = [None if image is None else image.cpu() for image in images]
        except _LIBRARY_ERRORS as error:
            raise GpuError(f"nvImageCodec fails ({error})") from error
        if len(copies) != len(self._paths):
            raise GpuError(f"nvImageCodec gives {len(copies)} images, not {len(self._paths)}")
        return [_pixels(copy, area, path) for copy, path in zip(copies, self._paths, strict=True)]


def _mapped(band: Jp2Band) -> NDArray[np.uint8]:
    """The bytes of the codestream: the library keeps them, the disk is read on demand."""
    image = band.codestream
    return np.memmap(band.path, np.uint8, "r", image.begin, (image.end - image.begin,))


def _pixels(image: Any, area: Area, path: Path) -> NDArray[np.uint16]:
    if image is None:
        raise GpuError(f"nvImageCodec does not decode {path.name} from row {area.top}")
    pixels: NDArray[np.uint16] = np.asarray(image)
    shape = (area.bottom - area.top, area.right - area.left, 1)
    if pixels.shape != shape or pixels.dtype != np.uint16:
        raise GpuError(f"nvImageCodec gives {pixels.dtype} {pixels.shape}, not uint16 {shape}")
    return pixels[:, :, 0]


class GpuBands:
    """All bands of each strip in one call, a :class:`~flightsw.scene.strips.StripPart`.

    After the first failure the CPU reads; it decides whether a file is damaged.
    """

    def __init__(self, codec: GpuCodec, bands: tuple[Jp2Band, ...]) -> None:
        self._codec = codec
        self._by_cpu = bands
        self._turn = Lock()
        self._given_up = Event()

    @property
    def bands(self) -> slice:
        """Every band of the strip."""
        return slice(0, len(self._by_cpu))

    def read(self, top: int, left: int, targets: Sequence[NDArray[np.uint16]]) -> None:
        """Decode from row ``top`` and column ``left`` into ``targets``, each ``(bands, H, W)``.

        Raises :class:`~flightsw.errors.CorruptImage`.
        """
        if not self._read_by_gpu(top, left, targets):
            for band in self._by_cpu:
                band.read(top, left, [target[band.bands] for target in targets])

    def _read_by_gpu(self, top: int, left: int, targets: Sequence[NDArray[np.uint16]]) -> bool:
        if self._given_up.is_set():
            return False
        if not self._turn.acquire(timeout=_TURN_SECONDS):
            self._give_up("another strip has not been finished", top)
            return False
        try:
            if self._given_up.is_set():
                return False
            planes = [[target[band] for target in targets] for band in range(len(self._by_cpu))]
            area = self._by_cpu[0].area(top, left, stacked_shape(planes[0]))
            for plane, pixels in zip(planes, self._codec.decode(area), strict=True):
                copy_rows(pixels, plane)
        except GpuError as error:
            self._give_up(str(error), top)
            return False
        finally:
            self._turn.release()
        return True

    def _give_up(self, cause: str, top: int) -> None:
        self._given_up.set()
        _log.warning("JPEG 2000 is decoded on the CPU from here", cause=cause, row=top)
