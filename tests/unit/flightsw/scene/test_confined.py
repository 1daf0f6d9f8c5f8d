"""Scenes that are read by a confined process: the same scenes, whatever that process does."""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import rasterio

from flightsw.chain import SceneProcessor, SceneRequest, open_chain
from flightsw.config import DimcSettings, Settings, TwinSettings
from flightsw.errors import (
    CorruptImage,
    DecoderFailed,
    FlightError,
    Interrupted,
    MemoryExhausted,
)
from flightsw.host.landlock import landlock_version
from flightsw.scene import confined
from flightsw.scene.ahead import SceneRecipe
from flightsw.scene.area import area_within
from flightsw.scene.confined import ConfinedReaders
from flightsw.scene.scene import Scene, Strip
from tests.unit.flightsw.scene.hostile_decoder import HOOK
from tests.unit.flightsw.scene.item_writer import write_bands
from tests.unit.flightsw.scene.safe_writer import BANDS, SafeProduct, band_file
from tests.unit.flightsw.scene.test_geotiff import write_tiff
from tests.unit.flightsw.scene.test_zipped import zip_of

AREA = area_within((-9.0, 53.235, -8.99, 53.24))


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConfinedReaders]:
    """Readers whose decoders do what the names of scenes say."""
    hook = tmp_path_factory.mktemp("hook")
    (hook / "sitecustomize.py").write_text(HOOK)
    sys.path.insert(0, str(hook))
    found = ConfinedReaders()
    yield found
    sys.path.remove(str(hook))
    found.close()


def recipe_of(path: Path) -> SceneRecipe:
    return SceneRecipe(path, BANDS, 10, None, "cpu", 2, within=path.parent)


def strips_of(scene: Scene) -> list[Strip]:
    with scene.strips(2) as strips:
        return [*strips]


def assert_same(recipe: SceneRecipe, readers: ConfinedReaders) -> None:
    here, there = recipe.open(), replace(recipe, readers=readers).open()
    assert repr(there.metadata) == repr(here.metadata)
    expected, found = strips_of(here), strips_of(there)
    places = [(one.top, one.left, one.decodes_after) for one in expected]
    assert [(one.top, one.left, one.decodes_after) for one in found] == places
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one.digital_numbers, other.digital_numbers)


@pytest.fixture
def product(tmp_path: Path) -> Path:
    return SafeProduct().write(tmp_path / "scenes")


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"ground_sample_distance": 20, "panels": True},
        {"bands": ("B08", "B02"), "offset": -900},
    ],
    ids=str,
)
def test_a_confined_scene_has_the_same_metadata_and_pixels(
    readers: ConfinedReaders, product: Path, change: dict[str, Any]
) -> None:
    assert_same(replace(recipe_of(product), **change), readers)


def test_an_archive_is_unpacked_by_one_decoder_and_read_by_another(
    readers: ConfinedReaders, product: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    assert_same(recipe_of(zip_of(product, tmp_path / "any.zip")), readers)
    gc.collect()
    assert [*temporary.iterdir()] == []


def test_rasters_are_read_by_a_decoder(readers: ConfinedReaders, tmp_path: Path) -> None:
    assert_same(recipe_of(write_tiff(tmp_path / "one.tif")), readers)
    folder = tmp_path / "bands"
    folder.mkdir()
    write_bands(folder, scale=0.0001)
    assert_same(recipe_of(folder), readers)


def test_a_scene_is_read_again_by_another_decoder(readers: ConfinedReaders, product: Path) -> None:
    scene = replace(recipe_of(product), readers=readers).open()
    first, again = strips_of(scene), strips_of(scene)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.digital_numbers, other.digital_numbers)


def _missing(root: Path) -> Path:
    band_file(root, "B03").unlink()
    return root


def _truncated(root: Path) -> Path:
    path = band_file(root, "B04")
    path.write_bytes(path.read_bytes()[:-300])
    (root / "manifest.safe").unlink()
    return root


def _damaged(root: Path) -> Path:
    path = band_file(root, "B04")
    content = bytearray(path.read_bytes())
    content[-100] ^= 255
    path.write_bytes(content)
    return root


def _no_archive(root: Path) -> Path:
    path = root.with_suffix(".zip")
    path.write_bytes(b"PK" * 100)
    return path


@pytest.mark.parametrize(
    "broken",
    [_missing, _truncated, _damaged, _no_archive, lambda root: root / "nothing"],
)
def test_errors_are_the_same(
    readers: ConfinedReaders, product: Path, broken: Callable[[Path], Path]
) -> None:
    recipe = recipe_of(broken(product))
    found = []
    for one in (recipe, replace(recipe, readers=readers)):
        with pytest.raises(FlightError) as caught:
            strips_of(one.open())
        found.append((type(caught.value), caught.value.as_record()))
    assert found[0] == found[1]


def test_files_are_verified_by_a_decoder(readers: ConfinedReaders, product: Path) -> None:
    recipe = replace(recipe_of(product), readers=readers)
    recipe.verify(threading.Event())
    _damaged(product)
    with pytest.raises(CorruptImage, match=r"differs from that in manifest\.safe"):
        recipe.verify(threading.Event())


