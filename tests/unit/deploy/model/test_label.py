"""Targets of training: the teacher at every scale, within what people say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.model import label
from deploy.model.clouded import CLOUDED
from deploy.model.dataset import BANDS, Tile, coarser
from deploy.model.label import read_taught_tiles, scales_of, targets
from deploy.model.sea import SEA
from deploy.model.simulated import SIMULATED
from flightsw.errors import UsageError

CLEAR, CLOUD, SHADOW = range(3)


def _tile(side: int, distance: int = 10, allowed: NDArray[np.float32] | None = None) -> Tile:
    bands = np.random.default_rng(side).random((4, side, side)).astype(np.float32)
    valid = np.ones((side, side), np.bool_)
    return Tile("simulated", "simulated", "l1c", distance, BANDS, bands, valid, allowed)


def _answer(clear: float, cloud: float, shadow: float) -> NDArray[np.float32]:
    return np.array([clear, cloud, shadow], np.float32)[:, None, None] * np.ones((1, 2, 2), "f4")


def test_a_tile_is_taught_at_every_scale_at_which_it_is_large_enough() -> None:
    assert [one.ground_sample_distance for one in scales_of(_tile(256))] == [10, 20]
    assert [one.ground_sample_distance for one in scales_of(_tile(512, 30))] == [30, 60]
    assert [one.ground_sample_distance for one in scales_of(_tile(100, 60))] == [60]


def test_a_coarser_tile_is_the_area_mean_and_valid_if_all_its_parts_are() -> None:
    tile = _tile(7)
    tile.valid[0, 0] = False
    coarse = coarser(tile, 3)
    assert coarse.ground_sample_distance == 30
    np.testing.assert_allclose(coarse.bands[:, 1, 0], tile.bands[:, 3:6, 0:3].mean(axis=(1, 2)))
    assert coarse.valid.tolist() == [[False, True], [True, True]]


def test_people_overrule_the_teacher_and_the_teacher_decides_what_they_leave_open() -> None:
    allowed = np.zeros((3, 2, 2), np.float32)
    allowed[CLOUD, 0] = 1
    allowed[[CLEAR, SHADOW], 1] = 1
    found = targets(_tile(2, allowed=allowed), _answer(0.1, 0.6, 0.3), None)
    np.testing.assert_allclose(found[:, 0], _answer(0, 1, 0)[:, 0], atol=1e-6)
    np.testing.assert_allclose(found[:, 1], _answer(0.25, 0, 0.75)[:, 1], atol=0.01)


def test_a_doubtful_answer_is_averaged_with_the_coarser_one_and_a_sure_answer_is_kept() -> None:
    coarse = _answer(1, 0, 0)[:, :1, :1]
    doubtful = targets(_tile(2), _answer(0.4, 0.6, 0), coarse)
    np.testing.assert_allclose(doubtful, _answer(0.7, 0.3, 0), atol=1e-6)
    sure = targets(_tile(2), _answer(0.1, 0.9, 0), coarse)
    np.testing.assert_allclose(sure, _answer(0.1, 0.9, 0), atol=1e-6)


def labelled(folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
    (folder / "sources.toml").write_text(
        '[[source]]\nfiles = "*.npz"\nlevel = "l1c"\nground_sample_distance = 60\n'
    )
    arguments = [str(folder), str(out), "--sources", str(folder / "sources.toml"), *options]
    monkeypatch.setattr("sys.argv", ["label", *arguments])
    monkeypatch.setattr(
        label, "teacher_probabilities", lambda tile: np.full((3, *tile.valid.shape), 1 / 3, "f4")
    )
    label.main()


def write_image(path: Path, order: tuple[str, ...]) -> None:
    pixels = np.arange(len(order) * 64, dtype=np.uint16).reshape(len(order), 8, 8) + 1
    np.savez(path, bands=pixels, order=np.array(order))


def test_bands_are_kept_in_one_order_and_images_without_them_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(tmp_path / "six.npz", ("B12", "B02", "B03", "B04", "B08", "B11"))
    write_image(tmp_path / "four.npz", BANDS)
    labelled(tmp_path, tmp_path / "out", monkeypatch, "--bands", "B11,B02,B12")
    assert "1 of 2 images lack a band" in capsys.readouterr().out
    (tile,) = read_taught_tiles(tmp_path / "out")
    assert (tile.name, tile.names) == ("six", ("B02", "B11", "B12"))
    with np.load(tmp_path / "six.npz") as image:
        expected = image["bands"][[1, 5, 0]] / 10_000
    np.testing.assert_allclose(tile.bands, expected, atol=1e-4)
    np.testing.assert_array_equal(tile.of(("B12", "B02")), tile.bands[[2, 0]])
    with pytest.raises(UsageError, match="six lacks B03"):
        tile.of(BANDS)


def test_simulated_tiles_alone_give_every_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def small(count: int, seed: int = 1, *, bands: tuple[str, ...]) -> Iterator[Tile]:
        for number in range(count):
            yield replace(_tile(8 + 10 * seed + number), region=SIMULATED, names=(*bands, "B12"))

    monkeypatch.setattr(label, "simulated_tiles", small)
    out = tmp_path / "out"
    monkeypatch.setattr(
        label, "teacher_probabilities", lambda tile: np.full((3, *tile.valid.shape), 1 / 3, "f4")
    )
    options = ["--simulated", "1", "--simulated-kept", "1", "--bands", "B02,B10,B11"]
    monkeypatch.setattr("sys.argv", ["label", "-", str(out), *options])
    label.main()
    tiles = read_taught_tiles(out)
    assert [tile.part for tile in tiles] == ["training", "validation", "held_out"]
    assert {tile.names for tile in tiles} == {("B02", "B10", "B11")}
    assert len({tile.bands.shape for tile in tiles}) == 3


def test_nearly_clear_images_that_teach_are_taught_under_simulated_clouds_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for region in ("teaching", "judging"):
        write_image(tmp_path / f"{region}.npz", BANDS)
    (tmp_path / "split.toml").write_text('validation = []\nheld_out = ["judging"]\n')
    split = ("--split", str(tmp_path / "split.toml"))
    labelled(tmp_path, tmp_path / "out", monkeypatch, "--clouded", "2", *split)
    tiles = read_taught_tiles(tmp_path / "out")
    assert [(one.region == CLOUDED, one.part, one.labelled) for one in tiles] == [
        (False, "held_out", False),
        (False, "training", False),
        (True, "training", True),
        (True, "training", True),
    ]
    assert (tiles[2].bands != tiles[1].bands).any()
    assert {*np.unique(tiles[2].probabilities).tolist()} == {0, 1}


def test_simulated_sea_is_taught_as_clear_and_under_simulated_clouds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def small(count: int, bands: tuple[str, ...]) -> Iterator[Tile]:
        for _ in range(count):
            allowed = np.zeros((3, 8, 8), np.float32)
            allowed[CLEAR] = 1
            yield replace(_tile(8, 10, allowed), region=SEA, names=bands)

    monkeypatch.setattr(label, "sea_tiles", small)
    write_image(tmp_path / "four.npz", BANDS)
    labelled(tmp_path, tmp_path / "out", monkeypatch, "--sea", "1", "--clouded", "1")
    tiles = read_taught_tiles(tmp_path / "out")
    assert [one.region for one in tiles][-2:] == [SEA, CLOUDED]
    np.testing.assert_allclose(tiles[-2].probabilities.mean(axis=(1, 2)), (1, 0, 0), atol=1e-6)


@pytest.mark.parametrize("option", ["--simulated", "--simulated-kept", "--sea", "--clouded"])
def test_a_number_of_tiles_is_not_negative(
    option: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_image(tmp_path / "four.npz", BANDS)
    with pytest.raises(SystemExit):
        labelled(tmp_path, tmp_path / "out", monkeypatch, option, "-1")
    assert f"argument {option}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_bands_that_no_image_has_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "four.npz", BANDS)
    with pytest.raises(UsageError, match="holds no image with all of B02, B10"):
        labelled(tmp_path, tmp_path / "out", monkeypatch, "--bands", "B02,B10")
    assert not (tmp_path / "out").exists()
