"""Sensors by the names of their files."""

from __future__ import annotations

import pytest

from flightsw.scene.sensors import sensor_of


@pytest.mark.parametrize(
    ("name", "platform", "near_infrared"),
    [
        ("LC08_L2SP_196023_20200603", "landsat-8", "B05"),
        ("LO09_L1TP_196023_20200603", "landsat-9", "B05"),
        ("LT05_L2SP_196023_19900603", "landsat-5", "B04"),
        ("HLS.L30.T29UNU.2022278T115411.v2.0.B05.tif", "landsat", "B05"),
        ("S2A_MSIL2A_20221005", "", "B08"),
        ("T29UNU_20221005T115411_B02_10m.tif", "", "B08"),
    ],
)
def test_a_name_shows_the_sensor_and_its_bands(
    name: str, platform: str, near_infrared: str
) -> None:
    sensor = sensor_of("folder", name)
    assert sensor.is_known
    assert sensor.platform == platform
    assert sensor.band(near_infrared) == "B08"


def test_another_name_shows_nothing() -> None:
    sensor = sensor_of("20220101_101010_ssc1_analytic.tif")
    assert (sensor.is_known, sensor.platform, sensor.band("B04")) == (False, "", "B04")


def test_a_band_without_a_counterpart_is_none() -> None:
    assert sensor_of("LC08_L2SP_196023_20200603").band("B08") is None
