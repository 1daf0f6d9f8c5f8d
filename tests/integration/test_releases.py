"""Releases below an image: installed for real, from a small wheelhouse, without a network."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.releases import Unit, make_wheel

pytestmark = pytest.mark.skipif(
    shutil.which("systemctl") is None, reason="systemctl is not installed"
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Unit:
    """A unit on which 0.1 was installed, then 0.2."""
    unit = Unit.make(tmp_path_factory.mktemp("unit"))
    for version in ("0.1", "0.2"):
        unit.offer(version)
        done = unit.install()
        assert done.returncode == 0, done.stderr
    return unit


@pytest.fixture
def unit(installed: Unit, tmp_path: Path) -> Unit:
    """The same unit, to be changed."""
    shutil.copytree(installed.root, tmp_path / "root", symlinks=True)
    shutil.copytree(installed.wheelhouse, tmp_path / "wheelhouse")
    shutil.copy(installed.wheelhouse.with_name("python"), tmp_path)
    return Unit(tmp_path / "root", tmp_path / "wheelhouse")


def _version(unit: Unit) -> str:
    """What the active release prints, run as the image would."""
    command = (unit.active / "bin" / "flightsw").read_text()
    python = command.partition("\n")[0].removeprefix("#!").strip()
    script = unit.active / "bin" / "flightsw"
    return subprocess.run(
        [unit.root / python.removeprefix("/"), "-I", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.strip()


def test_an_update_switches_a_link_and_keeps_the_release_before(installed: Unit) -> None:
    assert installed.active.readlink() == Path("flightsw-releases/0.2-2")
    assert installed.releases() == {"0.1-1", "0.2-2"}
    assert _version(installed) == "flightsw 0.2"


def test_no_file_of_an_image_names_the_folder_that_it_was_made_in(installed: Unit) -> None:
    release = installed.active.resolve()
    for path in [release / "pyvenv.cfg", *(release / "bin").iterdir()]:
        if not path.is_symlink():
            assert str(installed.root).encode() not in path.read_bytes(), path
    first = (release / "bin" / "flightsw").read_text().splitlines()[0]
    assert first == "#!/opt/flightsw-releases/0.2-2/bin/python"


def test_an_image_holds_no_keys(installed: Unit) -> None:
    assert not list(installed.root.rglob("*.key*"))


def test_a_rollback_activates_the_release_before_with_its_units(unit: Unit) -> None:
    service = Path("flightsw.service")
    old = unit.root / "opt/flightsw-releases/0.1-1/systemd" / service
    old.write_text("[Service]\nExecStart=/old\n")
    done = unit.run("--rollback")
    assert done.returncode == 0, done.stderr
    assert _version(unit) == "flightsw 0.1"
    assert (unit.root / "etc/systemd/system" / service).read_text() == old.read_text()
    assert unit.run("--rollback").returncode == 0
    assert _version(unit) == "flightsw 0.2"


def test_two_releases_are_kept(unit: Unit) -> None:
    unit.offer("0.3")
    assert unit.install().returncode == 0
    assert unit.releases() == {"0.2-2", "0.3-3"}


def test_a_release_that_does_not_start_is_not_activated(unit: Unit) -> None:
    unit.offer("0.3", "raise SystemExit(1)")
    assert unit.install().returncode != 0
    assert _version(unit) == "flightsw 0.2"
    assert unit.releases() == {"0.1-1", "0.2-2"}


def test_a_distribution_with_another_hash_is_refused(unit: Unit) -> None:
    make_wheel(unit.wheelhouse, "needed", "1.0", "print('changed')")
    unit.seal()
    done = unit.install()
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert unit.releases() == {"0.1-1", "0.2-2"}


def test_a_wheelhouse_with_a_damaged_file_is_refused(unit: Unit) -> None:
    with (unit.wheelhouse / "needed-1.0-py3-none-any.whl").open("ab") as wheel:
        wheel.write(b"\0")
    done = unit.install()
    assert done.returncode == 1
    assert "transfer it again" in done.stderr


def test_what_was_added_to_the_active_release_is_not_lost_without_a_word(
    unit: Unit, tmp_path: Path
) -> None:
    torch = ("--torch", make_wheel(tmp_path, "torch", "2.11"))
    runtime = ("--add", make_wheel(tmp_path, "card_runtime", "1.5"))
    assert unit.install(*torch, *runtime).returncode == 0
    active = unit.active.readlink()
    for options, name, cure in (
        ((), "card-runtime", "--add, or --without card-runtime"),
        (runtime, "torch", "--torch, or --without-torch"),
    ):
        done = unit.install(*options)
        assert done.returncode == 1
        assert f"the active release has {name}" in done.stderr
        assert cure in done.stderr
        assert unit.active.readlink() == active
    assert unit.install(*runtime, "--without-torch").returncode == 0
    assert {path.name for path in unit.active.glob("lib/*/site-packages/*.py")} >= {
        "card_runtime.py"
    }
    assert not list(unit.active.glob("lib/*/site-packages/torch.py"))


def test_a_folder_of_an_earlier_installation_becomes_the_release_before(unit: Unit) -> None:
    release = unit.active.resolve()
    unit.active.unlink()
    release.rename(unit.active)
    assert unit.install().returncode == 0
    assert unit.active.is_symlink()
    assert "earlier-0" in unit.releases()
    assert unit.run("--rollback").returncode == 0
    assert unit.active.readlink() == Path("flightsw-releases/earlier-0")


def test_without_a_release_before_a_rollback_changes_nothing(unit: Unit) -> None:
    (unit.root / "opt/flightsw-releases/previous").unlink()
    done = unit.run("--rollback")
    assert done.returncode == 1
    assert "nothing to go back to" in done.stderr
    assert _version(unit) == "flightsw 0.2"


def test_an_image_for_another_processor_is_refused(unit: Unit) -> None:
    for python in unit.root.rglob("bin/python3.*"):
        if "opt" not in python.relative_to(unit.root).parts:
            python.unlink()
            python.write_bytes(b"\x7fELF of another processor")
    done = unit.install()
    assert done.returncode == 1
    assert "inside the image" in done.stderr
