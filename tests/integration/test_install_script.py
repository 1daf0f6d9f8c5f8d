from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flightsw.config import read_settings
from tests.integration.unit_files import (
    INSTALL,
    LOCK,
    ROOT,
    UNINSTALL,
    UNITS,
    install_below,
    run_script,
)

pytestmark = pytest.mark.skipif(
    shutil.which("systemctl") is None, reason="systemctl is not installed"
)

PLACES = {
    "etc/systemd/system/flightsw.service": UNITS / "flightsw.service",
    "etc/systemd/system/flightsw-clocks.service": UNITS / "flightsw-clocks.service",
    "etc/systemd/system/flightsw-keys.service": UNITS / "flightsw-keys.service",
    "etc/systemd/system/flightsw.target": UNITS / "flightsw.target",
    "etc/sysusers.d/flightsw.conf": UNITS / "sysusers.d" / "flightsw.conf",
    "etc/tmpfiles.d/flightsw.conf": UNITS / "tmpfiles.d" / "flightsw.conf",
    "etc/flightsw/flightsw.toml": ROOT / "deploy" / "jetson" / "flightsw.toml",
}

LINKS = {
    "etc/systemd/system/multi-user.target.wants/flightsw.target",
    "etc/systemd/system/flightsw.target.wants/flightsw.service",
    "etc/systemd/system/flightsw.target.wants/flightsw-clocks.service",
}