@pytest.mark.skipif(landlock_version() == 0, reason="the kernel has no Landlock")
def test_a_subverted_decoder_gains_nothing(
    readers: ConfinedReaders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_SECRET", "of the service")
    (key := tmp_path / "keys" / "service.key_secret").parent.mkdir()
    key.write_text("secret")
    folder = tmp_path / "scenes" / "evil-attack"
    scene = SafeProduct().write(folder, "attack.SAFE")
    (scene / "targets.json").write_text(json.dumps({"key": str(key), "service": os.getpid()}))
    before = sorted(scene.rglob("*"))
    with pytest.raises(CorruptImage) as caught:
        strips_of(replace(recipe_of(scene), readers=readers).open())
    found = json.loads(caught.value.cause)
    assert found["done"] == []
    assert {number for number, _ in found["files"]} >= {0, 1, 2, 3}
    # Beside its channel (3) and error output, a decoder holds nothing but the scene and its memory.
    assert [one for one in found["files"] if one[1] == "0o14"] == [[3, "0o14"]]
    assert "A_SECRET" not in found["names"]
    assert sorted(scene.rglob("*")) == before


_SCENES = ["height", "rows", "decodes", "bands", "offsets", "infinite", "name", "remarks", "crs"]
_MESSAGES = ["integrity", "length", "garbage", "silence"]
_STRIPS = ["early", "more", "unsealed", "small", "file"]


@pytest.mark.parametrize("lie", [*_SCENES, *_MESSAGES, *_STRIPS])
def test_an_answer_that_cannot_be_right_is_a_named_error(
    readers: ConfinedReaders, tmp_path: Path, lie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if lie == "silence":
        monkeypatch.setattr(confined, "OPEN_SECONDS", 0.5)
    scene = SafeProduct().write(tmp_path / f"evil-{lie}")
    with pytest.raises(DecoderFailed, match=r"SAFE cannot be read: its decoder "):
        strips_of(replace(recipe_of(scene), readers=readers).open())


@pytest.mark.parametrize(("evil", "end"), [("crash", "Segmentation fault"), ("exit", "status 3")])
def test_a_decoder_that_dies_is_a_named_error(
    readers: ConfinedReaders, tmp_path: Path, evil: str, end: str
) -> None:
    scene = SafeProduct().write(tmp_path / f"evil-{evil}")
    with pytest.raises(DecoderFailed, match=rf"SAFE crashed its decoder \(.*{end}\)"):
        strips_of(replace(recipe_of(scene), readers=readers).open())
    assert_same(recipe_of(SafeProduct().write(tmp_path / "next")), readers)


def test_a_decoder_has_bounded_memory(readers: ConfinedReaders, tmp_path: Path) -> None:
    scene = SafeProduct().write(tmp_path / "evil-memory")
    with pytest.raises(MemoryExhausted, match="SAFE ran out of memory"):
        strips_of(replace(recipe_of(scene), readers=readers).open())


@pytest.mark.skipif(landlock_version() == 0, reason="the kernel has no Landlock")
def test_a_link_out_of_the_scene_is_not_followed(
    readers: ConfinedReaders, product: Path, tmp_path: Path
) -> None:
    band = band_file(product, "B03")
    band.rename(tmp_path / "B03.jp2")
    band.symlink_to(tmp_path / "B03.jp2")
    with pytest.raises(FlightError, match=r"B03_10m.*Permission denied"):
        replace(recipe_of(product), readers=readers).open()


def test_leaving_ends_the_decoder(readers: ConfinedReaders, product: Path) -> None:
    scene = replace(recipe_of(product), readers=readers).open()
    with scene.strips(2) as strips:
        next(strips)
    with pytest.raises(Interrupted):
        next(strips)


def test_decoders_end_with_their_parent_which_is_started_again(
    readers: ConfinedReaders, product: Path
) -> None:
    recipe = replace(recipe_of(product), readers=readers)
    with recipe.open().strips(2) as strips:
        parent = readers._parent
        assert parent is not None
        parent.kill()
        parent.wait(60)
        with pytest.raises(DecoderFailed, match="crashed its decoder"):
            list(strips)
    recipe.verify(threading.Event())


_TWIN = Settings(
    engines=("dimc",), dimc=DimcSettings(card="simulator", twin=TwinSettings(compute=False))
)


@pytest.fixture(scope="module")
def chains(readers: ConfinedReaders) -> Iterator[tuple[SceneProcessor, SceneProcessor]]:
    """Chains that read in this process, and in decoders."""
    with open_chain(_TWIN) as here, open_chain(_TWIN, readers=readers) as there:
        yield here, there


@pytest.mark.parametrize("form", ["archive", "raster", "area", "fast", "first look"])
def test_masks_and_reports_are_the_same(
    chains: tuple[SceneProcessor, SceneProcessor], tmp_path: Path, form: str
) -> None:
    scene = SafeProduct().write(tmp_path / "scenes")
    if form == "archive":
        scene = zip_of(scene, tmp_path / "any.zip")
    if form == "raster":
        scene = write_tiff(tmp_path / "one.tif")
    products = frozenset({"mask", "geotiff", "report"})
    found = []
    for number, chain in enumerate(chains):
        request = SceneRequest(
            scene,
            tmp_path / str(number),
            products,
            area=AREA if form == "area" else None,
            decode="fast" if form == "fast" else "exact",
            stop_above=0.9 if form == "first look" else None,
            within=scene.parent,
        )
        done = chain.process(request)
        files = {one.product: (request.out / one.name) for one in done.products.files}
        with rasterio.open(files["geotiff"]) as file:
            pixels = file.read(), file.transform, file.crs
        report = msgspec.to_builtins(done.products.report)
        found.append((done.scene, files["mask"].read_bytes(), report["scene"], *pixels))
    for here, there in zip(*found, strict=True):
        assert repr(there) == repr(here)
