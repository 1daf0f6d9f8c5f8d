"""A SAFE product in its ZIP archive."""

from __future__ import annotations

import gc
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from flightsw.errors import CorruptImage, MissingBand, SceneError, SceneNotFound
from flightsw.scene import open_scene
from flightsw.scene.scene import Scene
from tests.unit.flightsw.scene.safe_writer import BANDS, SafeProduct, as_measured


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which archives are unpacked."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def zip_of(product: Path, path: Path, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for file in sorted(product.rglob("*")):
            archive.write(file, f"{product.name}/{file.relative_to(product)}")
    return path


def pixels_of(scene: Scene) -> NDArray[np.uint16]:
    with scene.strips(2) as strips:
        return np.concatenate([strip.digital_numbers for strip in strips], axis=1)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("level", ["L2A", "L1C"])
def test_an_archive_is_the_scene_that_it_holds(
    tmp_path: Path, temporary: Path, compression: int, level: str
) -> None:
    product = SafeProduct(level=level).write(tmp_path)
    path = zip_of(product, tmp_path / "any.SAFE.zip", compression)
    scene, plain = open_scene(path), open_scene(product)
    assert scene.metadata == plain.metadata
    np.testing.assert_array_equal(pixels_of(scene), pixels_of(plain))
    del scene
    gc.collect()
    assert not [*temporary.iterdir()]


def test_only_what_the_scene_needs_is_unpacked(tmp_path: Path, temporary: Path) -> None:
    at = {10: BANDS, 20: ("B02", "B03", "B04", "B8A"), 60: ("B01", "B02")}
    product = SafeProduct(at=at).write(tmp_path)
    scene = open_scene(zip_of(product, tmp_path / "a.zip"), ("B03", "B08"))
    images = sorted(path.name[-11:] for path in temporary.rglob("*.jp2"))
    assert images == ["B03_10m.jp2", "B08_10m.jp2"]
    del scene


def test_coarser_bands_serve_if_those_at_10_m_are_absent(tmp_path: Path) -> None:
    product = SafeProduct(at={20: ("B02", "B03", "B04", "B8A")}).write(tmp_path)
    scene = open_scene(zip_of(product, tmp_path / "a.zip"), ground_sample_distance=20)
    assert scene.metadata.substituted == {"B08": "B8A"}


def test_of_each_band_the_image_of_its_own_distance_is_unpacked(
    tmp_path: Path, temporary: Path
) -> None:
    at = {10: BANDS, 20: ("B02", "B05", "B8A"), 60: ("B01", "B02", "B05")}
    product = SafeProduct(at).write(tmp_path, pixels=as_measured)
    for path in product.rglob("*_B02_[26]0m.jp2"):
        path.write_bytes(b"a copy that is not read")
    scene = open_scene(zip_of(product, tmp_path / "a.zip"), ("B02", "B05", "B01"))
    images = sorted(path.name[-11:] for path in temporary.rglob("*.jp2"))
    assert images == ["B01_60m.jp2", "B02_10m.jp2", "B05_20m.jp2"]
    del scene


def test_an_absent_band_is_named_and_nothing_stays(tmp_path: Path, temporary: Path) -> None:
    product = SafeProduct(at={10: BANDS[:3]}).write(tmp_path)
    with pytest.raises(MissingBand, match="B08"):
        open_scene(zip_of(product, tmp_path / "a.zip"))
    gc.collect()
    assert not [*temporary.iterdir()]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ([], "holds none"),
        (["readme.txt"], "holds none"),
        (["../GRANULE/x/IMG_DATA/a_B02.jp2"], "holds none"),
        (["/GRANULE/x/IMG_DATA/a_B02.jp2"], "holds none"),
        (["a.SAFE/GRANULE/x/y", "b.SAFE/GRANULE/x/y"], "holds a.SAFE/, b.SAFE/"),
    ],
)
def test_an_archive_of_anything_else_is_refused(
    tmp_path: Path, names: list[str], found: str
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    with pytest.raises(SceneNotFound, match=found):
        open_scene(tmp_path / "a.zip")


def test_entries_outside_the_product_are_not_written(tmp_path: Path, temporary: Path) -> None:
    path = zip_of(SafeProduct().write(tmp_path), tmp_path / "a.zip")
    root = SafeProduct().write(tmp_path / "again").name
    with zipfile.ZipFile(path, "a") as archive:
        for name in ("GRANULE/../IMG_DATA/R10m/x_B02_10m.jp2", "../evil.xml", "GRANULE/../a.xml"):
            archive.writestr(f"{root}/{name}", b"x")
    scene = open_scene(path)
    assert not [*tmp_path.rglob("evil.xml"), *temporary.rglob("a.xml"), *temporary.rglob("x_*")]
    del scene


def test_a_damaged_archive_is_corrupt_and_nothing_stays(tmp_path: Path, temporary: Path) -> None:
    path = zip_of(SafeProduct().write(tmp_path), tmp_path / "a.zip")
    content = bytearray(path.read_bytes())
    place = content.index(b"_B03_10m.jp2") + 2000
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptImage, match=r"not a readable ZIP archive \(Bad CRC-32"):
        open_scene(path)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(CorruptImage, match="not a readable ZIP archive"):
        open_scene(path)
    gc.collect()
    assert not [*temporary.iterdir()]


def test_too_little_room_is_said_before_unpacking(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zip_of(SafeProduct().write(tmp_path), tmp_path / "a.zip")
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(SceneError, match=r"needs [0-9.]+ k?B in .*temporary, which has 1.0 kB"):
        open_scene(path)
    assert not [*temporary.iterdir()]