def contents(root: Path) -> dict[str, str]:
    """Every file and link below a folder, with its mode and content or target."""
    return {
        path.relative_to(root).as_posix(): (
            f"-> {path.readlink()}"
            if path.is_symlink()
            else f"{path.stat().st_mode:o} {path.read_text()}"
        )
        for path in sorted(root.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def test_an_installation_puts_every_file_in_its_place_and_enables_the_units(
    tmp_path: Path,
) -> None:
    install_below(tmp_path)
    found = contents(tmp_path)
    assert set(found) == set(PLACES) | LINKS
    for place, source in PLACES.items():
        assert found[place] == f"100644 {source.read_text()}"


def test_installing_twice_is_installing_once(tmp_path: Path) -> None:
    install_below(tmp_path)
    once = contents(tmp_path)
    install_below(tmp_path)
    assert contents(tmp_path) == once


def test_an_update_brings_new_units_and_keeps_the_operator_s_settings(tmp_path: Path) -> None:
    install_below(tmp_path)
    unit = tmp_path / "etc/systemd/system/flightsw.service"
    unit.write_text("[Service]\nExecStart=/old\n")
    settings = tmp_path / "etc/flightsw/flightsw.toml"
    settings.write_text("# the operator's own\n")
    install_below(tmp_path)
    assert unit.read_text() == (UNITS / "flightsw.service").read_text()
    assert settings.read_text() == "# the operator's own\n"


def test_the_installation_names_the_unit_in_the_settings(tmp_path: Path) -> None:
    install_below(tmp_path, "--unit", "sat-a")
    settings = tmp_path / "etc/flightsw/flightsw.toml"
    assert read_settings(settings).service.unit == "sat-a"
    once = settings.read_text()
    install_below(tmp_path, "--unit", "sat-a")
    install_below(tmp_path)
    assert settings.read_text() == once
    options = ("--root", tmp_path, "--keep-environment", "--unit")
    for other in ("sat-b", "sat a", "s" * 21):
        done = run_script(INSTALL, *options, other)
        assert done.returncode == 1
        assert other in done.stderr
    assert settings.read_text() == once


def test_a_running_system_is_not_installed_without_the_name_of_the_unit() -> None:
    done = run_script(INSTALL, "--dry-run")
    assert done.returncode == 1
    assert "--unit NAME" in done.stderr


@pytest.mark.parametrize(
    ("script", "options"), [(INSTALL, ["--keep-environment"]), (UNINSTALL, [])]
)
def test_a_dry_run_shows_the_steps_and_changes_nothing(
    tmp_path: Path, script: Path, options: list[str]
) -> None:
    if script == UNINSTALL:
        install_below(tmp_path)
    before = contents(tmp_path)
    done = run_script(script, "--dry-run", "--root", tmp_path, *options)
    assert done.returncode == 0, done.stderr
    assert f"would run: systemctl --root={tmp_path}" in done.stdout
    assert contents(tmp_path) == before


def test_a_dry_run_shows_what_would_happen_to_the_running_system() -> None:
    options = ("--unit", "sat-a", "--add", "axelera_runtime-1.5.0-py3-none-any.whl")
    done = run_script(INSTALL, "--dry-run", *options)
    assert done.returncode == 0, done.stderr
    steps = [line for line in done.stdout.splitlines() if line.startswith("would run: ")]
    pip = "pip install --disable-pip-version-check"
    order = [
        f"{pip} --require-hashes --only-binary=:all: --requirement {LOCK}",
        f"{pip} --no-deps {ROOT}",
        f"{pip} axelera_runtime-1.5.0-py3-none-any.whl",
        "bin/flightsw --version",
        "mv -T /opt/flightsw.new /opt/flightsw",
        "/etc/systemd/system/flightsw.service",
        "systemd-sysusers /etc/sysusers.d/flightsw.conf",
        "systemd-tmpfiles --create",
        "systemctl daemon-reload",
        "systemctl enable flightsw.target",
        "systemctl start flightsw-keys.service",
        "systemctl try-restart",
    ]
    places = [next(i for i, step in enumerate(steps) if part in step) for part in order]
    assert places == sorted(places)


def test_the_same_sources_give_the_same_wheel(tmp_path: Path) -> None:
    """A folder build/ of an earlier build changes nothing either."""
    for name in ("docs", "flightsw", "telecommands"):
        shutil.copytree(ROOT / name, tmp_path / "checkout" / name)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / "checkout")
    function = f'source "{INSTALL.with_name("wheel.sh")}"; build_wheel "$@"'
    made: list[bytes] = []
    for name in ("first", "second"):
        arguments = [sys.executable, str(tmp_path / "checkout"), str(tmp_path / name)]
        subprocess.run(["bash", "-euc", function, "-", *arguments], check=True, timeout=600)
        (wheel,) = (tmp_path / name).iterdir()
        made.append(wheel.read_bytes())
        (tmp_path / "checkout" / "build" / "lib" / "flightsw").mkdir(parents=True, exist_ok=True)
        (tmp_path / "checkout" / "build" / "lib" / "flightsw" / "old.py").touch()
    assert made[0] == made[1]


def test_a_python_that_is_too_old_is_refused(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    done = run_script(INSTALL, "--root", tmp_path / "root", "--python", python)
    assert done.returncode == 1
    assert "--python" in done.stderr
    assert not (tmp_path / "root").exists()


def _with_state(root: Path) -> None:
    for file in ("var/lib/flightsw/state.sqlite", "var/cache/flightsw/kernel"):
        (root / file).parent.mkdir(parents=True)
        (root / file).write_text("kept?")
    release = root / "opt/flightsw-releases/0.2.0-1"
    release.mkdir(parents=True)
    (release / "pyvenv.cfg").write_text("")
    (root / "opt/flightsw").symlink_to("flightsw-releases/0.2.0-1")


def test_uninstalling_keeps_state_and_settings(tmp_path: Path) -> None:
    install_below(tmp_path)
    _with_state(tmp_path)
    for _ in range(2):
        done = run_script(UNINSTALL, "--root", tmp_path)
        assert done.returncode == 0, done.stderr
        assert set(contents(tmp_path)) == {
            "etc/flightsw/flightsw.toml",
            "var/lib/flightsw/state.sqlite",
        }


def test_purging_leaves_nothing(tmp_path: Path) -> None:
    install_below(tmp_path)
    _with_state(tmp_path)
    done = run_script(UNINSTALL, "--purge", "--root", tmp_path)
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path) == {}


def test_a_folder_that_is_not_a_virtual_environment_is_not_deleted(tmp_path: Path) -> None:
    (tmp_path / "opt/flightsw").mkdir(parents=True)
    (tmp_path / "opt/flightsw/somebody's").write_text("file")
    done = run_script(UNINSTALL, "--root", tmp_path)
    assert done.returncode == 1
    assert "opt/flightsw" in done.stderr
    assert (tmp_path / "opt/flightsw/somebody's").exists()


@pytest.mark.parametrize("script", [INSTALL, UNINSTALL])
@pytest.mark.parametrize("options", [["--unknown"], ["--root"], ["--root", ""]])
def test_a_wrong_option_is_refused(script: Path, options: list[str]) -> None:
    done = run_script(script, *options)
    assert done.returncode != 0
    assert "--" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.skipif(
    None in (shutil.which("systemd-sysusers"), shutil.which("systemd-tmpfiles")),
    reason="systemd-sysusers and systemd-tmpfiles are not installed",
)
def test_systemd_makes_the_user_and_its_folders(tmp_path: Path) -> None:
    install_below(tmp_path)
    for _ in range(2):
        for command in (["systemd-sysusers"], ["systemd-tmpfiles", "--create"]):
            subprocess.run(
                [*command, f"--root={tmp_path}"], check=True, capture_output=True, timeout=60
            )
    users = (tmp_path / "etc/passwd").read_text().splitlines()
    name, _, uid, _, _, home, shell = next(u for u in users if u.startswith("flightsw:")).split(":")
    assert (home, shell) == ("/var/lib/flightsw", "/usr/sbin/nologin")
    groups = (tmp_path / "etc/group").read_text()
    for group in ("video", "render", "axelera"):
        assert any(
            line.startswith(f"{group}:") and line.endswith(name) for line in groups.splitlines()
        )
    for folder, mode in (("", 0o750), ("scenes", 0o2770), ("model_inbox", 0o2770)):
        status = (tmp_path / "var/lib/flightsw" / folder).stat()
        assert (status.st_uid, status.st_mode & 0o7777) == (int(uid), mode)


@pytest.mark.parametrize("script", sorted(path.name for path in INSTALL.parent.glob("*.sh")))
def test_shellcheck_finds_nothing_to_say_about_a_script(script: str) -> None:
    shellcheck = shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run(
        [shellcheck, "-x", script],
        cwd=INSTALL.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_a_machine_without_systemd_is_refused_before_anything_is_installed(tmp_path: Path) -> None:
    commands, root = tmp_path / "commands", tmp_path / "root"
    commands.mkdir()
    for command in ("bash", "dirname", "id", "realpath", "sed", "grep"):
        found = shutil.which(command)
        assert found
        (commands / command).symlink_to(found)
    done = subprocess.run(
        [str(commands / "bash"), str(INSTALL), "--root", str(root), "--keep-environment"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": str(commands)},
    )
    assert done.returncode != 0
    assert "this machine has no systemctl" in done.stderr
    assert not root.exists() or not contents(root)
