"""Names of the Sentinel-2 product specification (S2-PDGS-TAS-DI-PSD)."""

from __future__ import annotations

from typing import Final

BANDS: Final = (
    "B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12",
)  # fmt: skip
"""Spectral bands in the order of their band identifiers, from 0 on."""
