"""What a manifest shows of a product's integrity, and what its own damage hides."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flightsw.errors import IntegrityTooLow, SceneError
from flightsw.scene import open_scene
from flightsw.scene.integrity import require_integrity
from flightsw.scene.manifest import read_manifest
from tests.unit.flightsw.scene.safe_writer import SafeProduct, band_file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return SafeProduct(height=24, width=20, tile=None).write(tmp_path)


def test_a_product_whose_files_are_all_listed_is_verified(root: Path) -> None:
    known = open_scene(root).metadata
    assert (known.integrity, known.integrity_doubt) == ("verified", "")
    assert not any("manifest" in remark for remark in known.remarks)


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def _dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("gone")


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def _other_algorithm(path: Path) -> None:
    path.write_text(path.read_text().replace("SHA3-256", "SHA3-257"))


def _twice(path: Path) -> None:
    text = path.read_text()
    entry = text[text.index("<dataObject>") : text.index("</dataObject>") + 13]
    path.write_text(text.replace(entry, entry + entry.replace('size="', 'size="1')))


def _unlisted(path: Path) -> None:
    path.write_text(path.read_text().replace("MTD_TL.xml", "MTD_TM.xml"))


@pytest.mark.parametrize(
    "damage",
    [_fifo, _folder, _device, _dangling, _truncated, _other_algorithm, _twice, _unlisted],
)
def test_a_damaged_manifest_makes_the_product_doubtful(
    root: Path, damage: Callable[[Path], None]
) -> None:
    damage(root / "manifest.safe")
    known = open_scene(root).metadata
    assert known.integrity == "doubtful"
    assert "manifest.safe" in known.integrity_doubt
    assert known.integrity_doubt in known.remarks


@pytest.mark.parametrize("name", ["MTD_MSIL2A.xml", "MTD_TL.xml"])
def test_metadata_that_is_listed_but_absent_makes_the_product_doubtful(
    root: Path, name: str
) -> None:
    next(root.rglob(name)).unlink()
    known = open_scene(root).metadata
    assert known.integrity == "doubtful"
    assert f"{name}, which does not exist" in known.integrity_doubt


def test_other_files_that_are_listed_but_absent_are_a_remark(tmp_path: Path) -> None:
    product = SafeProduct(at={10: ("B02", "B03", "B04", "B08"), 60: ("B01",)})
    root = product.write(tmp_path)
    band_file(root, "B01", 60).unlink()
    known = open_scene(root).metadata
    assert known.integrity == "verified"
    assert any("1 of the 7 files in manifest.safe do not exist" in one for one in known.remarks)


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SafeProduct(height=24, width=20, tile=None).write(tmp_path_factory.mktemp("listed"))


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_damage_of_the_manifest_switches_checks_off_without_notice(
    listed: Path, data: st.DataObject
) -> None:
    path = listed / "manifest.safe"
    good, sound = path.read_bytes(), read_manifest(listed)
    bad = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        bad[data.draw(st.integers(0, len(bad) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        path.write_bytes(bad)
        known = open_scene(listed).metadata
        found = read_manifest(listed)
        used = {*listed.rglob("*.jp2"), *listed.rglob("*.xml")}
        if known.integrity == "verified":  # then every file that is read keeps a checksum
            assert all(found.of(one) is not None for one in used)
            assert len(found.checksums) == len(sound.checksums)
    except SceneError:
        pass  # such as a size that no longer fits
    finally:
        path.write_bytes(good)


@pytest.mark.parametrize(
    ("spoil", "allowed"),
    [
        (lambda _: None, ["doubtful", "unknown", "verified"]),
        (Path.unlink, ["doubtful", "unknown"]),
        (_truncated, ["doubtful"]),
    ],
)
def test_a_scene_is_refused_below_the_integrity_that_is_required(
    root: Path, spoil: Callable[[Path], None], allowed: list[str]
) -> None:
    spoil(root / "manifest.safe")
    known = open_scene(root).metadata
    for least in ("doubtful", "unknown", "verified"):
        if least in allowed:
            require_integrity(known, least)
        else:
            with pytest.raises(IntegrityTooLow, match=f"at least {least} is required"):
                require_integrity(known, least)
