"""The release of six bands, beside the one that ships: intact, described, and it finds cloud."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import flightsw
from flightsw.chain import ProcessedScene
from flightsw.config import DimcSettings, Settings
from flightsw.model.package import ModelPackage
from telecommands.groundsim.scenes.scene import SceneRequest, SimulatedScene, simulate_scene

_MODELS = Path(__file__).resolve().parents[2] / "models"
_CLOUD = 1, 2  # thick and thin in the truth
_NO_DATA = 255


@pytest.fixture(scope="module")
def package() -> ModelPackage:
    (folder,) = _MODELS.iterdir()
    return flightsw.load_package(folder)


def test_the_package_says_what_it_sees_and_was_trained_on(package: ModelPackage) -> None:
    assert package.bands == ("B02", "B03", "B04", "B08", "B11", "B12")
    assert package.levels == ("L1C",)
    notice = (package.folder / "NOTICE").read_text()
    assert "Apache-2.0" in notice
    assert all(data.source in notice for data in package.training_data)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimulatedScene:
    folder = tmp_path_factory.mktemp("scene")
    return simulate_scene(SceneRequest(folder, size=448, seed=5, level="L1C", bands="all"))


def _processed(
    package: ModelPackage, scene: Path, out: Path, offset: int | None = None
) -> ProcessedScene:
    settings = Settings(model=package.folder, dimc=DimcSettings(card="simulator"))
    return flightsw.process(scene, out, products=("mask",), settings=settings, offset=offset)


def test_it_finds_the_cloud_of_a_scene_and_keeps_most_of_the_rest(
    package: ModelPackage, made: SimulatedScene, tmp_path: Path
) -> None:
    done = _processed(package, made.scene, tmp_path)
    mask, truth = np.load(done.products.paths("mask")[0]), np.load(made.truth)
    cloud, clear = np.isin(truth, _CLOUD) & (mask != _NO_DATA), (truth == 0) & (mask != _NO_DATA)
    assert (mask[cloud] == 1).mean() > 0.9
    assert (mask[clear] == 0).mean() > 0.7
    known = done.summary.experience
    assert known is not None
    assert known.distance < 1


def test_it_reports_a_scene_whose_offset_is_applied_twice(
    package: ModelPackage, made: SimulatedScene, tmp_path: Path
) -> None:
    found = _processed(package, made.scene, tmp_path, offset=-2000).summary.experience
    assert found is not None
    assert found.distance > 1
    assert found.towards == "offset applied twice"
