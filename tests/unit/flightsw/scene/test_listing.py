from __future__ import annotations

import os
from pathlib import Path

import pytest

from flightsw.scene import listing
from flightsw.scene.listing import list_scenes
from telecommands.dictionary import ListScenes


def _file(path: Path, size: int = 10, modified: int = 1_800_000_000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, (modified, modified))
    return path


def _safe(root: Path, name: str, size: int = 10) -> None:
    _file(root / name / "GRANULE" / "L1C" / "IMG_DATA" / "B02.jp2", size)
    _file(root / name / "manifest.safe", 1)


def test_each_kind_of_scene_is_listed_by_the_path_that_process_scene_takes(tmp_path: Path) -> None:
    _safe(tmp_path, "a.SAFE", 30)
    _safe(tmp_path, "2027/january/b.SAFE")
    _file(tmp_path / "c.SAFE.zip", 40)
    _file(tmp_path / "d.tif", 50)
    _file(tmp_path / "bands" / "B02.tif", 60)
    _file(tmp_path / "tile" / "R10m" / "B02.jp2", 70)
    _file(tmp_path / "item.json", 80)
    _file(tmp_path / "notes.txt")
    _file(tmp_path / "empty" / "notes.txt")
    _file(tmp_path / ".uploading" / "e.tif")
    found = list_scenes(tmp_path, ListScenes())
    sizes = {one.scene: one.size for one in found.scenes}
    assert sizes == {
        "a.SAFE": 31, "2027/january/b.SAFE": 11, "c.SAFE.zip": 40, "d.tif": 50, "bands": 60,
        "tile": 70, "item.json": 80,
    }  # fmt: skip
    assert (found.total, found.remark) == (7, "")


def test_the_newest_comes_first_in_pages(tmp_path: Path) -> None:
    for number in range(5):
        _file(tmp_path / f"{number}.tif", modified=1_800_000_000 + number)
    page = list_scenes(tmp_path, ListScenes(limit=2, skip=1))
    assert [one.scene for one in page.scenes] == ["3.tif", "2.tif"]
    assert page.scenes[0].modified_at == 1_800_000_003 * 10**9
    assert page.total == 5


def test_an_empty_or_absent_scene_root_is_explained(tmp_path: Path) -> None:
    empty = list_scenes(tmp_path, ListScenes())
    assert (empty.scenes, empty.total) == ((), 0)
    assert empty.remark == f"the scene root {tmp_path} holds no scene; upload one"
    absent = list_scenes(tmp_path / "absent", ListScenes())
    assert (absent.total, "cannot be read (no such file" in absent.remark) == (0, True)


def test_links_out_of_the_scene_root_are_left_out(tmp_path: Path) -> None:
    root = tmp_path / "scenes"
    _file(root / "a.tif")
    (root / "inside.tif").symlink_to(root / "a.tif")
    (root / "outside.tif").symlink_to(_file(tmp_path / "b.tif"))
    (root / "nowhere.tif").symlink_to(tmp_path / "nowhere")
    (root / "loop").symlink_to(root)
    found = list_scenes(root, ListScenes())
    assert {one.scene for one in found.scenes} == {"a.tif", "inside.tif"}


def test_search_and_measurement_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        _file(tmp_path / f"{number}.tif")
    for number in range(20):
        _file(tmp_path / "a.SAFE" / "GRANULE" / f"{number}.jp2")
    monkeypatch.setattr(listing, "MOST_MEASURED", 10)
    sizes = {one.scene: one.size for one in list_scenes(tmp_path, ListScenes()).scenes}
    assert (sizes["a.SAFE"], sizes["0.tif"]) == (None, 10)
    monkeypatch.setattr(listing, "MOST_SEARCHED", 10)
    found = list_scenes(tmp_path, ListScenes())
    assert (found.total, found.remark) == (10, "the search ended after 10 files and folders")
