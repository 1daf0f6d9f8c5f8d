from __future__ import annotations

from pathlib import Path

import pystac
import pytest

from flightsw.archive.plan import RecordedScene, empty_plan, open_plan
from flightsw.errors import SceneNotFound, UsageError


def _listed(scenes: Path) -> list[str]:
    with open_plan(scenes) as plan:
        return list(plan.locations())


def _touch(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return str(path.resolve())


def test_a_folder_gives_products_and_rasters_at_any_depth(tmp_path: Path) -> None:
    product = tmp_path / "2022" / "a.SAFE"
    inside = _touch(product / "GRANULE" / "x" / "B02.tif")
    granule = tmp_path / "bare"
    _touch(granule / "GRANULE" / "MTD_TL.xml")
    zipped, raster = _touch(tmp_path / "2023" / "b.SAFE.zip"), _touch(tmp_path / "c.tif")
    _touch(tmp_path / "notes.md")
    found = _listed(tmp_path)
    assert sorted(found) == sorted([str(product), str(granule), zipped, raster])
    assert inside not in found


def test_a_pattern_gives_what_it_matches(tmp_path: Path) -> None:
    one, _ = _touch(tmp_path / "a.tif"), _touch(tmp_path / "a.jpg")
    assert _listed(tmp_path / "*.tif") == [one]


def test_a_text_file_gives_paths_relative_to_its_folder_and_addresses(tmp_path: Path) -> None:
    scenes = tmp_path / "scenes.txt"
    scenes.write_text("# two\n\nsub/a.SAFE\nhttps://x.org/item.json?sig=s\n")
    assert _listed(scenes) == [str(tmp_path / "sub" / "a.SAFE"), "https://x.org/item.json?sig=s"]


def test_a_stac_catalogue_gives_its_items(tmp_path: Path) -> None:
    catalogue = pystac.Catalog("archive", "scenes")
    when = {"start_datetime": "2022-01-01T00:00:00Z", "end_datetime": "2022-01-02T00:00:00Z"}
    for name in ("a", "b"):
        catalogue.add_item(pystac.Item(name, None, None, None, when))
    catalogue.normalize_and_save(str(tmp_path), pystac.CatalogType.SELF_CONTAINED)
    found = _listed(tmp_path / "catalog.json")
    assert [Path(path).name for path in found] == ["a.json", "b.json"]
    assert _listed(Path(found[0])) == [found[0]]


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "lists no scenes"),
        ("a.SAFE\n./a.SAFE\n", "a.SAFE is listed more than once"),
        ("\xff", "cannot be read as a list of scenes"),
    ],
)
def test_a_wrong_list_is_refused(tmp_path: Path, text: str, cause: str) -> None:
    scenes = tmp_path / "scenes.txt"
    scenes.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=cause):
        _listed(scenes)


def test_scenes_that_do_not_exist_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(SceneNotFound, match="does not exist"):
        _listed(tmp_path / "absent")


@pytest.mark.parametrize("text", ["{", "[]", '{"type": "FeatureCollection"}'])
def test_another_document_is_not_a_catalogue(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="STAC catalogue"):
        _listed(path)


def test_a_plan_gives_each_record_once_and_names_scenes_that_are_the_same() -> None:
    with empty_plan() as plan:
        plan.add(["/a", "/b", "/c"])
        same = RecordedScene("scenes/00/x", "T32TQM", "2022-05-04", "x")
        for location in ("/a", "/c"):
            plan.record(location, same)
        plan.lose("/b", b"{}")
        assert list(plan.recorded_scenes()) == [same]
        assert plan.same_scenes() == [("/a", "/c")]
        assert list(plan.lost()) == [b"{}"]
        assert len(plan) == 3
