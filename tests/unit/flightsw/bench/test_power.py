from __future__ import annotations

from pathlib import Path

from flightsw.bench.power import PowerMeter
from flightsw.telemetry.sensors import Sensors


def _meter(hwmon: Path) -> PowerMeter:
    return PowerMeter(Sensors(hwmon, hwmon=hwmon, thermal=hwmon))


def test_the_mean_power_is_that_of_the_boards_rail(tmp_path: Path) -> None:
    chip = tmp_path / "hwmon3"
    chip.mkdir()
    for name, text in (
        ("name", "ina3221"),
        ("in1_label", "VDD_IN"),
        ("in1_input", "5000"),
        ("curr1_input", "2880"),
    ):
        (chip / name).write_text(text + "\n")
    with _meter(tmp_path) as meter:
        pass
    assert meter.mean_watts == 14.4


def test_without_a_meter_there_is_no_power(tmp_path: Path) -> None:
    with _meter(tmp_path) as meter:
        assert meter.read() is None
    assert meter.mean_watts is None
