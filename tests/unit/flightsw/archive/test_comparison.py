from __future__ import annotations

from pathlib import Path

import pytest

from flightsw.archive.agreement import Agreement
from flightsw.archive.comparison import (
    UNKNOWN,
    ComparedScene,
    compare_runs,
    read_surfaces,
    season_of,
)
from flightsw.errors import UsageError


def _scene(name: str, this: float, other: float, disagreeing: int = 0) -> ComparedScene:
    found = Agreement(this=this, other=other, pixels=1000, only_this=disagreeing)
    return ComparedScene(name, "T32TQM", "2022-07-01T10:00:00", f"scenes/00/{name}", found)


def test_agreement_is_weighted_by_pixels_and_differences_are_of_scenes() -> None:
    found = compare_runs([_scene("a", 0.5, 0.3, 100), _scene("b", 0.1, 0.1)], {})
    assert found.total.agreement == pytest.approx(0.95)
    assert found.total.mean_difference == pytest.approx(0.1)
    assert found.tiles["T32TQM"].scenes == found.seasons["summer"].scenes == 2
    assert found.by_surface[UNKNOWN].scenes == 2
    assert (found.this[10], found.other[6], found.this[2], found.other[2]) == (1, 1, 1, 1)


def test_few_of_the_scenes_are_held_and_those_differ_most() -> None:
    scenes = (_scene(f"{number:04d}", 0.5, 0.5, number) for number in range(500))
    most = compare_runs(scenes, {"T32TQM": "forest"}).most_differing()
    assert [scene.name for scene in most] == [f"{number:04d}" for number in range(499, 487, -1)]


def test_scenes_without_common_pixels_count_by_their_shares() -> None:
    found = Agreement(this=0.9, other=0.1)
    scene = ComparedScene("a", "", "", "scenes/00/a", found)
    compared = compare_runs([scene, _scene("b", 0.5, 0.5, 100)], {})
    assert [one.name for one in compared.most_differing()] == ["a", "b"]
    assert compared.tiles[UNKNOWN].agreement is None


@pytest.mark.parametrize(
    ("sensed_at", "tile", "season"),
    [
        ("2022-01-31T10:00:00", "T32TQM", "winter"),
        ("2022-12-01T10:00:00", "T32TQM", "winter"),
        ("2022-07-01T10:00:00", "T32TQM", "summer"),
        ("2022-07-01T10:00:00", "T21HUB", "winter"),
        ("2022-10-01T10:00:00", "T21MUB", "spring"),
        ("2022-10-01T10:00:00", "", "autumn"),
        ("", "T32TQM", UNKNOWN),
    ],
)
def test_a_season_is_that_of_the_hemisphere(sensed_at: str, tile: str, season: str) -> None:
    assert season_of(sensed_at, tile) == season


def test_surfaces_are_read_by_tile(tmp_path: Path) -> None:
    path = tmp_path / "surfaces.csv"
    path.write_text("# tiles\n32tqm,forest\nT29UNU, sea\n")
    assert read_surfaces(path) == {"T32TQM": "forest", "T29UNU": "sea"}
    path.write_text("T32TQM forest\n")
    with pytest.raises(UsageError, match="is not TILE,SURFACE"):
        read_surfaces(path)
