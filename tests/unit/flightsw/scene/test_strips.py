"""Strips against the whole decode, threads, and what stops them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import glymur
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from flightsw.errors import CorruptImage, Interrupted, UsageError
from flightsw.scene import open_scene
from flightsw.scene.codestream import inspect
from flightsw.scene.jp2 import Jp2Band
from flightsw.scene.scene import Scene, SceneMetadata, Strip
from flightsw.scene.strips import StripScene, panel_columns, rows_per_decode
from tests.unit.flightsw.scene.safe_writer import (
    BANDS,
    SafeProduct,
    band_file,
    band_pixels,
    write_jp2,
)


def together(scene: Scene, workers: int = 2) -> NDArray[np.uint16]:
    """The pixels of a scene; its strips must come in order, without gap or overlap."""
    with scene.strips(workers) as strips:
        found = list(strips)
    known = scene.metadata
    pixels = np.empty((len(known.bands), known.height, known.width), np.uint16)
    panels = sorted({strip.left for strip in found})
    covered = dict.fromkeys(panels, 0)
    for strip in found:
        assert strip.digital_numbers.dtype == np.uint16
        assert strip.top == covered[strip.left]
        _, rows, columns = strip.digital_numbers.shape
        covered[strip.left] += rows
        assert [covered[left] for left in panels] == sorted(covered.values(), reverse=True)
        assert strip.left + columns in (*panels, known.width)
        pixels[:, strip.top :, strip.left :][:, :rows, :columns] = strip.digital_numbers
    assert set(covered.values()) == {known.height}
    return pixels


def panels_of(scene: Scene) -> list[int]:
    """The first columns of the panels that a scene comes in."""
    with scene.strips(2) as strips:
        return sorted({strip.left for strip in strips})


@pytest.fixture(scope="module")
def tall_product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three strips at 10 m, sizes that are a multiple of nothing."""
    product = SafeProduct(height=2311, width=157, tile=(192, 96))
    return product.write(tmp_path_factory.mktemp("tall"))


