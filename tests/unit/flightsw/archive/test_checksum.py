from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flightsw.archive.checksum import scene_checksum
from flightsw.errors import SceneNotFound


@pytest.fixture
def product(tmp_path: Path) -> Path:
    folder = tmp_path / "a.SAFE"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "B02.jp2").write_bytes(b"pixels")
    return folder


@pytest.mark.parametrize("manifest", [False, True])
def test_a_scene_has_its_checksum_wherever_it_lies(
    product: Path, tmp_path: Path, manifest: bool
) -> None:
    if manifest:
        (product / "manifest.safe").write_text("<list/>")
    before = scene_checksum(product)
    moved = tmp_path / "elsewhere.SAFE"
    shutil.move(product, moved)
    assert scene_checksum(moved) == before
    (moved / "sub" / "B02.jp2").write_bytes(b"others!")
    assert scene_checksum(moved) != before


def test_a_file_without_manifest_counts_with_its_content_and_name(product: Path) -> None:
    before = scene_checksum(product)
    (product / "sub" / "B02.jp2").write_bytes(b"PIXELS")
    changed = scene_checksum(product)
    (product / "sub" / "B02.jp2").rename(product / "sub" / "B03.jp2")
    assert len({before, changed, scene_checksum(product)}) == 3


def test_a_changed_manifest_is_another_scene(product: Path) -> None:
    (product / "manifest.safe").write_text("<list/>")
    before = scene_checksum(product)
    (product / "manifest.safe").write_text("<lisT/>")
    assert scene_checksum(product) != before


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SceneNotFound, match=r"absent\.SAFE does not exist"):
        scene_checksum(tmp_path / "absent.SAFE")
