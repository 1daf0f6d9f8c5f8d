"""Damage inside the coded samples, which no structure of the file shows."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import glymur
import numpy as np
import pytest
from numpy.typing import NDArray

from flightsw.errors import CorruptImage, SceneError
from flightsw.scene.codestream import inspect
from flightsw.scene.jp2 import Jp2Band
from tests.unit.flightsw.scene.safe_writer import band_pixels, write_jp2

_SIDE = 256
_FLIPS = 120
_MANY = 1000
"""Pixels that a flipped bit must change, for its detection to be required."""


def _decoded(path: Path, *, checked: bool = True) -> NDArray[np.uint16]:
    image = inspect(path)
    if not checked:
        image = replace(image, style_at=None)
    pixels = np.zeros((image.height, image.width), np.uint16)
    Jp2Band(path, image, slice(0, 1), 1).read_area(0, 0, [pixels])
    return pixels


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "band.jp2"
    write_jp2(path, band_pixels("B02", _SIDE, _SIDE), (_SIDE, _SIDE))
    return path


def test_flipped_bits_that_change_many_pixels_are_noticed(image: Path) -> None:
    good, sound = image.read_bytes(), _decoded(image)
    start, chance = good.index(b"\xff\x93") + 2, random.Random(5)
    outcomes: list[tuple[bool, bool]] = []  # noticed without and with the check
    for _ in range(_FLIPS):
        bad = bytearray(good)
        bad[chance.randrange(start, len(bad) - 2)] ^= 1 << chance.randrange(8)
        image.write_bytes(bad)
        noticed = []
        for checked in (False, True):
            try:
                changed = np.count_nonzero(_decoded(image, checked=checked) != sound)
                noticed.append(False)
            except CorruptImage:
                noticed.append(True)
        if noticed[0] or changed >= _MANY:
            outcomes.append((noticed[0], noticed[1]))
    assert len(outcomes) > _FLIPS // 2
    found = [checked for _, checked in outcomes]
    assert sum(found) >= 0.99 * len(found)
    assert sum(plain for plain, _ in outcomes) < 0.2 * len(found)  # so it is the check that finds


def test_the_check_changes_no_sample_and_raises_no_alarm_on_real_files(shared_data: Path) -> None:
    paths = sorted((shared_data / "safe").rglob("*_60m.jp2"))
    assert len(paths) >= 5
    for path in paths:
        assert inspect(path).style_at is not None
        np.testing.assert_array_equal(_decoded(path), glymur.Jp2k(str(path))[:])


def test_a_file_with_another_code_block_style_is_decoded_as_it_is(image: Path) -> None:
    content, sound = bytearray(image.read_bytes()), _decoded(image)
    place = inspect(image).style_at
    assert place is not None
    content[place] |= 0x10
    image.write_bytes(content)
    assert inspect(image).style_at is None
    np.testing.assert_array_equal(_decoded(image), sound)
    content[place] = 0x01  # arithmetic coding is bypassed, the file says
    image.write_bytes(content)
    assert inspect(image).style_at is None


def test_the_sample_type_in_the_image_header_must_be_that_of_the_codestream(image: Path) -> None:
    content = bytearray(image.read_bytes())
    content[content.index(b"ihdr") + 14] = 11
    image.write_bytes(content)
    with pytest.raises(CorruptImage, match="samples of type 11 in its image header"):
        inspect(image)


def test_parts_of_a_tile_of_an_htj2k_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "band.jp2"
    write_jp2(path, band_pixels("B02", 200, 200), (64, 64))
    content = bytearray(path.read_bytes())
    content[content.index(b"\xff\x52") + 12] |= 0x40  # the code-block style of COD
    path.write_bytes(content)
    assert inspect(path).high_throughput
    band = Jp2Band(path, inspect(path), slice(0, 1), 1)
    for top, left, rows, columns in ((10, 0, 64, 64), (0, 10, 54, 54), (0, 0, 100, 64)):
        with pytest.raises(SceneError, match="can only be decoded whole"):
            band.read_area(top, left, [np.zeros((rows, columns), np.uint16)])
    plain = Jp2Band(path, replace(inspect(path), high_throughput=False), slice(0, 1), 1)
    for part in (band, plain):
        with pytest.raises(CorruptImage):  # its blocks are not of that kind
            part.read_area(64, 128, [np.zeros((136, 72), np.uint16)])