@pytest.mark.parametrize("distance", [10, 20, 40])
@pytest.mark.parametrize("order", [BANDS, ("B08", "B04", "B03", "B02")])
def test_strips_equal_the_whole_decode(
    tall_product: Path, distance: int, order: tuple[str, ...]
) -> None:
    scene = open_scene(tall_product, order, distance)
    step = distance // 10
    whole = [glymur.Jp2k(str(band_file(tall_product, band)))[::step, ::step] for band in order]
    np.testing.assert_array_equal(together(scene), np.stack(whole))
    assert scene.metadata.bands == order
    assert scene.metadata.ground_sample_distance == distance
    assert (scene.metadata.height, scene.metadata.width) == (-(-2311 // step), -(-157 // step))


@pytest.mark.parametrize("distance", [10, 20, 40])
def test_a_scene_in_panels_has_the_same_pixels(tmp_path: Path, distance: int) -> None:
    root = SafeProduct(height=200, width=4500 * distance // 10 - 3, tile=(64, 1024)).write(tmp_path)
    whole, in_panels = (
        open_scene(root, ground_sample_distance=distance, panels=panels) for panels in (False, True)
    )
    np.testing.assert_array_equal(together(in_panels), together(whole))
    assert panels_of(whole) == [0]
    assert panels_of(in_panels) == [0, 2048, 4096]


def test_lossless_pixels_come_out_as_they_went_in(tall_product: Path) -> None:
    expected = np.stack([band_pixels(band, 2311, 157) for band in BANDS])
    np.testing.assert_array_equal(together(open_scene(tall_product)), expected)


def test_a_scene_can_be_read_twice(tall_product: Path) -> None:
    scene = open_scene(tall_product)
    np.testing.assert_array_equal(together(scene, workers=1), together(scene, workers=3))


@settings(max_examples=25)
@given(
    height=st.integers(4, 150),
    width=st.integers(4, 150),
    tile=st.sampled_from([(32, 32), (50, 34), (33, 47), None]),
    step=st.sampled_from([1, 2, 4]),
    unit=st.integers(1, 40),
    targets=st.integers(1, 4),
    at_once=st.sampled_from([1, 40, 100, 4096]),
)
def test_any_number_of_rows_and_columns_in_a_read_give_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory,
    *,
    height: int,
    width: int,
    tile: tuple[int, int] | None,
    step: int,
    unit: int,
    targets: int,
    at_once: int,
) -> None:
    path = tmp_path_factory.mktemp("any") / "band.jp2"
    if tile and (tile[0] > height or tile[1] > width):
        tile = None
    write_jp2(path, band_pixels("B02", height, width), tile, levels=2)
    band = Jp2Band(path, inspect(path), slice(0, 1), step, columns=at_once)
    rows, columns = -(-height // step), -(-width // step)
    strips = []
    for top in range(0, rows, unit):
        strip = np.empty((1, min(unit, rows - top), columns), np.uint16)
        band.read(top, 0, np.array_split(strip, targets, axis=1))
        strips.append(strip[0])
    whole = glymur.Jp2k(str(path))[::step, ::step].reshape(rows, columns)
    np.testing.assert_array_equal(np.concatenate(strips), whole)


@pytest.mark.parametrize("step", [1, 2, 4])
def test_real_crop_of_one_tile_twelve_layers_and_9_7_wavelet(shared_data: Path, step: int) -> None:
    (path,) = (shared_data / "jp2").glob("ref_*_sub.jp2")
    image = inspect(path)
    band = Jp2Band(path, image, slice(0, 1), step)
    rows = rows_per_decode([image.tile_height], step)
    assert rows == 1024
    metadata = SceneMetadata(
        "crop", "", "", "", ("B02",), {"B02": 0}, 1e4, 3200 // step, 2400 // step, 10 * step
    )
    scene = StripScene(metadata, (band,), rows // step, 2400 // step)
    whole = glymur.Jp2k(str(path))[::step, ::step]
    np.testing.assert_array_equal(together(scene)[0], whole)


@pytest.mark.parametrize(
    ("heights", "step", "rows"),
    [
        ([1024], 1, 1024),
        ([1024], 4, 1024),
        ([192], 1, 960),
        ([192, 64], 4, 960),
        ([90], 4, 900),
        ([1023], 4, 1024),
        ([3200], 2, 1024),
    ],
)
def test_strips_follow_the_tiles_and_the_step(heights: list[int], step: int, rows: int) -> None:
    assert rows_per_decode(heights, step) == rows


@pytest.mark.parametrize(
    ("widths", "step", "width", "columns"),
    [
        ([1024], 1, 10_980, 2048),
        ([1024], 2, 5490, 2048),
        ([1024], 4, 2745, 2048),
        ([192], 1, 10_980, 1920),
        ([192, 256], 1, 10_980, 1536),
        ([1024], 1, 900, 900),
        ([10_980], 1, 10_980, 10_980),
        ([2049], 1, 10_980, 10_980),
    ],
)
def test_panels_follow_the_tiles_and_are_the_whole_width_where_tiles_are_wider(
    widths: list[int], step: int, width: int, columns: int
) -> None:
    assert panel_columns(widths, step, width) == columns


@pytest.mark.parametrize(("columns", "decodes", "ahead"), [(157, 13, 1), (96, 26, 2)])
def test_a_decode_is_begun_ahead_and_the_next_with_the_last_strip_before_it(
    tall_product: Path, columns: int, decodes: int, ahead: int
) -> None:
    reads = _Reads()
    scene = replace(_watched(tall_product, reads, rows=192), columns=columns)
    with scene.strips(4) as strips:
        for strip in strips:
            present = decodes - strip.decodes_after
            last_of_its_decode = strip.top % 192 == 168
            assert len(reads.begun) <= present + ahead + last_of_its_decode
    assert len(reads.begun) == decodes


def test_a_strip_states_how_many_decodes_come_after_its_own(tall_product: Path) -> None:
    with replace(_safe_scene(tall_product), rows=192).strips(2) as strips:
        decodes = [(strip.top // 192, strip.decodes_after) for strip in strips]
    assert {decode + after for decode, after in decodes} == {2311 // 192}


def test_the_strips_of_one_decode_can_be_freed_one_by_one(tall_product: Path) -> None:
    with replace(_safe_scene(tall_product), rows=192).strips(2) as strips:
        decoded = [strip.digital_numbers for strip in strips if strip.top < 192]
    assert [numbers.shape[1] for numbers in decoded] == [24] * 8
    for above, below in pairwise(decoded):
        assert not np.may_share_memory(above, below)


@pytest.mark.parametrize("columns", [157, 96])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_leaving_in_the_middle_stops_the_threads(
    tall_product: Path, error: type[BaseException], columns: int
) -> None:
    before = set(threading.enumerate())
    scene = replace(_safe_scene(tall_product), rows=64, columns=columns)
    with pytest.raises(error), scene.strips(3) as strips:  # noqa: PT012
        next(strips)
        assert set(threading.enumerate()) > before
        raise error
    assert set(threading.enumerate()) == before


def test_an_iterator_that_was_left_says_so(tall_product: Path) -> None:
    with replace(_safe_scene(tall_product), rows=64).strips(2) as strips:
        next(strips)
    with pytest.raises(Interrupted):
        list(strips)


def test_a_scene_that_is_left_unread_ends_its_threads(tall_product: Path) -> None:
    before = set(threading.enumerate())
    with open_scene(tall_product).strips(2):
        pass
    assert set(threading.enumerate()) == before


@pytest.mark.parametrize("columns", [157, 96])
def test_an_error_of_a_thread_comes_out_of_the_iterator(tall_product: Path, columns: int) -> None:
    before = set(threading.enumerate())
    failing = replace(_watched(tall_product, _Reads(fails_at=192), rows=192), columns=columns)
    with failing.strips(2) as strips:
        assert next(strips).top == 0
        with pytest.raises(CorruptImage, match="row 192"):
            list(strips)
    assert set(threading.enumerate()) == before


def test_no_workers_are_refused(tall_product: Path) -> None:
    with pytest.raises(UsageError, match="workers"):
        open_scene(tall_product).strips(0)


def test_openjpeg_complaints_of_one_file_stay_with_that_file(tmp_path: Path) -> None:
    """Errors and warnings of decodes that run side by side are never mixed up."""
    root = SafeProduct(checksum=None, height=320, width=320).write(tmp_path)
    damaged = band_file(root, "B04")
    content = bytearray(damaged.read_bytes())
    packets = content.rindex(b"\xff\x93") + 2  # the packets of the last tile
    content[packets : packets + 40] = b"\xff" * 40
    damaged.write_bytes(content)
    scene = _safe_scene(root)
    for part in scene.parts:
        assert isinstance(part, Jp2Band)
        target = np.empty((1, 320, 320), np.uint16)
        if part.path != damaged:
            part.read(0, 0, [target])
    with pytest.raises(CorruptImage) as caught, scene.strips(4) as strips:
        list(strips)
    assert caught.value.subject == str(damaged)


class _Reads:
    """The corners of the decodes that were begun; fails on request."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.begun: set[tuple[int, int]] = set()
        self.fails_at = fails_at


@dataclass(frozen=True)
class _WatchedPart:
    band: Jp2Band
    reads: _Reads

    @property
    def bands(self) -> slice:
        return self.band.bands

    def read(self, top: int, left: int, targets: Sequence[NDArray[np.uint16]]) -> None:
        self.reads.begun.add((top, left))
        if top == self.reads.fails_at:
            raise CorruptImage(self.band.path, f"cannot be decoded from row {top}")
        self.band.read(top, left, targets)


def _safe_scene(root: Path) -> StripScene:
    scene = open_scene(root)
    assert isinstance(scene, StripScene)
    return scene


def _watched(root: Path, reads: _Reads, rows: int) -> StripScene:
    scene = _safe_scene(root)
    parts = tuple(_WatchedPart(p, reads) for p in scene.parts if isinstance(p, Jp2Band))
    return StripScene(scene.metadata, parts, rows, scene.columns)


def test_strips_are_given_out_as_the_contract_says(tall_product: Path) -> None:
    scene: Scene = open_scene(tall_product)
    with scene.strips(2) as strips:
        assert isinstance(strips, Iterator)
        assert isinstance(next(strips), Strip)
