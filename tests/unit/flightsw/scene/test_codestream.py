"""Files that are cut off, damaged, or no JPEG 2000 at all."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import glymur
import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flightsw.errors import CorruptImage, SceneError
from flightsw.scene import open_scene
from flightsw.scene.codestream import inspect
from flightsw.scene.jp2 import Jp2Band
from tests.unit.flightsw.scene.safe_writer import (
    SafeProduct,
    band_file,
    band_pixels,
    write_jp2,
    write_manifest,
)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "band.jp2"
    write_jp2(path, band_pixels("B02", 157, 203))
    return path


def read_all(root: Path) -> np.ndarray:
    with open_scene(root).strips(2) as strips:
        return np.concatenate([strip.digital_numbers for strip in strips], axis=1)


def test_a_sound_file_is_described(image: Path) -> None:
    known = inspect(image)
    assert (known.width, known.height, known.tiles) == (203, 157, 12)
    assert (known.tile_width, known.tile_height) == (64, 64)
    assert (known.precision, known.signed, known.levels, known.boxed) == (16, False, 3, True)


def test_real_files_are_sound(shared_data: Path) -> None:
    paths = [p for p in shared_data.rglob("*.jp2") if "_sub" not in p.name]
    assert len(paths) > 5
    for path in paths:
        known = inspect(path)
        assert (known.tiles, known.width) in ((100, 1830), (121, 10980))


def test_every_truncation_is_noticed_with_its_byte_numbers(image: Path) -> None:
    content = image.read_bytes()
    for length in (*range(12, 400, 7), len(content) // 2, len(content) - 2, len(content) - 1):
        image.write_bytes(content[:length])
        with pytest.raises(CorruptImage, match=f"{length} bytes") as caught:
            inspect(image)
        assert caught.value.fields.get("found_bytes", length) == length


def _tiff(path: Path) -> None:
    profile = {"driver": "GTiff", "dtype": "uint16", "count": 1, "height": 8, "width": 8}
    grid = rasterio.Affine(10, 0, 0, 0, -10, 0)
    with rasterio.open(path, "w", transform=grid, crs="EPSG:32629", **profile) as file:
        file.write(np.ones((1, 8, 8), np.uint16))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("This is not a picture. " * 50),
        lambda path: path.write_bytes(path.read_bytes()[:12]),
        _tiff,
    ],
    ids=["empty", "text", "signature only", "renamed TIFF"],
)
def test_what_is_not_jpeg_2000_is_corrupt(image: Path, spoil: Callable[[Path], None]) -> None:
    spoil(image)
    with pytest.raises(CorruptImage, match=r"not a JPEG 2000 file|no codestream"):
        inspect(image)


def test_a_bare_codestream_is_read(tmp_path: Path) -> None:
    pixels = band_pixels("B02", 157, 203)
    write_jp2(tmp_path / "band.j2k", pixels)
    path = (tmp_path / "band.j2k").rename(tmp_path / "band.jp2")
    target = np.empty((1, 157, 203), np.uint16)
    Jp2Band(path, inspect(path), slice(0, 1), 1).read(0, 0, [target])
    np.testing.assert_array_equal(target[0], pixels)


def test_an_image_offset_is_refused_clearly(tmp_path: Path) -> None:
    path = tmp_path / "offset.j2k"
    glymur.Jp2k(str(path), data=band_pixels("B02", 64, 64), grid_offset=[4, 8])
    with pytest.raises(CorruptImage, match="not supported"):
        inspect(path)


def test_a_header_that_claims_more_tiles_than_a_file_can_number_takes_no_memory(
    image: Path,
) -> None:
    content = bytearray(image.read_bytes())
    size = content.index(b"\xff\x51") + 6
    header = content.index(b"ihdr") + 4
    content[size : size + 8] = struct.pack(">II", 32_768, 32_768)
    content[size + 16 : size + 24] = struct.pack(">II", 1, 1)
    content[header : header + 8] = struct.pack(">II", 32_768, 32_768)
    image.write_bytes(content)
    with pytest.raises(CorruptImage, match="claims 1073741824 tiles"):
        inspect(image)


def test_a_missing_tile_is_named(image: Path) -> None:
    content = image.read_bytes()
    last = content.rindex(b"\xff\x90\x00\x0a")
    box = content.index(b"jp2c") - 4
    length = struct.pack(">I", last + 2 - box)
    image.write_bytes(content[:box] + length + content[box + 4 : last] + b"\xff\xd9")
    with pytest.raises(CorruptImage, match="lacks 1 of its 12 tiles; the first one missing is 11"):
        inspect(image)


def test_a_missing_end_is_noticed(image: Path) -> None:
    content = image.read_bytes()
    image.write_bytes(content[:-2] + b"\0\0")
    with pytest.raises(CorruptImage, match="neither a tile nor its end"):
        inspect(image)


def test_header_and_codestream_must_agree(image: Path) -> None:
    content = bytearray(image.read_bytes())
    content[content.index(b"ihdr") + 7] ^= 1
    image.write_bytes(content)
    with pytest.raises(CorruptImage, match="in its image header"):
        inspect(image)


def test_truncation_is_refused_before_any_pixel(tmp_path: Path) -> None:
    root = SafeProduct().write(tmp_path)
    path = band_file(root, "B03")
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(CorruptImage, match="B03") as caught:
        open_scene(root)
    assert "needed_bytes" in caught.value.fields


def test_another_size_than_the_manifest_says_is_refused(tmp_path: Path) -> None:
    root = SafeProduct().write(tmp_path)
    write_jp2(band_file(root, "B03"), band_pixels("B04", 157, 203) // 2)
    with pytest.raises(CorruptImage, match=r"manifest.safe says"):
        open_scene(root)


def test_a_file_that_vanishes_after_opening_is_corrupt(tmp_path: Path) -> None:
    root = SafeProduct(checksum=None).write(tmp_path)
    scene = open_scene(root)
    band_file(root, "B03").unlink()
    with scene.strips(2) as strips, pytest.raises(CorruptImage, match="B03"):
        list(strips)


OTHER_FILE_LISTED = """<a><byteStream size="x"><fileLocation href="./other"/>
<checksum checksumName="MD5">00</checksum></byteStream></a>"""


@pytest.mark.parametrize(
    ("text", "remark"),
    [
        ("<a", "not well-formed XML"),
        ("", "not well-formed XML"),
        ("<a/>", "no checksum"),
        (OTHER_FILE_LISTED, "does not list T29UNU"),
    ],
)
def test_a_useless_manifest_is_a_remark(tmp_path: Path, text: str, remark: str) -> None:
    root = SafeProduct().write(tmp_path)
    (root / "manifest.safe").write_text(text)
    known = open_scene(root).metadata
    assert any(remark in one for one in known.remarks)
    assert known.integrity == "doubtful"
    assert remark in known.integrity_doubt
    assert read_all(root).shape == (4, 157, 203)


def test_a_missing_manifest_is_a_remark(tmp_path: Path) -> None:
    root = SafeProduct(checksum=None).write(tmp_path)
    known = open_scene(root).metadata
    assert any("without a manifest.safe" in remark for remark in known.remarks)
    assert known.integrity == "unknown"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = SafeProduct(height=70, width=50, tile=(32, 32), checksum=None)
    return root.write(tmp_path_factory.mktemp("small"))


def _damage(data: st.DataObject, content: bytes) -> bytes:
    """The content with one to four other bytes, within the headers or anywhere."""
    bad = bytearray(content)
    headers = st.integers(0, content.index(b"\xff\x93"))
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.one_of(headers, st.integers(0, len(bad) - 1)))
        bad[position] ^= data.draw(st.integers(1, 255))
    return bytes(bad)


_FUZZ = settings(max_examples=60, suppress_health_check=list(HealthCheck))


@_FUZZ
@given(data=st.data())
def test_damage_without_a_manifest_gives_pixels_or_a_scene_error(
    small: Path, data: st.DataObject
) -> None:
    path = band_file(small, "B04")
    good = path.read_bytes()
    try:
        path.write_bytes(_damage(data, good))
        assert read_all(small).shape == (4, 70, 50)
    except SceneError:
        pass
    finally:
        path.write_bytes(good)


@_FUZZ
@given(data=st.data())
def test_truncation_without_a_manifest_is_always_refused(small: Path, data: st.DataObject) -> None:
    path = band_file(small, "B04")
    good = path.read_bytes()
    try:
        path.write_bytes(good[: data.draw(st.integers(0, len(good) - 1))])
        with pytest.raises(SceneError):
            open_scene(small)
    finally:
        path.write_bytes(good)


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = SafeProduct(height=70, width=50, tile=(32, 32)).write(tmp_path_factory.mktemp("listed"))
    write_manifest(root)
    return root


@_FUZZ
@given(data=st.data())
def test_any_damage_is_noticed_with_a_manifest(listed: Path, data: st.DataObject) -> None:
    path = band_file(listed, "B04")
    good = path.read_bytes()
    bad = _damage(data, good)
    try:
        path.write_bytes(bad)
        if bad != good:
            with pytest.raises(SceneError):
                read_all(listed)
    finally:
        path.write_bytes(good)
