from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flightsw.host.confinement import confined
from telecommands.dictionary import Code
from telecommands.refusal import Refusal


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a file, links inside, links out of it, and a neighbour with a similar name."""
    root = tmp_path / "scenes"
    (root / "a").mkdir(parents=True)
    (root / "a" / "scene").write_text("inside")
    (root / "inward").symlink_to("a")
    (root / "outward").symlink_to("..")
    (root / "dangling").symlink_to("/nowhere/at/all")
    (root / "self").symlink_to(".")
    (root / "loop").symlink_to("loop")
    (tmp_path / "scenes-of-others").mkdir()
    (root / "sibling").symlink_to("../scenes-of-others")
    return root


def test_a_path_below_the_root_is_found(root: Path) -> None:
    assert confined(root, "a/scene").read_text() == "inside"
    assert confined(root, "./a//scene") == root / "a" / "scene"


def test_a_link_that_stays_inside_is_followed(root: Path) -> None:
    assert confined(root, "inward/scene") == root / "a" / "scene"


def test_what_does_not_exist_yet_has_a_place(root: Path) -> None:
    assert confined(root, "b/later") == root / "b" / "later"


@pytest.mark.parametrize("relative", ["a" * 256, f"a/{'ä' * 128}", f"{'b' * 300}/scene"])
def test_a_name_longer_than_a_file_name_can_be_is_a_bad_argument(root: Path, relative: str) -> None:
    with pytest.raises(Refusal, match="bytes, more than 255") as refused:
        confined(root, relative)
    assert refused.value.code is Code.BAD_ARGUMENTS


def test_a_name_of_255_bytes_has_a_place(root: Path) -> None:
    assert not confined(root, "a" * 255).exists()


def test_a_root_that_is_a_link_itself_confines_to_where_it_leads(
    root: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(root)
    assert confined(tmp_path / "link", "a/scene") == root / "a" / "scene"


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "//etc/passwd",
        "..",
        "../scenes-of-others",
        "a/../../scenes-of-others",
        "a/..",
        "a/../a/scene",
        "outward",
        "outward/scenes-of-others",
        "inward/../outward/x",
        "dangling",
        "dangling/x",
        "sibling",
        "sibling/x",
        "self",
        "",
        ".",
        "./.",
        "a\0b",
        "a/scene\0",
        "\ud800",
    ],
)
def test_a_path_that_leads_out_or_nowhere_is_refused(root: Path, path: str) -> None:
    with pytest.raises(Refusal) as refused:
        confined(root, path)
    assert refused.value.code is Code.OUTSIDE_SCENE_ROOT
    assert refused.value.cure


def test_a_link_to_itself_leads_nowhere_else(root: Path) -> None:
    place = confined(root, "loop/scene")
    assert root in place.parents
    with pytest.raises(OSError, match="symbolic links"):
        place.read_text()


_PARTS = st.one_of(
    st.sampled_from(
        ["a", "scene", "inward", "outward", "dangling", "sibling", "self", "loop", "..", ".", ""]
    ),
    st.text(max_size=6),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # the root is only read
@given(parts=st.lists(_PARTS, max_size=6), lead=st.sampled_from(["", "/", "./", "../"]))
def test_whatever_is_asked_for_lies_below_the_root_or_is_refused(
    root: Path, parts: list[str], lead: str
) -> None:
    try:
        place = confined(root, lead + "/".join(parts))
    except Refusal:
        return
    resolved = root.resolve()
    assert resolved in place.parents
    assert ".." not in place.parts
