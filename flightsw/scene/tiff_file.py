"""Opening GeoTIFFs: plain files of this machine, or files on the network within limits."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from glob import escape
from pathlib import Path
from typing import Any, Final

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError

from flightsw.errors import BadMetadata, CorruptImage
from flightsw.host.disk import check_plain
from flightsw.host.location import Location, shown

WRITE_CURE: Final = "Write the file again"
_LARGEST_XML: Final = 4 << 20  # bytes of a file beside the image, which GDAL reads whole
_NETWORK_LIMITS: Final = {
    "GDAL_HTTP_CONNECTTIMEOUT": "10",  # seconds
    "GDAL_HTTP_TIMEOUT": "30",  # seconds, of one request
    "GDAL_HTTP_MAX_RETRY": "2",
    "GDAL_HTTP_RETRY_DELAY": "1",  # seconds
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # look for no files beside
}


def cure_for(location: Location) -> str:
    """What to do about a file that cannot be read."""
    remote = "Check the address and the network; the server must answer requests for ranges"
    return WRITE_CURE if isinstance(location, Path) else remote


@contextmanager
def open_tiff(location: Location, overview: int | None = None) -> Iterator[Any]:
    """Open a file, or one of its overviews; raises what GDAL raises."""
    options = {} if overview is None else {"overview_level": overview}
    with ExitStack() as held:
        if isinstance(location, str):
            held.enter_context(_network_limits())
        yield held.enter_context(rasterio.open(location, driver="GTiff", **options))


@contextmanager
def open_tiff_checked(location: Location, overview: int | None = None) -> Iterator[Any]:
    """Open a file whose tags are read; raises :class:`CorruptImage` and :class:`BadMetadata`."""
    if isinstance(location, Path):
        _check_plain(location)
    with ExitStack() as held:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)  # reported below
                file = held.enter_context(open_tiff(location, overview))
        except (RasterioIOError, OSError, ValueError) as error:
            cause = f"is not a readable GeoTIFF: {shown(error).rstrip('.')}"
            raise CorruptImage(shown(location), cause, cure_for(location)) from error
        if file.transform.is_identity:
            raise BadMetadata(shown(location), "has no georeference", "Write it with its grid")
        try:
            yield file
        except UnicodeDecodeError as error:  # of a tag that is read only now
            cause = f"has tags whose text is not UTF-8 ({error.reason})"
            cure = "Write its tags and band descriptions as UTF-8, or remove them"
            raise BadMetadata(shown(location), cause, cure) from error


def _check_plain(path: Path) -> None:
    """GDAL opens the file, and those beside it whose names begin alike, such as ``.aux.xml``."""
    beside = (one for one in path.parent.glob(f"{escape(path.stem)}*") if one.exists())
    for file in (path, *(one for one in beside if not one.is_dir())):
        try:
            check_plain(file)
            if file.suffix.lower() == ".xml" and file.stat().st_size > _LARGEST_XML:
                raise CorruptImage(file, f"is larger than {_LARGEST_XML} bytes", WRITE_CURE)
        except OSError as error:
            raise CorruptImage(file, f"cannot be read ({error.strerror})", WRITE_CURE) from error


def _network_limits() -> Any:
    """A context with deadlines for requests; the environment's own values take precedence."""
    limits = {name: os.environ.get(name, usual) for name, usual in _NETWORK_LIMITS.items()}
    return rasterio.Env(**limits)
