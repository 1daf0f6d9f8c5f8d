"""A scene as the rest of the service sees it, whatever product it is read from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from flightsw.config import NOTHING_ASSUMED, SceneSettings
from flightsw.scene.area import AreaOfInterest, Polygon
from telecommands.dictionary import Decode, Integrity

DECODED_EXACTLY: Final = "the bands are decoded exactly, not fast, because"
"""How a remark begins if a scene is not decoded fast as requested."""
LARGEST_USUAL: Final = 32_767
"""Of a digital number: 15 bits."""


@dataclass(frozen=True)
class Georeference:
    """Coordinate system and affine transform of the processed pixel grid.

    ``transform`` is ``(a, b, c, d, e, f)``: x = a * column + b * row + c,
    y = d * column + e * row + f, in the units of ``crs`` (for example
    ``EPSG:32629``, metres), at the upper left corner of a pixel.
    """

    crs: str
    transform: tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class GivenMetadata:
    """What the caller says about a product.

    ``offset`` is the DN offset of all bands; with ``scale``, which is for rasters only, reflectance
    = value * ``scale`` + ``offset``.  ``nodata`` is the value that has no data, and ``bands`` names
    the bands of a GeoTIFF in the file's order.  All replace what the files say.  ``tile`` chooses
    one of a product with several tiles.  ``assumed`` is for what neither the caller nor the files
    say.  With ``within``, only files below that folder are opened, and none on the network.
    ``reflectance_step`` is one step of the network's input: JPEG 2000 is decoded without the
    bit-planes below it, None decodes exactly.  ``copies`` is the folder of lossless copies of bands
    in JPEG 2000.
    """

    offset: float | None = None
    scale: float | None = None
    nodata: float | None = None
    bands: tuple[str, ...] = ()
    tile: str = ""
    assumed: SceneSettings = NOTHING_ASSUMED
    within: Path | None = None
    reflectance_step: float | None = None
    copies: Path | None = None

    @property
    def dn_offset(self) -> int | None:
        """The offset that was given, of a product whose scale is not."""
        return None if self.offset is None else int(self.offset)


@dataclass(frozen=True)
class Cut:
    """The rectangle of a larger scene that a scene is, because an area was asked for.

    It begins at the larger scene's row ``top`` and column ``left``.  The strips also show the
    ground around it that the network's windows see: the larger scene's ``rows`` and ``columns``.
    ``polygons`` are rings of (column, row) of this scene, outside of which pixels are no data;
    empty: none are outside.
    """

    area: AreaOfInterest
    top: int
    left: int
    rows: range
    columns: range
    polygons: tuple[Polygon, ...] = ()


@dataclass(frozen=True)
class SceneMetadata:
    """What is known about a scene before its first pixel is decoded.

    ``bands`` is the order of the strips' first axis, in the names that were
    requested; ``substituted`` names the band that stands in for a requested band
    (``{"B08": "B8A"}``).  Reflectance = (DN + ``offsets[band]``) /
    ``quantification``; DN 0 is no data (see ``zero_is_measured``), 65,535 saturated.
    ``height`` and ``width`` are pixels at ``ground_sample_distance`` metres, the distance that
    is really processed; ``integrity`` says how far its files are known to be intact, and
    ``integrity_doubt`` in words why not further; ``remarks`` says in words what differs from the
    request.  ``decode`` is ``fast`` if a band was decoded with fewer bit-planes than its file
    holds: its digital numbers then differ from the file's by ``largest_error`` at most.
    ``cut`` says what it is cut out of, None if it is a whole scene.
    """

    name: str
    tile_id: str
    level: str
    baseline: str
    bands: tuple[str, ...]
    offsets: Mapping[str, int | float]
    quantification: float
    height: int
    width: int
    ground_sample_distance: int
    georeference: Georeference | None = None
    sensed_at: datetime | None = None
    platform: str = ""
    integrity: Integrity = "unknown"
    integrity_doubt: str = ""
    substituted: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    decode: Decode = "exact"
    largest_error: int = 0
    cut: Cut | None = None

    @property
    def shown(self) -> tuple[range, range]:
        """Rows and columns of the files that the strips show: all, or those of the cut."""
        if self.cut:
            return self.cut.rows, self.cut.columns
        return range(self.height), range(self.width)

    @property
    def zero_is_measured(self) -> bool:
        """Whether a single band at DN 0 is a measured reflectance of 0.

        Without an offset, negative reflectance of dark water and shadow was clipped to 0: only a
        pixel with all bands at DN 0 has no data.  With an offset no measured value is 0: a pixel
        with any band at DN 0 has no data.
        """
        return not any(self.offsets.values())


@dataclass(frozen=True)
class Strip:
    """Some rows of a panel: uint16 digital numbers ``(bands, rows, columns)``.

    They begin at row ``top`` and column ``left`` of what the scene's strips show.
    ``decodes_after`` counts the decodes that follow the decode of this strip.
    """

    top: int
    digital_numbers: NDArray[np.uint16]
    decodes_after: int = 0
    left: int = 0

    @cached_property
    def usual(self) -> bool:
        """Whether all numbers are from 1 to :data:`LARGEST_USUAL`: all valid, none saturated.

        One pass over the strip, once; as int16 the larger numbers are negative.
        """
        return bool(self.digital_numbers.view(np.int16).min(initial=1) > 0)


class Scene(Protocol):
    """A product that can be read from top to bottom, once or several times."""

    @property
    def metadata(self) -> SceneMetadata:
        """What is known before the first pixel is decoded."""
        ...

    def strips(self, workers: int) -> AbstractContextManager[Iterator[Strip]]:
        """Decode with ``workers`` threads; leaving the context stops them.

        A scene is one panel, or several side by side with fixed columns.  The iterator gives some
        rows of the first panel, in one strip or several, then the same rows of the next panels,
        then the rows below.  Strips cover every pixel of :attr:`SceneMetadata.shown` without gap
        or overlap; the memory of a strip is freed when its reader drops it.
        The iterator raises :class:`~flightsw.errors.CorruptImage`.
        """
        ...
