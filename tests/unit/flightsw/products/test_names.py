"""Names that state scene and time; what exists is not overwritten unless that is asked for."""

from __future__ import annotations

import re
from datetime import datetime, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightsw.errors import OutputNotWritable
from flightsw.products.names import ProductNames

_MODEL = "dtacsnet-cd-0.2.0+e5b09369"
_DATES = (
    "S2A_MSIL2A_20221005T115401_N0400_R023_T29UNU_20221005T164002",
    "S2B_MSIL2A_20221010T115359_N0400_R023_T29UNU_20221010T150002",
    "S2A_MSIL2A_20221005T115401_N0510_R023_T29UNU_20240809T111111",  # processed again by ESA
    "S2A_MSIL1C_20221005T115401_N0400_R023_T29UNU_20221005T140000",
)


def _contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_dates_of_one_tile_lie_side_by_side(simulate, all_products, tmp_path):
    scene = simulate(40, 50)

    files = [
        file.name
        for name in _DATES
        for file in scene.with_metadata(name=name)
        .publish(tmp_path, *all_products, overwrite=False)
        .files
    ]

    assert sorted(_contents(tmp_path)) == sorted(set(files))
    assert len(files) == len(set(files))
    assert all(any(name in path.name for path in tmp_path.iterdir()) for name in _DATES)


def test_the_same_scene_again_is_recognised_and_nothing_is_changed(simulate, tmp_path):
    scene = simulate(40, 50)
    scene.publish(tmp_path, "mask", "report")
    before = _contents(tmp_path)
    cloudier = scene.with_mask(np.ones_like(scene.mask))

    with pytest.raises(OutputNotWritable, match=r"already holds the products of S2A_.*--overwrite"):
        cloudier.publish(tmp_path, "mask", overwrite=False)

    assert _contents(tmp_path) == before


def test_another_product_of_the_same_scene_is_added(simulate, tmp_path):
    scene = simulate(40, 50)
    scene.publish(tmp_path, "mask", overwrite=False)

    scene.publish(tmp_path, "geotiff", overwrite=False)

    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".npy", ".tif"]


def test_overwriting_replaces_the_files_of_another_percentage(simulate, tmp_path):
    scene = simulate(40, 50)
    scene.publish(tmp_path, "mask", "report")
    cloudier = scene.with_mask(np.ones_like(scene.mask))

    published = cloudier.publish(tmp_path, "mask", "report", overwrite=True)

    assert set(_contents(tmp_path)) == {file.name for file in published.files}
    assert all("_100pct_" in file.name for file in published.files)


@pytest.mark.parametrize("fails_at", [1, 2])
def test_files_of_another_percentage_return_if_publishing_fails(
    simulate, tmp_path, monkeypatch, fails_at
):
    scene = simulate(40, 50)
    scene.publish(tmp_path, "mask", "report")
    before = _contents(tmp_path)
    path = type(tmp_path)
    replace, renames = path.replace, []

    def failing(self, target):
        renames.append(target)
        if len(renames) == fails_at:
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(path, "replace", failing)
    with pytest.raises(KeyboardInterrupt):
        scene.with_mask(np.ones_like(scene.mask)).publish(tmp_path, "mask", "report")

    assert _contents(tmp_path) == before


def test_names_of_the_reference_carry_tile_percentage_and_engine(simulate):
    names = ProductNames(simulate(8, 8).metadata, _MODEL, "axelera", "reference")

    assert names.prefix(0.372) == "dtacsnet_T29UNU_37pct_axelera"


def test_names_of_the_reference_are_not_overwritten_either(simulate, tmp_path):
    scene = simulate(40, 50)
    scene.publish(tmp_path, "mask", names="reference")
    before = _contents(tmp_path)
    other = scene.with_metadata(name=_DATES[1])

    with pytest.raises(OutputNotWritable, match="already holds products of these names"):
        other.publish(tmp_path, "mask", names="reference", overwrite=False)

    assert _contents(tmp_path) == before


def test_a_file_that_appears_during_processing_is_not_overwritten(simulate, tmp_path):
    scene = simulate(40, 50)
    (tmp_path / "out").mkdir()
    elsewhere = scene.publish(tmp_path / "elsewhere", "mask")
    name = elsewhere.files[0].name
    with scene.product_set(tmp_path / "out", "mask", overwrite=False) as products:
        products.write(scene.rows()[0])
        (tmp_path / "out" / name).write_bytes(b"of another process")
        with pytest.raises(OutputNotWritable, match="already holds"):
            products.publish(scene.summary())

    assert _contents(tmp_path / "out") == {name: b"of another process"}


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("dtacsnet-cd-0.2.0+e5b09369", "dtacsnet"),
        ("cloud-net-1.0+00000000", "cloud-net"),
        ("dtacs4bands+37205adc", "dtacsnet"),
        ("weights+00000000", "weights"),
        ("netz größer-1.0+00000000", "netz_gr__er"),
    ],
)
@pytest.mark.parametrize("style", ["scene", "reference"])
def test_names_begin_with_the_model_that_made_the_mask(simulate, model, name, style):
    names = ProductNames(simulate(8, 8).metadata, model, "axelera", style)

    assert names.prefix(0.5).startswith(f"{name}_T29UNU_")


def test_a_scene_without_a_time_in_its_name_gets_one(simulate):
    metadata = (
        simulate(8, 8)
        .with_metadata(
            name="patch",
            tile_id="patch",
            sensed_at=datetime(2026, 5, 4, 10, 3, 2, tzinfo=timezone.utc),
        )
        .metadata
    )

    names = ProductNames(metadata, _MODEL, "axelera", "scene")

    assert names.prefix(0.5) == "dtacsnet_patch_20260504T100302_50pct_axelera"


_TEXT = st.text(min_size=1, max_size=300)


@given(tile=_TEXT, name=_TEXT, model=_TEXT)
def test_whatever_scene_and_model_are_called_the_ground_takes_the_names(
    simulate, tile, name, model
):
    metadata = simulate(8, 8).with_metadata(name=name, tile_id=tile).metadata

    prefix = ProductNames(metadata, model, "axelera", "scene").prefix(1.0)

    assert re.fullmatch(r"[A-Za-z0-9._-]+", prefix)
    assert len(f"{prefix}_cloud_probability_of_something.tif") <= 200


def test_long_names_that_differ_in_the_end_stay_different(simulate):
    prefixes = {
        ProductNames(
            simulate(8, 8).with_metadata(name=f"{'x' * 200}{end}", tile_id="T29UNU").metadata,
            _MODEL,
            "axelera",
            "scene",
        ).prefix(0.5)
        for end in "ab"
    }
    assert len(prefixes) == 2
