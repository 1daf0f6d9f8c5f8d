"""A fast decode differs by no more than it states, and nowhere at DN 0 and DN 65,535."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import glymur
import numpy as np
import pytest
from glymur.lib.openjp2 import OpenJPEGLibraryError
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from flightsw.errors import CorruptImage
from flightsw.scene import block_coding
from flightsw.scene.block_coding import UnsupportedCoding
from flightsw.scene.fast_jp2 import FastBand, reduce_bands
from tests.unit.flightsw.scene.fast_bands import (
    always_fast,
    band_of,
    pixels_of,
    rewriting_nothing,
)

_LAND = 3000


@st.composite
def _images(draw: Any) -> dict[str, Any]:
    """Sizes, tiles, levels, code-blocks, precincts and the content of an image."""
    levels = draw(st.integers(1, 6))
    block = draw(st.sampled_from([(16, 16), (32, 32), (64, 64), (16, 64), (64, 32)]))
    coding: dict[str, Any] = {"numres": levels + 1, "cbsize": block}
    coding["prog"] = draw(st.sampled_from(["LRCP", "RLCP", "RPCL"]))
    if draw(st.booleans()):
        side = 2 * max(block) * draw(st.sampled_from([1, 2]))
        coding["psizes"] = [(side, side)]
    if draw(st.booleans()):
        coding["tilesize"] = draw(st.sampled_from([(64, 64), (100, 77), (128, 96)]))
    return {
        "coding": coding,
        "step": 1 << draw(st.integers(0, min(2, levels))),
        "shape": (
            draw(st.integers(1 << levels, 210)),
            draw(st.integers(1 << levels, 210)),
        ),
        "noise": draw(st.sampled_from([0, 3, 40, 500, 20_000])),
        "seed": draw(st.integers(0, 999)),
        "edge": draw(st.sampled_from([0, 0, 30, 100])),
        "input": draw(st.sampled_from([5.0, 40.0, 200.0])),
    }


def _content(image: dict[str, Any]) -> NDArray[np.uint16]:
    """Land with noise, a corner without data, saturated and single dark pixels."""
    chance, shape = np.random.default_rng(image["seed"]), image["shape"]
    pixels = _LAND + chance.normal(0, 1, shape) * image["noise"]
    pixels = np.clip(pixels, 1, 65_534)
    rows, columns = np.indices(shape)
    if image["edge"]:
        pixels[rows + 2 * columns < image["edge"]] = 0
        pixels[rows > columns + image["edge"]] = 65_535
        pixels[chance.random(shape) < 1e-4] = 0
    digital: NDArray[np.uint16] = pixels.astype(np.uint16)
    return digital


@contextmanager
def _written(image: dict[str, Any]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "band.jp2"
        coding = dict(image["coding"])
        if tile := coding.get("tilesize"):
            coding["tilesize"] = tuple(map(min, tile, image["shape"]))
        try:
            glymur.Jp2k(str(path), data=_content(image), **coding)
        except OpenJPEGLibraryError:  # it writes no tile that is too small for its levels
            assume(False)
        yield path


def _fast(path: Path, image: dict[str, Any]) -> FastBand:
    try:
        return FastBand.of(band_of(path, image["step"]), image["input"])
    except UnsupportedCoding:
        assume(False)  # small precincts cut the blocks
        raise


_few = settings(max_examples=40, suppress_health_check=[HealthCheck.filter_too_much])


@_few
@given(_images())
def test_rewriting_nothing_gives_identical_samples(image: dict[str, Any]) -> None:
    with _written(image) as path:
        fast = _fast(path, image)
        exact = pixels_of(band_of(path, image["step"]))
        np.testing.assert_array_equal(pixels_of(rewriting_nothing(fast)), exact)


@_few
@given(_images())
def test_the_error_is_bounded_and_the_ends_of_the_range_are_exact(image: dict[str, Any]) -> None:
    with _written(image) as path:
        fast = _fast(path, image)
        exact, found = pixels_of(band_of(path, image["step"])), pixels_of(fast)
    assert np.abs(found.astype(np.int64) - exact).max() <= fast.largest_error
    for end in (0, 65_535):
        np.testing.assert_array_equal(found == end, exact == end)


@_few
@given(_images())
def test_the_bound_holds_without_exact_cells(image: dict[str, Any]) -> None:
    image |= {"edge": 0}
    with _written(image) as path:
        fast = _fast(path, image)
        exact = pixels_of(band_of(path, image["step"]))
        found = pixels_of(always_fast(fast, largest_error=-1))
    assert np.abs(found.astype(np.int64) - exact).max() <= fast.largest_error


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    path = tmp_path / "noisy.jp2"
    chance = np.random.default_rng(0)
    pixels = (_LAND + chance.normal(0, 150, (260, 320))).astype(np.uint16)
    pixels[:5, :5] = 0
    glymur.Jp2k(str(path), data=pixels, tilesize=(128, 128), numres=4, cbsize=(64, 64))
    return path


def test_planes_are_dropped_away_from_no_data_and_not_beside_it(noisy: Path) -> None:
    fast = always_fast(FastBand.of(band_of(noisy), 40))
    exact, found = pixels_of(band_of(noisy)), pixels_of(fast)
    assert 5 < (found[:, 128:].astype(float) - exact[:, 128:]).std() < 20
    np.testing.assert_array_equal(found[:5, :5], 0)


def test_any_area_in_any_strips_has_the_samples_of_the_whole(noisy: Path) -> None:
    fast = FastBand.of(band_of(noisy, 2), 40)
    whole = pixels_of(fast)
    strips = [np.zeros((1, rows, 90), np.uint16) for rows in (7, 64, 1, 20)]
    fast.read(30, 35, strips)
    np.testing.assert_array_equal(np.hstack(strips)[0], whole[30:122, 35:125])


def test_no_cell_is_exact_because_a_bright_cloud_makes_the_means_beside_it_too_low(
    tmp_path: Path,
) -> None:
    pixels = np.full((256, 256), 950, np.uint16)
    pixels[80:144, 64:128] = 12_000
    pixels[:, 208:] = 0
    path = tmp_path / "cloud.jp2"
    glymur.Jp2k(str(path), data=pixels, numres=5)
    fast = FastBand.of(band_of(path), 40)
    (tile,) = fast._tiles(0, 0, (256, 256))
    cells = fast._guess(tile, fast._packets(tile)).marked
    with fast._decoded(tile, fast._packets(tile), 3, (0,) * 15) as means:
        assert means[:, :24].min() < fast.largest_error
    assert not cells[:, :9].any()
    assert cells[:, 13:].all()


def test_real_files_with_all_planes_have_identical_samples(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_coding, "_SMALLEST_BLOCK", 1)
    paths = sorted((shared_data / "safe").rglob("*.jp2"))
    assert len(paths) >= 5
    for path in paths:
        fast, exact = rewriting_nothing(FastBand.of(band_of(path), 40)), band_of(path)
        width = min(exact.codestream.width, 1100)  # several tiles of each size
        found, expected = (np.zeros((1, 400, width), np.uint16) for _ in range(2))
        fast.read(150, 0, [found])
        exact.read(150, 0, [expected])
        np.testing.assert_array_equal(found, expected, str(path))


def test_a_damaged_file_is_refused_as_by_the_exact_decode_or_decoded(noisy: Path) -> None:
    good, chance = noisy.read_bytes(), random.Random(8)
    image = band_of(noisy).codestream
    refused = 0
    for _ in range(80):
        bad = bytearray(good)
        part = chance.choice(image.tile_parts)
        for _ in range(chance.randrange(1, 4)):  # the first packet headers, more often
            reach = chance.choice([40, 400, part.end - part.begin - 14])
            place = part.begin + 14 + chance.randrange(reach)
            bad[min(place, part.end - 1)] ^= 1 << chance.randrange(8)
        noisy.write_bytes(bad)
        try:
            fast = FastBand.of(band_of(noisy), 40)
            assert pixels_of(fast).shape == (260, 320)
        except CorruptImage:
            refused += 1
            with pytest.raises(CorruptImage):
                pixels_of(band_of(noisy))
    assert refused > 5


def test_files_without_checksums_are_decoded_exactly_and_a_remark_says_so(noisy: Path) -> None:
    bands = [band_of(noisy)]
    reduced = reduce_bands(bands, 40, checked=False)
    assert reduced.parts == tuple(bands)
    assert reduced.largest_error == 0
    (remark,) = reduced.remarks
    assert remark.endswith("not fast, because no checksum shows whether the files are intact")
    assert reduce_bands(bands, 40, checked=True).largest_error > 0


@pytest.mark.parametrize(
    ("coding", "reason"),
    [
        ({"cratios": [4, 1]}, "there are several quality layers"),
        ({"irreversible": True}, "the wavelet is not the reversible one"),
        ({"prog": "PCRL"}, "packets are not in the order of resolutions"),
        ({"modesw": 1}, "the code-blocks have a special style"),
        ({"sop": True}, "packets have markers"),
        ({"cbsize": (8, 8)}, "code-blocks have fewer than 128 samples"),
    ],
)
def test_files_that_are_coded_in_another_way_are_decoded_exactly(
    tmp_path: Path, coding: dict[str, Any], reason: str
) -> None:
    pixels = np.random.default_rng(1).integers(2000, 4000, (150, 150)).astype(np.uint16)
    odd, plain = tmp_path / "odd.jp2", tmp_path / "plain.jp2"
    glymur.Jp2k(str(odd), data=pixels, **coding)
    glymur.Jp2k(str(plain), data=pixels)
    bands = [band_of(odd), band_of(plain)]
    reduced = reduce_bands(bands, 40, checked=True)
    assert reduced.parts[0] is bands[0]
    assert isinstance(reduced.parts[1], FastBand)
    (remark,) = reduced.remarks
    assert reason in remark
    assert remark.endswith("(odd.jp2)")
