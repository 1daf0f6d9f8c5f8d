from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest
import rasterio
from affine import Affine

from telecommands.dashboard.products import (
    KIND_OF_ENDING,
    MOST_PIXELS,
    ReceivedProducts,
    picture,
)
from telecommands.dictionary import ProductKind
from telecommands.ground.errors import GroundError, UsageError

_SCENE = "S2A_MSIL1C_20260504"


def test_every_kind_of_product_is_recognised_by_its_file() -> None:
    assert {*KIND_OF_ENDING.values(), "fill"} == {*get_args(ProductKind)}


def _scanned(folder: Path) -> ReceivedProducts:
    products = ReceivedProducts(folder)
    products.scan(threading.Event())
    return products


def _mask(path: Path, rows: int, columns: int) -> None:
    values = np.zeros((rows, columns), np.uint8)
    values[:, columns // 2 :] = 1
    mask = np.full((rows, columns), 255, np.uint8)
    mask[: rows // 2] = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path, "w", driver="GTiff", width=columns, height=rows, count=1, dtype="uint8", nbits=1,
            transform=Affine(10, 0, 5e5, 0, -10, 5e6), crs="EPSG:32633",
        ) as image,
    ):  # fmt: skip
        image.write(values, 1)
        image.write_mask(mask)


def test_products_are_listed_newest_first_with_kind_scene_and_sha256(tmp_path: Path) -> None:
    folder = tmp_path / "received" / "sat-a" / "job-1"
    folder.mkdir(parents=True)
    for age, name in enumerate(["report.json", "visualization.jpg", "cloud_mask.tif"]):
        path = folder / f"{_SCENE}_{name}"
        path.write_bytes(name.encode())
        os.utime(path, (1_800_000_000 - age, 1_800_000_000 - age))
    (folder / ".half.part").write_bytes(b"on its way")
    (folder / "link.json").symlink_to("/etc/hostname")
    products = _scanned(tmp_path / "received")
    listed = products.listed()
    assert [one.kind for one in listed] == ["report", "quicklook", "geotiff"]
    assert {(one.unit, one.job, one.scene) for one in listed} == {("sat-a", "job-1", _SCENE)}
    assert listed[0].sha256 == hashlib.sha256(b"report.json").hexdigest()
    assert listed[0].received == 1_800_000_000_000
    assert [one.image is not None for one in listed] == [False, True, True]
    assert products.path_of(listed[0].product).name.endswith("report.json")


def test_a_product_that_changed_is_hashed_again_and_one_that_went_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "job-1" / "a.json"  # where products of interface version 1 lie
    path.parent.mkdir()
    path.write_bytes(b"one")
    products = _scanned(tmp_path)
    assert (products.listed()[0].unit, products.listed()[0].job) == ("", "job-1")
    path.write_bytes(b"other")
    products.scan(threading.Event())
    assert products.listed()[0].sha256 == hashlib.sha256(b"other").hexdigest()
    path.unlink()
    products.scan(threading.Event())
    assert products.listed() == ()


@pytest.mark.parametrize("folder", [None, Path("/nowhere/at/all")])
def test_without_a_folder_there_are_no_products(folder: Path | None) -> None:
    products = ReceivedProducts(folder)
    products.scan(threading.Event())
    assert products.listed() == ()
    with pytest.raises(UsageError, match="not a received product"):
        products.path_of("../../etc/passwd")


def test_a_mask_is_drawn_brown_white_and_transparent(tmp_path: Path) -> None:
    path = tmp_path / f"{_SCENE}_cloud_mask.tif"
    _mask(path, 64, 64)
    content, media_type = picture(path)
    assert media_type == "image/png"
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels[60, 5].tolist() == [0, 64, 139, 255]
    assert pixels[60, 60].tolist() == [255, 255, 255, 255]
    assert pixels[5, 5, 3] == 0


def test_a_large_mask_is_thinned_out(tmp_path: Path) -> None:
    path = tmp_path / f"{_SCENE}_cloud_mask.tif"
    _mask(path, 2 * MOST_PIXELS, 100)
    content, _ = picture(path)
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels.shape == (MOST_PIXELS, 50, 4)


def test_what_cannot_be_drawn_is_reported(tmp_path: Path) -> None:
    broken = tmp_path / f"{_SCENE}_cloud_mask.tif"
    broken.write_bytes(b"II*\0nonsense")
    with pytest.raises(GroundError, match="cannot be drawn"):
        picture(broken)
    with pytest.raises(UsageError, match="no picture"):
        picture(tmp_path / f"{_SCENE}_report.json")
