from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from flightsw import errors
from flightsw.config import read_settings
from flightsw.fdir.boots import MOST_BOOTS
from tests.integration.unit_files import ROOT, UNITS, install_below, read_unit

SERVICE = read_unit(UNITS / "flightsw.service")
ALL_UNITS = (
    "flightsw.service",
    "flightsw-clocks.service",
    "flightsw-keys.service",
    "flightsw.target",
)
SYSTEM_UNITS = Path("/usr/lib/systemd/system")

RESTART = os.EX_TEMPFAIL
"""Exit status by which the service asks to be started again."""


def statuses(setting: str) -> set[int]:
    return {int(status) for status in SERVICE[setting][0].split()}


def seconds(setting: str) -> float:
    return float(SERVICE[setting][0])


def flight_errors() -> list[type[errors.FlightError]]:
    return [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.FlightError)
    ]


@pytest.fixture
def analyze() -> str:
    command = shutil.which("systemd-analyze")
    if command is None:
        pytest.skip("systemd-analyze is not installed")
    return command


def test_the_service_starts_a_command_that_the_project_installs() -> None:
    command, *arguments = SERVICE["ExecStart"][0].split()
    project = msgspec.toml.decode((ROOT / "pyproject.toml").read_bytes())["project"]
    assert Path(command).name in project["scripts"]
    assert Path(command).parent == Path("/opt/flightsw/bin")
    assert arguments == ["serve", "--settings", "/etc/flightsw/flightsw.toml"]


def test_the_service_notifies_systemd_when_it_is_ready_and_alive() -> None:
    assert SERVICE["Type"] == ["notify"]
    assert SERVICE["NotifyAccess"] == ["main"]
    assert seconds("WatchdogSec") > 0


def test_an_orderly_stop_has_the_time_that_it_may_take() -> None:
    assert seconds("TimeoutStopSec") > 5
    assert SERVICE["KillMode"] == ["mixed"]


def test_a_fault_starts_the_service_again_and_a_wrong_setting_does_not() -> None:
    assert SERVICE["Restart"] == ["on-failure"]
    stays_down = statuses("RestartPreventExitStatus")
    assert stays_down == {errors.UsageError.exit_status, os.EX_CONFIG}
    for kind in flight_errors():
        assert (kind.exit_status in stays_down) == (kind is errors.UsageError), kind


def test_the_restart_telecommand_starts_the_service_again_and_is_not_a_failure() -> None:
    assert statuses("RestartForceExitStatus") == statuses("SuccessExitStatus") == {RESTART}
    assert RESTART not in {kind.exit_status for kind in flight_errors()}


def test_a_boot_loop_reaches_safe_mode_before_systemd_gives_up() -> None:
    assert seconds("StartLimitIntervalSec") == 600
    assert int(SERVICE["StartLimitBurst"][0]) > MOST_BOOTS


def test_the_service_has_a_user_and_limits_of_its_own() -> None:
    assert SERVICE["User"] == ["flightsw"]
    for limit in ("CPUQuota", "MemoryHigh", "MemoryMax", "TasksMax", "LimitNOFILE", "OOMPolicy"):
        assert SERVICE[limit][0], limit


def test_only_the_loopback_is_open() -> None:
    assert SERVICE["IPAddressDeny"] == ["any"]
    assert SERVICE["IPAddressAllow"] == ["localhost"]


def test_the_card_and_the_gpu_are_the_devices_allowed() -> None:
    assert SERVICE["DevicePolicy"] == ["closed"]
    allowed = " ".join(SERVICE["DeviceAllow"])
    for device in ("metis", "nvmap", "nvhost", "nvgpu", "nvidia"):
        assert device in allowed


def test_a_jetson_keeps_the_reference_s_power_budget_by_default() -> None:
    settings = read_settings(ROOT / "deploy" / "jetson" / "flightsw.toml")
    assert settings.pipeline.power_budget_w == 10.0


