"""A plane of a scene as an ``xarray.DataArray``, with coordinates as rioxarray has them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS

from flightsw.errors import UsageError
from flightsw.products.contents import NO_DATA
from flightsw.scene.scene import Georeference

if TYPE_CHECKING:
    from xarray import DataArray

_GRID_MAPPING = "spatial_ref"


def is_data_array(source: Any) -> bool:
    """Whether it is an ``xarray.DataArray``; xarray is not imported."""
    xarray = sys.modules.get("xarray")
    return xarray is not None and isinstance(source, xarray.DataArray)


def require_xarray() -> Any:
    """The module; raises :class:`UsageError` if xarray is not installed."""
    try:
        import xarray  # noqa: PLC0415 - optional
    except ImportError as error:
        cure = 'Run: pip install "flightsw[xarray]"'
        raise UsageError("xarray", "is not installed", cure) from error
    return xarray


def data_array(plane: NDArray[np.uint8], georeference: Georeference | None, name: str) -> DataArray:
    """A plane ``(rows, columns)``, 255 for no data, as an array ``(y, x)``.

    With a georeference, ``x`` and ``y`` are the centres of the pixels, and ``spatial_ref`` holds
    coordinate system and transform.  Raises :class:`UsageError` without xarray.
    """
    xarray = require_xarray()
    coordinates = _coordinates(plane.shape, georeference) if georeference else {}
    return _named(xarray.DataArray(plane, coordinates, ("y", "x")), name)


def data_array_like(source: DataArray, plane: NDArray[np.uint8], name: str) -> DataArray:
    """A plane with the coordinates of a block of bands (those that do not depend on ``band``)."""
    template = source.isel(band=0, drop=True)
    if template.dims == ("x", "y"):
        template = template.transpose("y", "x")
    result = _named(template.copy(data=plane), name)
    for held, given in ((result.attrs, source.attrs), (result.encoding, source.encoding)):
        if "grid_mapping" in given:
            held["grid_mapping"] = given["grid_mapping"]
    return result


def _named(array: DataArray, name: str) -> DataArray:
    array.name = name
    array.encoding = {}
    array.attrs = {"_FillValue": np.uint8(NO_DATA)}
    return array


def _coordinates(shape: tuple[int, ...], georeference: Georeference) -> dict[str, Any]:
    a, b, c, d, e, f = georeference.transform
    wkt = CRS.from_user_input(georeference.crs).to_wkt()
    attributes = {
        "crs_wkt": wkt,
        "spatial_ref": wkt,
        "GeoTransform": " ".join(map(str, (c, a, b, f, d, e))),
    }
    rows, columns = (np.arange(length) + 0.5 for length in shape)
    return {
        "y": ("y", f + e * rows, {"standard_name": "projection_y_coordinate"}),
        "x": ("x", c + a * columns, {"standard_name": "projection_x_coordinate"}),
        _GRID_MAPPING: ((), 0, attributes),
    }
