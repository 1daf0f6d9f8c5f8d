from __future__ import annotations

import os
from pathlib import Path

import pytest

from flightsw.telemetry.sensors import Sensors


def _files(folder: Path, **contents: str) -> None:
    folder.mkdir(parents=True)
    for name, text in contents.items():
        (folder / name).write_text(text + "\n")


@pytest.fixture
def sensors(tmp_path: Path) -> Sensors:
    return Sensors(tmp_path, hwmon=tmp_path / "hwmon", thermal=tmp_path / "thermal")


def test_a_jetsons_rail_gives_the_power_in_watts(tmp_path: Path, sensors: Sensors) -> None:
    _files(tmp_path / "hwmon" / "hwmon0", name="nvme", in1_label="VDD_IN", in1_input="1")
    _files(
        tmp_path / "hwmon" / "hwmon1",
        name="ina3221",
        in1_label="VDD_CPU",
        in1_input="1000",
        curr1_input="1000",
        in2_label="VDD_IN",
        in2_input="19000",
        curr2_input="760",
    )
    assert sensors.read().card_power_w == pytest.approx(14.44)


def test_the_rail_can_be_chosen(tmp_path: Path) -> None:
    _files(
        tmp_path / "hwmon1", name="ina3221", in3_label="M2", in3_input="3300", curr3_input="1000"
    )
    chosen = Sensors(tmp_path, hwmon=tmp_path, thermal=tmp_path, power_rail="M2")
    other = Sensors(tmp_path, hwmon=tmp_path, thermal=tmp_path)
    assert chosen.read().card_power_w == pytest.approx(3.3)
    assert other.read().card_power_w is None


def test_a_rail_whose_folder_is_renumbered_is_found_again(tmp_path: Path, sensors: Sensors) -> None:
    chip = tmp_path / "hwmon" / "hwmon1"
    _files(chip, name="ina3221", in1_label="VDD_IN", in1_input="5000", curr1_input="1000")
    assert sensors.card_power() == 5.0
    (chip / "curr1_input").write_text("2000")
    assert sensors.card_power() == 10.0
    chip.rename(tmp_path / "hwmon" / "hwmon2")
    assert sensors.card_power() == 10.0


def test_the_hottest_of_the_cpus_zones_counts_and_others_do_not(
    tmp_path: Path, sensors: Sensors
) -> None:
    _files(tmp_path / "thermal" / "thermal_zone0", type="CPU-therm", temp="51500")
    _files(tmp_path / "thermal" / "thermal_zone1", type="tj-thermal", temp="54250")
    _files(tmp_path / "thermal" / "thermal_zone2", type="battery", temp="99000")
    _files(tmp_path / "hwmon" / "hwmon0", name="k10temp", temp1_input="52000")
    _files(tmp_path / "hwmon" / "hwmon1", name="nvme", temp1_input="80000")
    assert sensors.read().cpu_temperature_c == 54.25


def test_a_chip_gives_the_temperature_if_no_zone_does(tmp_path: Path, sensors: Sensors) -> None:
    _files(tmp_path / "hwmon" / "hwmon0", name="coretemp", temp1_input="61000", temp2_input="63000")
    assert sensors.read().cpu_temperature_c == 63.0


def test_what_is_absent_or_broken_is_none(tmp_path: Path, sensors: Sensors) -> None:
    assert sensors.read().cpu_temperature_c is None
    assert sensors.read().card_power_w is None
    _files(tmp_path / "thermal" / "thermal_zone0", type="cpu", temp="asleep")
    _files(tmp_path / "hwmon" / "hwmon0", name="ina3221", in1_label="VDD_IN", in1_input="5000")
    (tmp_path / "hwmon" / "hwmon1" / "name").mkdir(parents=True)
    _files(tmp_path / "hwmon" / "hwmon2", name="coretemp")
    (tmp_path / "hwmon" / "hwmon2" / "temp1_input").write_bytes(b"\xff\xfe")
    assert sensors.read().cpu_temperature_c is None
    assert sensors.read().card_power_w is None
    gone = Sensors(tmp_path / "gone", hwmon=tmp_path / "gone", thermal=tmp_path / "gone")
    assert gone.read().disk_free_bytes is None


def test_the_process_reports_its_memory_load_and_disk(tmp_path: Path, sensors: Sensors) -> None:
    readings = sensors.read()
    assert readings.memory_bytes is not None
    assert readings.memory_bytes > 1_000_000
    assert readings.cpu_share is not None
    assert 0 <= readings.cpu_share <= 1
    free = os.statvfs(tmp_path)
    assert readings.disk_free_bytes is not None
    assert 0 < readings.disk_free_bytes <= free.f_blocks * free.f_frsize
