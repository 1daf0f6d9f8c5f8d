"""Room on the disk, and what its errors mean."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from flightsw.errors import DiskFull, OutputNotWritable
from flightsw.scene.scene import SceneMetadata

# EFBIG: a limit on the size of a file (RLIMIT_FSIZE, or the file system's own).
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# Bytes a pixel, on the generous side of what real masks take.
_BYTES_PER_PIXEL: Final = {
    "mask": 1.0,
    "geotiff": 1 / 16,
    "classes": 1 / 4,
    "fill": 6.0,
    "quicklook": 1 / 8,
}
_SMALL_FILES: Final = 256 << 10


def bytes_needed(chosen: Collection[str], scene: SceneMetadata) -> int:
    """Estimate of what the products take, in bytes."""
    pixels = scene.height * scene.width
    share = sum(_BYTES_PER_PIXEL.get(product, 0.0) for product in chosen)
    return int(pixels * share) + _SMALL_FILES


def check_space(out: Path, needed: int) -> None:
    """Raise :class:`DiskFull` where the folder's file system has less than that many bytes."""
    free = _free(out)
    if free < needed:
        raise _disk_full(out, "too little room", needed, free)


@contextmanager
def disk_errors(out: Path, needed: int) -> Iterator[None]:
    """Turn :class:`OSError` into :class:`DiskFull` or :class:`OutputNotWritable`."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise _disk_full(out, _reason(error), needed, _free(out)) from error
        raise OutputNotWritable(
            error.filename or out,
            _reason(error),
            "Give a folder on a disk that can be written",
        ) from error


def _free(out: Path) -> int:
    status = os.statvfs(out if out.exists() else out.parent)
    return status.f_bavail * status.f_frsize


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _disk_full(out: Path, reason: str, needed: int, free: int) -> DiskFull:
    return DiskFull(
        out,
        f"{reason}: the products take about {needed / 1e6:.1f} MB, {free / 1e6:.1f} MB are free",
        "Free some space, or choose fewer products",
        needed_bytes=needed,
        free_bytes=free,
    )
