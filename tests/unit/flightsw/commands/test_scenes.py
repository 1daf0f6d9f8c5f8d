"""Which scenes a call names, where their products go, and its exit status."""

from __future__ import annotations

from pathlib import Path

import pytest

from flightsw.commands.scenes import Outcome, exit_status, find_scenes, folders_of, summary_table
from flightsw.errors import OutputNotWritable, SceneNotFound, UsageError

FAILED = Outcome(Path("a/x.SAFE"), SceneNotFound("x.SAFE", "does not exist"))


def test_a_pattern_stands_for_what_it_matches_in_order_of_name(tmp_path: Path) -> None:
    for name in ("b.SAFE", "a.SAFE", "c.tif"):
        (tmp_path / name).touch()
    found = find_scenes([tmp_path / "c.tif", tmp_path / "*.SAFE"])
    assert [path.name for path in found] == ["c.tif", "a.SAFE", "b.SAFE"]


def test_a_name_that_holds_a_patterns_characters_is_itself(tmp_path: Path) -> None:
    (tmp_path / "[a].tif").touch()
    assert find_scenes([tmp_path / "[a].tif"]) == [tmp_path / "[a].tif"]


def test_a_pattern_without_match_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="matches no file or folder"):
        find_scenes([tmp_path / "*.SAFE"])


def test_a_scene_that_is_named_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="named more than once"):
        find_scenes([tmp_path / "a.tif", tmp_path / "a.tif"])


def test_one_scene_has_the_folder_and_several_have_one_each(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert folders_of([Path("a.SAFE")], out) == [out]
    assert folders_of([Path("a.SAFE"), Path("b.SAFE")], out) == [out / "a", out / "b"]
    assert out.is_dir()


def test_scenes_of_the_same_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="same name"):
        folders_of([Path("x/a.SAFE"), Path("y/a.SAFE")], tmp_path)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputNotWritable, match="cannot be made"):
        folders_of([Path("a.SAFE"), Path("b.SAFE")], tmp_path / "absent" / "out")


@pytest.mark.parametrize(("failures", "status"), [(0, 0), (1, 11), (30, 40), (500, 109)])
def test_the_exit_status_counts_the_scenes_that_failed(failures: int, status: int) -> None:
    assert exit_status([FAILED] * failures) == status


def test_the_table_names_the_code_of_a_failure() -> None:
    last = summary_table([FAILED]).splitlines()
    assert last[1].split() == ["x", "-", "-", "-", "failed:", "SCENE_NOT_FOUND"]
    assert last[-1] == "0 processed, 1 failed"


def test_an_address_is_a_scene_and_not_a_pattern(tmp_path: Path) -> None:
    addresses = ["https://x.org/items/S2A_31UFU?a=[1]", "https://x.org/items/S2B_31UFU.json"]
    assert find_scenes([*addresses]) == addresses
    assert folders_of([*addresses], tmp_path / "out") == [
        tmp_path / "out" / "S2A_31UFU",
        tmp_path / "out" / "S2B_31UFU",
    ]
    with pytest.raises(UsageError, match="more than once") as caught:
        find_scenes(addresses[:1] * 2)
    assert caught.value.subject == "https://x.org/items/S2A_31UFU"
