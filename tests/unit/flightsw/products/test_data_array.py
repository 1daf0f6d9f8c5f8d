from __future__ import annotations

import numpy as np
import pytest
import xarray
from affine import Affine
from rasterio.crs import CRS

from flightsw.errors import UsageError
from flightsw.products.data_array import data_array, data_array_like, is_data_array
from flightsw.scene.scene import Georeference

_PLANE = np.arange(6, dtype=np.uint8).reshape(2, 3)
_GEOREFERENCE = Georeference("EPSG:32632", (10.0, 0.0, 600000.0, 0.0, -20.0, 5300000.0))


def test_a_placed_plane_has_the_centres_of_its_pixels_crs_and_transform() -> None:
    array = data_array(_PLANE, _GEOREFERENCE, "mask")
    assert array.name == "mask"
    assert array.dims == ("y", "x")
    assert array.x.values.tolist() == [600005, 600015, 600025]
    assert array.y.values.tolist() == [5299990, 5299970]
    assert array.attrs["_FillValue"] == 255
    reference = array.spatial_ref.attrs
    assert CRS.from_wkt(reference["crs_wkt"]) == CRS.from_epsg(32632)
    transform = Affine.from_gdal(*map(float, reference["GeoTransform"].split()))
    assert transform == Affine(*_GEOREFERENCE.transform)


def test_a_plane_without_a_place_has_no_coordinates() -> None:
    array = data_array(_PLANE, None, "mask")
    assert not array.coords
    assert array.values.tolist() == _PLANE.tolist()


@pytest.mark.parametrize("dimensions", [("band", "y", "x"), ("y", "x", "band"), ("band", "x", "y")])
def test_a_plane_takes_the_coordinates_of_the_block_but_not_its_attributes(
    dimensions: tuple[str, ...],
) -> None:
    block = xarray.DataArray(
        np.zeros((4, 2, 3)),
        dims=("band", "y", "x"),
        coords={
            "band": ["B02", "B03", "B04", "B08"],
            "wavelength": ("band", [490, 560, 665, 842]),
            "y": [8.0, 7.0],
            "x": [1.0, 2.0, 3.0],
            "spatial_ref": ((), 0, {"crs_wkt": "…"}),
        },
        attrs={"units": "1", "grid_mapping": "spatial_ref"},
    ).transpose(*dimensions)
    array = data_array_like(block, _PLANE, "mask")
    assert array.dims == ("y", "x")
    assert array.values.tolist() == _PLANE.tolist()
    assert set(array.coords) == {"x", "y", "spatial_ref"}
    assert array.y.values.tolist() == [8.0, 7.0]
    assert array.spatial_ref.attrs == {"crs_wkt": "…"}
    assert set(array.attrs) == {"_FillValue", "grid_mapping"}


def test_only_an_array_of_xarray_is_one() -> None:
    assert is_data_array(xarray.DataArray(_PLANE))
    assert not is_data_array(_PLANE)


def test_without_xarray_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "xarray", None)
    with pytest.raises(UsageError, match=r"flightsw\[xarray\]"):
        data_array(_PLANE, None, "mask")
