"""Copies of bands: the same pixels without the band's file, and nothing that could be wrong."""

from __future__ import annotations

import gc
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from flightsw import sentinel_2
from flightsw.errors import CorruptImage
from flightsw.scene import open_scene
from flightsw.scene.band_copy import CopiedBand, copied
from flightsw.scene.codestream import inspect
from flightsw.scene.jp2 import Jp2Band
from tests.unit.flightsw.scene.safe_writer import (
    BANDS,
    SafeProduct,
    band_file,
    band_pixels,
    write_manifest,
)

pytest.importorskip("imagecodecs", reason="needs the extra archive, on Python 3.11 or later")

_KEY = "ab" * 32


@pytest.fixture
def product(tmp_path: Path) -> Path:
    """300 x 300 pixels in tiles of 128: those at the edges are smaller."""
    root = SafeProduct(width=300, height=300, tile=(128, 128)).write(tmp_path)
    write_manifest(root)
    return root


def _pixels(root: Path, copies: Path | None, distance: int = 10) -> NDArray[np.uint16]:
    scene = open_scene(root, ground_sample_distance=distance, copies=copies)
    with scene.strips(2) as strips:
        return np.concatenate([strip.digital_numbers for strip in strips], axis=1)


def _undecodable(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise CorruptImage(root, "was decoded although there is a copy")

    monkeypatch.setattr(Jp2Band, "read", fail)


@pytest.mark.parametrize("distance", [10, 20])
def test_the_second_pass_has_the_same_pixels_and_does_not_decode_the_files(
    product: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, distance: int
) -> None:
    copies = tmp_path / "copies"
    plain = _pixels(product, None, distance)
    np.testing.assert_array_equal(_pixels(product, copies, distance), plain)
    assert len([*copies.rglob("*.zip")]) == 4
    assert not [*copies.rglob("*.partial")]
    _undecodable(product, monkeypatch)
    np.testing.assert_array_equal(_pixels(product, copies, distance), plain)


def test_a_coarser_band_is_copied_as_it_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(band: str) -> NDArray[np.uint16]:
        side = 300 * 10 // sentinel_2.NATIVE_DISTANCES[band]
        return band_pixels(band, side, side)

    product = SafeProduct({10: BANDS, 20: ("B11",)}, width=300, height=300)
    root, copies, bands = (
        product.write(tmp_path, pixels=measured),
        tmp_path / "copies",
        ("B02", "B11"),
    )

    def pixels() -> NDArray[np.uint16]:
        with open_scene(root, bands, copies=copies).strips(2) as strips:
            return np.concatenate([strip.digital_numbers for strip in strips], axis=1)

    plain = pixels()
    assert len([*copies.rglob("*.zip")]) == 2
    _undecodable(root, monkeypatch)
    np.testing.assert_array_equal(pixels(), plain)
    np.testing.assert_array_equal(plain[1], measured("B11").repeat(2, 0).repeat(2, 1))


def test_any_part_of_a_band_is_read_from_its_copy(product: Path, tmp_path: Path) -> None:
    path = band_file(product, "B03")
    band = Jp2Band(path, inspect(path), slice(0, 1), 1)
    whole = np.zeros((1, 300, 300), np.uint16)
    (copy,) = copied(tmp_path, [band], [_KEY])
    assert isinstance(copy, CopiedBand)
    copy.read(0, 0, [whole[:, :100], whole[:, 100:]])
    copy.copy.verify()
    (copy,) = copied(tmp_path, [band], [_KEY])
    path.unlink()
    for top, left, rows, columns in ((0, 0, 300, 300), (100, 17, 57, 140), (299, 299, 1, 1)):
        part = np.zeros((1, rows, columns), np.uint16)
        copy.read(top, left, [part[:, : rows // 2], part[:, rows // 2 :]])
        np.testing.assert_array_equal(part, whole[:, top : top + rows, left : left + columns])


def test_a_file_that_is_not_what_its_manifest_says_leaves_no_copy(
    product: Path, tmp_path: Path
) -> None:
    digest = hashlib.sha3_256(band_file(product, "B02").read_bytes()).hexdigest().upper()
    manifest = product / "manifest.safe"
    manifest.write_text(manifest.read_text().replace(digest, "0" * 64))
    with pytest.raises(CorruptImage, match="differs from that in"):
        _pixels(product, tmp_path / "copies")
    gc.collect()
    assert not [*(tmp_path / "copies").rglob(f"*{'0' * 64}*")]


def test_a_damaged_copy_is_not_used(product: Path, tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    plain = _pixels(product, copies)
    for number, path in enumerate(sorted(copies.rglob("*.zip"))):
        content = bytearray(path.read_bytes())
        content[len(content) // 2 if number % 2 else len(content) - 30] ^= 0xFF
        path.write_bytes(content)
    np.testing.assert_array_equal(_pixels(product, copies), plain)


def test_a_cell_that_holds_other_pixels_than_were_copied_is_not_used(
    product: Path, tmp_path: Path
) -> None:
    copies = tmp_path / "copies"
    plain = _pixels(product, copies)
    for path in copies.rglob("*.zip"):
        with zipfile.ZipFile(path) as archive:
            cells = [(cell, archive.read(cell)) for cell in archive.infolist()]
        with zipfile.ZipFile(path, "w") as archive:
            for cell, code in cells:  # with checksums that are right for the codes
                archive.writestr(cell, cells[0][1] if len(code) > len(cells[-1][1]) else code)
    np.testing.assert_array_equal(_pixels(product, copies), plain)


_FIRST_USE = """
import os, sys, threading
import numpy as np
from flightsw.scene import band_copy
pixels = [np.random.default_rng(n).integers(900, 2000, (128, 128), np.uint16) for n in range(2)]
def differ():
    codes, begun = {}, threading.Barrier(2)
    def encode(number):
        begun.wait(10)
        codes[number] = band_copy._encode(pixels[number])
    threads = [threading.Thread(target=encode, args=(number,)) for number in range(2)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    return any(band_copy._encode(pixels[number]) != codes[number] for number in range(2))
children = []
for _ in range(40):
    if (child := os.fork()) == 0:
        os._exit(differ())
    children.append(os.waitpid(child, 0)[1])
sys.exit(any(children))
"""


def test_the_coder_s_first_use_by_two_threads_gives_the_codes_of_later_ones() -> None:
    """Each of forty processes uses it for the first time; a third of them erred."""
    subprocess.run([sys.executable, "-c", _FIRST_USE], timeout=300, check=True)


def test_a_part_of_a_band_makes_no_copy(product: Path, tmp_path: Path) -> None:
    path = band_file(product, "B02")
    band = Jp2Band(path, inspect(path), slice(0, 1), 1)
    (copy,) = copied(tmp_path / "copies", [band], [_KEY])
    assert isinstance(copy, CopiedBand)
    copy.read(0, 0, [np.zeros((1, 150, 300), np.uint16)])
    copy.copy.verify()
    del copy
    gc.collect()
    assert not [*(tmp_path / "copies").rglob("*.*")]


def test_what_a_killed_process_left_of_a_copy_is_deleted(product: Path, tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    _pixels(product, copies)
    (path, *_) = sorted(copies.rglob("*.zip"))
    stale = path.with_name(f".{path.name}.0123abcd.partial")
    path.rename(stale)
    _pixels(product, copies)
    assert path.exists()
    assert not stale.exists()


def test_a_file_without_checksum_has_no_copy(product: Path, tmp_path: Path) -> None:
    (product / "manifest.safe").unlink()
    _pixels(product, tmp_path / "copies")
    assert not (tmp_path / "copies").exists()


def test_a_full_disk_ends_the_copy_not_the_scene(product: Path, tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    copies.write_text("not a folder")
    np.testing.assert_array_equal(_pixels(product, copies), _pixels(product, None))


def test_a_copy_is_made_of_codestreams_that_others_read(product: Path, tmp_path: Path) -> None:
    import imagecodecs  # noqa: PLC0415

    plain = _pixels(product, tmp_path / "copies")
    (path, *_) = sorted((tmp_path / "copies").rglob("*.zip"))
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        corner = imagecodecs.jpeg2k_decode(archive.read("0_0.j2c"))  # OpenJPEG, not OpenJPH
    assert any(np.array_equal(corner, band[:128, :128]) for band in plain)
