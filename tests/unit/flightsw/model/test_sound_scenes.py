from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.model.experience import write_experience
from deploy.model.packaging import checksum_lines
from flightsw.errors import PackageInvalid, PackageTampered
from flightsw.model.package import EXPERIENCE, load_package
from flightsw.model.sound_scenes import Examples, SoundScenes, read_examples, sizes_of

_BINS = sum(sizes_of(4))


def sound_scenes(bins: int = _BINS) -> SoundScenes:
    """Two directions."""
    return SoundScenes(
        strange=("ice", "ash"),
        directions=np.eye(2, bins),
        centres=np.array([0.1, 0.2]),
        limits=np.array([0.5, 0.25]),
        least_pixels=100,
    )


def examples(bins: int = _BINS) -> Examples:
    """Scenes that were never seen."""
    roots = np.sqrt(np.random.default_rng(1).dirichlet(np.ones(bins), 3)).astype(np.float32)
    return Examples(roots, ("here", "there", "there"), ("", "ice", "ash"))


def test_the_distance_is_that_of_the_direction_which_passes_its_limit_most() -> None:
    shares = np.zeros(_BINS)
    assert sound_scenes().distance(shares) == (0.0, "ice")
    shares[0] = 0.36
    assert sound_scenes().distance(shares) == (pytest.approx(1.0), "ice")
    shares[1] = 0.49
    assert sound_scenes().distance(shares) == (pytest.approx(2.0), "ash")


def test_a_package_holds_them_or_not_and_lists_them(package_folder: Path) -> None:
    assert load_package(package_folder).sound_scenes() is None
    without = load_package(package_folder).model_id
    write_experience(package_folder, sound_scenes(), examples())
    package = load_package(package_folder)
    assert package.model_id != without
    found = package.sound_scenes()
    assert found
    np.testing.assert_array_equal(found.directions, sound_scenes().directions)
    again = read_examples(package_folder / EXPERIENCE)
    np.testing.assert_allclose(again.roots, examples().roots, atol=1e-3)
    assert (again.regions, again.kinds) == (examples().regions, examples().kinds)
    content = bytearray((package_folder / EXPERIENCE).read_bytes())
    content[len(content) // 2] ^= 1
    (package_folder / EXPERIENCE).write_bytes(content)
    with pytest.raises(PackageTampered, match=EXPERIENCE):
        load_package(package_folder)


@pytest.mark.parametrize("stated", [True, False])
def test_a_file_of_version_1_has_no_joint_colours(package_folder: Path, stated: bool) -> None:
    """The files of releases before 0.3.2 state no version."""
    bins = sum(sizes_of(4, colours=False))
    old = replace(sound_scenes(bins), colours=False)
    write_experience(package_folder, old, examples(bins))
    if not stated:
        _rewrite(package_folder, without="version")
    found = load_package(package_folder).sound_scenes()
    assert found
    assert not found.colours
    np.testing.assert_array_equal(found.directions, old.directions)


def test_a_file_of_a_later_version_is_refused(package_folder: Path) -> None:
    write_experience(package_folder, sound_scenes(), examples())
    _rewrite(package_folder, version=np.array(3))
    with pytest.raises(PackageInvalid, match=EXPERIENCE) as refused:
        load_package(package_folder)
    assert refused.value.fields["key"] == "version"


def _rewrite(package: Path, without: str = "", **arrays: NDArray[np.int64]) -> None:
    with np.load(package / EXPERIENCE) as former:
        kept = {key: former[key] for key in former if key != without}
    np.savez(package / EXPERIENCE, allow_pickle=False, **(kept | arrays))
    (package / "SHA256SUMS").write_text(checksum_lines(package))


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"directions": np.zeros((2, _BINS + 1))}, "directions"),
        ({"directions": np.full((2, _BINS), np.nan)}, "directions"),
        ({"colours": False}, "directions"),
        ({"strange": ()}, "directions"),
        ({"centres": np.zeros(3)}, "centres"),
        ({"centres": np.array([0, np.inf])}, "centres"),
        ({"limits": np.array([0.5, 0.0])}, "limits"),
        ({"least_pixels": 0}, "least_pixels"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_what_is_wrong(
    package_folder: Path, changes: dict[str, Any], key: str
) -> None:
    write_experience(package_folder, replace(sound_scenes(), **changes), examples())
    with pytest.raises(PackageInvalid, match=EXPERIENCE) as refused:
        load_package(package_folder)
    assert refused.value.fields["key"] == key


def test_a_file_of_another_kind_is_refused(package_folder: Path) -> None:
    shutil.copyfile(package_folder / "golden.npz", package_folder / EXPERIENCE)
    (package_folder / "SHA256SUMS").write_text(checksum_lines(package_folder))
    with pytest.raises(PackageInvalid, match="cannot be read"):
        load_package(package_folder)
