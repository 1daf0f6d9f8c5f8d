"""What the stored values of a raster mean, by what was given, tagged or assumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from flightsw.config import SceneSettings
from flightsw.errors import BadMetadata
from flightsw.scene.reflectance import reflectance_table
from flightsw.scene.scene import GivenMetadata
from flightsw.scene.stored_values import StoredBand, ValueRule, rule_of

PLAIN = StoredBand(Path("a.tif"), "uint16", 1.0, 0.0, None)
TAGGED = replace(PLAIN, scale=1e-4, offset=-0.1)
BANDS = ("B02", "B03", "B04", "B08")


def rule(band: StoredBand, given: GivenMetadata = GivenMetadata()) -> ValueRule:  # noqa: B008
    return rule_of(dict.fromkeys(BANDS, band), given)


def numbers(found: ValueRule, values: np.ndarray) -> np.ndarray:
    convert = found.conversion(Path("a.tif"), BANDS[: len(values)])
    assert convert is not None
    return convert.digital_numbers(values)


@pytest.mark.parametrize(
    ("band", "given", "quantification", "offset"),
    [
        (TAGGED, GivenMetadata(), 10_000, -1000),
        (TAGGED, GivenMetadata(offset=0), 10_000, 0),
        (PLAIN, GivenMetadata(offset=-1000), 10_000, -1000),
        (PLAIN, GivenMetadata(offset=-0.1, scale=1e-4), 10_000, -1000),
        (TAGGED, GivenMetadata(offset=0, scale=1e-4), 10_000, 0),
        (TAGGED, GivenMetadata(scale=5e-5), 20_000, -2000),
        (PLAIN, GivenMetadata(offset=-0.2, scale=2.75e-5), 36363.636364, -7272.727273),
        (
            PLAIN,
            GivenMetadata(assumed=SceneSettings(scale=2.75e-5, offset=-0.2)),
            36363.636364,
            -7272.727273,
        ),
        (PLAIN, GivenMetadata(assumed=SceneSettings(offset=-1000)), 10_000, -1000),
        (TAGGED, GivenMetadata(assumed=SceneSettings(scale=2.75e-5, offset=-0.2)), 10_000, -1000),
    ],
)
def test_values_of_uint16_are_digital_numbers(
    band: StoredBand, given: GivenMetadata, quantification: float, offset: float
) -> None:
    found = rule(band, given)
    assert found.conversion(Path("a.tif"), BANDS) is None
    assert found.quantification == pytest.approx(quantification)
    assert [*found.offsets.values()] == pytest.approx([offset] * 4)
    assert {type(one) for one in found.offsets.values()} == {
        int if float(offset).is_integer() else float
    }


def test_the_scale_and_offset_of_landsat_give_its_reflectance() -> None:
    found = rule(PLAIN, GivenMetadata(offset=-0.2, scale=2.75e-5))
    table = reflectance_table(found.offsets["B02"], found.quantification, np.float64)
    stored = np.arange(1, 65_536)
    np.testing.assert_allclose(table[1:], stored * 2.75e-5 - 0.2, atol=1e-9)


@drawn(
    scale=st.sampled_from([1e-4, 2e-4, 2.75e-5, 1.0]),
    offset=st.sampled_from([0.0, -0.1, -0.2]),
    reflectance=st.lists(st.floats(-0.09, 6.0), min_size=1, max_size=20),
    dtype=st.sampled_from(["float32", "float64", "int32"]),
)
def test_a_converted_value_keeps_its_reflectance(
    scale: float, offset: float, reflectance: list[float], dtype: str
) -> None:
    if dtype == "int32" and scale == 1.0:
        scale = 1e-4
    values = (np.array([reflectance]) - offset) / scale
    stored = (np.rint(values) if dtype == "int32" else values).astype(dtype)
    band = replace(PLAIN, dtype=dtype, no_data=-5.0)
    found = numbers(rule(band, GivenMetadata(scale=scale, offset=offset)), stored)
    expected = np.clip(stored.astype(np.float64) * scale + offset, -0.0999, 6.4535)
    got = (found.astype(np.float64) - 1000) / 10_000
    np.testing.assert_allclose(got, expected, atol=0.00006)


@pytest.mark.parametrize("mark", [-9999.0, 7.0, 65_535.0])
def test_only_the_mark_becomes_0(mark: float) -> None:
    band = replace(PLAIN, dtype="int32", scale=1e-4, no_data=mark)
    values = np.array([[mark, 0, 1, -900]], np.int32)
    np.testing.assert_array_equal(numbers(rule(band), values), [[0, 1000, 1001, 100]])


def test_a_measured_value_never_becomes_no_data() -> None:
    band = replace(PLAIN, dtype="float32", no_data=-1.0)
    values = np.array([[-0.1, -0.2, -0.29]], np.float32)
    np.testing.assert_array_equal(numbers(rule(band), values), [[1, 1, 1]])


def test_with_an_offset_a_0_of_one_band_has_no_data() -> None:
    band = replace(PLAIN, dtype="int16", scale=1e-4, offset=-0.1)
    found = rule(band)
    assert found.fill is None
    np.testing.assert_array_equal(numbers(found, np.array([[0, 1000]], np.int16)), [[0, 1000]])


def test_the_mark_of_float32_is_compared_as_float32() -> None:
    band = replace(PLAIN, dtype="float32", no_data=-3.4028234663852886e38)
    values = np.array([[-3.4028235e38, 0.5]], np.float32)
    np.testing.assert_array_equal(numbers(rule(band), values), [[0, 6000]])


@pytest.mark.parametrize(
    ("band", "given", "cause"),
    [
        (PLAIN, GivenMetadata(), "DN offset is unknown.*sensor other than Sentinel-2"),
        (PLAIN, GivenMetadata(scale=1e-4), "has no offset tag"),
        (replace(PLAIN, scale=2.0), GivenMetadata(), "scale tags"),
        (replace(PLAIN, scale=float("nan")), GivenMetadata(), "scale tags"),
        (replace(PLAIN, dtype="float32"), GivenMetadata(offset=-1000), "without a scale"),
        (replace(PLAIN, dtype="float32", offset=0.5), GivenMetadata(), "offset tag of 0.5"),
        (TAGGED, GivenMetadata(nodata=-9999), "-9999 given as no data.* from 0 to 65535"),
        (replace(TAGGED, no_data=-9999.0), GivenMetadata(), "-9999 tagged as no data"),
        (replace(TAGGED, dtype="int16"), GivenMetadata(nodata=0.5), "0.5 given as no data"),
        (replace(TAGGED, dtype="int16"), GivenMetadata(nodata=float("nan")), "nan given"),
        (replace(TAGGED, dtype="float32"), GivenMetadata(nodata=1e300), r"1e\+300 given"),
        (
            PLAIN,
            GivenMetadata(assumed=SceneSettings(offset=0, nodata=-1)),
            "-1 assumed as no data",
        ),
    ],
)
def test_what_cannot_be_is_refused(band: StoredBand, given: GivenMetadata, cause: str) -> None:
    with pytest.raises(BadMetadata, match=cause):
        rule(band, given)


def test_bands_of_different_scales_are_refused() -> None:
    bands: Mapping[str, StoredBand] = {"B02": TAGGED, "B03": replace(TAGGED, scale=2e-4)}
    with pytest.raises(BadMetadata, match=r"\(0.0001, 0.0002\)"):
        rule_of(bands, GivenMetadata())
