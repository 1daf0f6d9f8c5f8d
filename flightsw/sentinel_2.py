"""Names of the Sentinel-2 product specification (S2-PDGS-TAS-DI-PSD)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

BANDS: Final = (
    "B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12",
)  # fmt: skip
"""Spectral bands in the order of their band identifiers, from 0 on."""

DISTANCES: Final = (10, 20, 60)
"""Metres between pixels of the files of a product."""

NATIVE_DISTANCES: Final[Mapping[str, int]] = {
    **dict.fromkeys(("B02", "B03", "B04", "B08"), 10),
    **dict.fromkeys(("B05", "B06", "B07", "B8A", "B11", "B12"), 20),
    **dict.fromkeys(("B01", "B09", "B10"), 60),
}
"""Metres between pixels as each band is measured (Sentinel-2 user handbook, table 1)."""


def tile_id(*names: str) -> str:
    """The tile, such as ``T29UNU``, in the first file name that has one; empty if none has."""
    found = (re.search(r"(?:^|[_.])(T\d{2}[A-Z]{3})(?:[_.]|$)", name) for name in names)
    return next((match[1] for match in found if match), "")