def test_the_settings_that_ship_lie_where_the_service_may_write() -> None:
    settings = read_settings(ROOT / "deploy" / "jetson" / "flightsw.toml")
    state = Path("/var/lib") / SERVICE["StateDirectory"][0]
    assert settings.service.state_dir == state
    assert state in settings.service.scene_root.parents
    folders = (UNITS / "tmpfiles.d" / "flightsw.conf").read_text()
    for folder in (settings.service.scene_root, settings.service.inbox):
        assert f"d {folder} 2770 flightsw flightsw\n" in folders


def test_the_service_can_write_neither_its_keys_nor_its_code() -> None:
    folder = read_settings(ROOT / "deploy" / "jetson" / "flightsw.toml").service.keys_folder
    assert SERVICE["ReadOnlyPaths"] == [f"-{folder}"]
    assert SERVICE["ProtectSystem"] == ["strict"]
    assert "ReadWritePaths" not in SERVICE
    for name in ("State", "Cache", "Runtime", "Configuration"):
        assert SERVICE[f"{name}Directory"] == ["flightsw"]  # the service's own
    writable = {"/var/lib/flightsw", "/var/cache/flightsw", "/run/flightsw", "/tmp", "/var/tmp"}
    assert {path.lstrip("-") for path in SERVICE["NoExecPaths"][0].split()} >= writable


def test_the_target_brings_up_everything() -> None:
    target = read_unit(UNITS / "flightsw.target")
    wanted = {unit for part in (target, SERVICE) for unit in part["Wants"][0].split()}
    assert wanted == set(ALL_UNITS) - {"flightsw.target"}
    for unit in wanted:
        assert read_unit(UNITS / unit)["PartOf"] == ["flightsw.target"]


def test_the_clocks_of_the_reference_are_set_before_the_service_starts() -> None:
    clocks = read_unit(UNITS / "flightsw-clocks.service")
    assert clocks["ExecStart"] == ["/usr/sbin/nvpmodel -m 2", "/usr/bin/jetson_clocks"]
    assert clocks["Before"] == ["flightsw.service"]
    assert "flightsw-clocks.service" in SERVICE["After"][0]


def test_the_keys_are_made_by_the_service_s_user_at_its_first_start_and_never_again() -> None:
    keys = read_unit(UNITS / "flightsw-keys.service")
    command = ["/opt/flightsw/bin/flightsw", "keys", "generate", "--settings"]
    assert keys["ExecStart"][0].split() == [*command, "/etc/flightsw/flightsw.toml"]
    folder = read_settings(ROOT / "deploy" / "jetson" / "flightsw.toml").service.keys_folder
    assert keys["ConditionPathExists"] == [f"!{folder}/service.key_secret"]
    for setting in ("User", "UMask", "StateDirectory"):
        assert keys[setting] == SERVICE[setting]
    assert "flightsw-keys.service" in SERVICE["After"][0]


@pytest.mark.skipif(shutil.which("systemctl") is None, reason="systemctl is not installed")
@pytest.mark.skipif(not SYSTEM_UNITS.is_dir(), reason="systemd's own units are not installed")
def test_systemd_finds_nothing_to_say_about_an_installation(tmp_path: Path, analyze: str) -> None:
    install_below(tmp_path)
    shutil.copytree(SYSTEM_UNITS, tmp_path / SYSTEM_UNITS.relative_to("/"), symlinks=True)
    for command in ("opt/flightsw/bin/flightsw", "usr/sbin/nvpmodel", "usr/bin/jetson_clocks"):
        path = tmp_path / command
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    done = subprocess.run(
        [analyze, "verify", f"--root={tmp_path}", "--man=no", "--recursive-errors=one", *ALL_UNITS],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("unit", "most"),
    [("flightsw.service", 1.5), ("flightsw-keys.service", 1.5), ("flightsw-clocks.service", 4.0)],
)
def test_the_units_are_hardened(analyze: str, unit: str, most: float) -> None:
    done = subprocess.run(
        [analyze, "security", "--offline=true", "--no-pager", str(UNITS / unit)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze knows no --offline (it came with systemd 250)")
    exposure = re.search(rf"Overall exposure level for {unit}: ([\d.]+)", done.stdout)
    assert exposure, done.stderr
    assert float(exposure[1]) <= most
