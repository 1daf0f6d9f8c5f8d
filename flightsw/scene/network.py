"""Limits of what GDAL reads from the network."""

from __future__ import annotations

import os
from typing import Any, Final

import rasterio

NETWORK_CURE: Final = "Check the address and the network"
_LIMITS: Final = {
    "GDAL_HTTP_CONNECTTIMEOUT": "10",  # seconds
    "GDAL_HTTP_TIMEOUT": "30",  # seconds, of one request
    "GDAL_HTTP_MAX_RETRY": "2",
    "GDAL_HTTP_RETRY_DELAY": "1",  # seconds
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # look for no files beside
}


def network_limits() -> Any:
    """A context with deadlines for requests; the environment's own values take precedence."""
    return rasterio.Env(**{name: os.environ.get(name, usual) for name, usual in _LIMITS.items()})
