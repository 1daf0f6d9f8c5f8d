"""flightsw as a library: arrays against products on disk, and the page that explains it."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import glymur
import numpy as np
import pytest

import flightsw
from tests.conftest import Simulated

_ROOT = Path(__file__).resolve().parents[2]
_DOCS = _ROOT / "docs"
_BANDS = ("B08", "B02", "B11", "B04", "B03")  # not the model's order, and one more
_OFFSET = -1000

Mask = np.ndarray[Any, np.dtype[np.uint8]]


@pytest.fixture(scope="module")
def numbers(simulated: Simulated) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """The digital numbers of the simulated product, as glymur reads them."""
    planes = []
    for band in _BANDS:
        if band == "B11":
            planes.append(np.ones_like(planes[0]))
            continue
        (path,) = simulated.scene.glob(f"GRANULE/*/IMG_DATA/R10m/*_{band}_10m.jp2")
        planes.append(glymur.Jp2k(str(path))[:])
    return np.stack(planes)


@pytest.fixture(scope="module")
def settings(small_package: Path) -> flightsw.Settings:
    return flightsw.Settings(model=small_package)


@pytest.fixture(scope="module")
def processed(
    simulated: Simulated, settings: flightsw.Settings, tmp_path_factory: pytest.TempPathFactory
) -> Mask:
    """The mask of the product on disk, read back from its products."""
    out = tmp_path_factory.mktemp("library") / "products"
    done = flightsw.process(str(simulated.scene), str(out), settings=settings)
    (path,) = done.products.paths("mask")
    mask: Mask = np.load(path)
    assert {0, 1, 255} == {*np.unique(mask)}
    return mask


def test_the_mask_of_a_path_is_that_of_the_products(
    simulated: Simulated, settings: flightsw.Settings, processed: Mask
) -> None:
    assert flightsw.mask(simulated.scene, settings=settings).tobytes() == processed.tobytes()


def test_an_area_has_the_mask_of_the_whole_scene(
    simulated: Simulated, settings: flightsw.Settings, processed: Mask, tmp_path: Path
) -> None:
    bounds = (11.44, 42.39, 11.46, 42.41)
    made = flightsw.process(simulated.scene, tmp_path / "out", settings=settings, bounds=bounds)
    cut = made.scene.cut
    assert cut
    expected = processed[cut.top :, cut.left :][: made.scene.height, : made.scene.width]
    mask = flightsw.mask(simulated.scene, settings=settings, bounds=bounds)
    assert mask.tobytes() == expected.tobytes()
    (west, south, east, north) = bounds
    ring = [(west, south), (east, south), (east, north), (west, north), (west, south)]
    geojson = {"type": "Polygon", "coordinates": [ring]}
    inside = flightsw.mask(simulated.scene, settings=settings, area=geojson)
    assert inside.shape == mask.shape
    assert (inside[inside != 255] == mask[inside != 255]).all()
    assert 0.9 < (inside != 255).mean() < 1
    with pytest.raises(flightsw.UsageError, match="area and bounds exclude each other"):
        flightsw.mask(simulated.scene, area=geojson, bounds=bounds)


def test_an_array_without_a_place_has_no_area(
    numbers: np.ndarray[Any, np.dtype[np.uint16]],
) -> None:
    with pytest.raises(flightsw.SceneError, match="has no georeference"):
        flightsw.mask(numbers, _BANDS, offset=_OFFSET, bounds=(11.44, 42.39, 11.46, 42.41))


def test_a_dataset_holds_mask_probability_and_their_place(
    simulated: Simulated, settings: flightsw.Settings, processed: Mask
) -> None:
    data = flightsw.dataset(simulated.scene, settings=settings)
    assert data.mask.values.tobytes() == processed.tobytes()
    probability = flightsw.probability(simulated.scene, settings=settings)
    assert data.probability.values.tobytes() == probability.tobytes()
    assert {*np.unique(data.probability.values[processed != 255])} <= {*range(101)}
    assert (data.probability.values[processed == 255] == 255).all()
    georeference = flightsw.open_scene(simulated.scene, ("B02",)).metadata.georeference
    assert georeference is not None
    a, b, c, d, e, f = georeference.transform
    assert data.spatial_ref.attrs["GeoTransform"] == f"{c} {a} {b} {f} {d} {e}"


def test_an_argument_that_does_not_exist_is_refused(simulated: Simulated) -> None:
    with pytest.raises(TypeError, match="ofset"):
        flightsw.mask(simulated.scene, ofset=-1000)  # type: ignore[call-arg]


def test_the_mask_of_digital_numbers_is_that_of_the_product(
    numbers: np.ndarray[Any, np.dtype[np.uint16]], settings: flightsw.Settings, processed: Mask
) -> None:
    mask = flightsw.mask(numbers, _BANDS, offset=_OFFSET, settings=settings)
    assert mask.dtype == np.uint8
    assert mask.shape == processed.shape
    assert mask.tobytes() == processed.tobytes()


def test_the_mask_of_reflectance_is_that_of_the_product(
    numbers: np.ndarray[Any, np.dtype[np.uint16]], settings: flightsw.Settings, processed: Mask
) -> None:
    reflectance = ((numbers.astype(np.float64) + _OFFSET) / 10_000).astype(np.float32)
    reflectance[numbers == 0] = np.nan
    mask = flightsw.mask(reflectance, _BANDS, settings=settings)
    assert mask.tobytes() == processed.tobytes()


def test_an_array_is_processed_to_the_same_products(
    numbers: np.ndarray[Any, np.dtype[np.uint16]],
    settings: flightsw.Settings,
    processed: Mask,
    tmp_path: Path,
) -> None:
    scene = flightsw.ArrayScene.from_digital_numbers(numbers, _BANDS, offset=_OFFSET, name="patch")
    products = {"mask", "quicklook", "fill"}
    done = flightsw.process(scene, tmp_path / "out", products=products, settings=settings)
    assert done.scene.bands == flightsw.load_package().bands
    assert {file.product for file in done.products.files} == {"mask", "quicklook", "fill"}
    (path,) = done.products.paths("mask")
    assert np.load(path).tobytes() == processed.tobytes()
    assert path.name.startswith("one-layer_patch_")


def test_the_engine_and_the_fusion_that_are_asked_for_serve(
    numbers: np.ndarray[Any, np.dtype[np.uint16]], light_package: Path, tmp_path: Path
) -> None:
    settings = flightsw.Settings(model=light_package)
    corner = numbers[:, :400, :400]
    scene = flightsw.ArrayScene.from_digital_numbers(corner, _BANDS, offset=_OFFSET)
    ask = partial(flightsw.mask, scene, engine="torch-cpu", settings=settings)
    done = flightsw.process(
        scene, tmp_path / "out", engine="torch-cpu", fusion="blend", settings=settings
    )
    assert done.engine.name == "torch-cpu"
    assert done.summary.fusion == "blend"
    (path,) = done.products.paths("mask")
    blended = ask(fusion="blend")
    assert blended.tobytes() == np.load(path).tobytes()
    assert blended.tobytes() != ask().tobytes()


def test_integers_without_their_offset_are_refused(
    numbers: np.ndarray[Any, np.dtype[np.uint16]],
) -> None:
    with pytest.raises(flightsw.UsageError, match="needs the offset of its product") as refused:
        flightsw.mask(numbers, _BANDS)
    assert "offset=-1000" in refused.value.cure


def test_a_scale_is_for_a_path(numbers: np.ndarray[Any, np.dtype[np.uint16]]) -> None:
    with pytest.raises(flightsw.UsageError, match="which are for paths"):
        flightsw.mask(numbers, _BANDS, scale=1e-4, offset=0)


def test_a_block_without_a_band_of_the_model_is_refused_with_its_name(tmp_path: Path) -> None:
    block = np.full((3, 30, 30), 0.1)
    with pytest.raises(flightsw.SceneError, match="not B08"):
        flightsw.mask(block, ["B02", "B03", "B04"])
    scene = flightsw.ArrayScene.from_reflectance(block, ["B02", "B03", "B04"])
    with pytest.raises(flightsw.SceneError, match="not B08"):
        flightsw.process(scene, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_block_without_data_is_an_empty_scene() -> None:
    with pytest.raises(flightsw.SceneError, match="no data") as empty:
        flightsw.mask(np.zeros((4, 30, 30), np.uint16), ["B02", "B03", "B04", "B08"], offset=0)
    assert empty.value.code == "EMPTY_SCENE"


def _run(program: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *program],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def beside_data(simulated: Simulated, tmp_path: Path) -> Path:
    """A folder with the simulated product in its folder ``data``."""
    (tmp_path / "data").symlink_to(simulated.scene.parent)
    return tmp_path


_PACKAGE = """
from pathlib import Path
from flightsw.model import package as _package
_package.shipped_package = lambda: Path({folder!r})
"""


def test_every_code_block_of_the_page_runs(beside_data: Path, light_package: Path) -> None:
    page = (_DOCS / "library.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 8
    program = "\n".join([_PACKAGE.format(folder=str(light_package)), *blocks])
    done = _run(["-c", program], beside_data)
    assert done.returncode == 0, done.stderr
    assert "% contaminated" in done.stdout


def test_the_page_names_everything_that_is_exported() -> None:
    page = (_DOCS / "library.md").read_text("utf-8")
    assert [name for name in flightsw.__all__ if f"`{name}`" not in page] == []


def test_the_example_program_masks_a_scene(beside_data: Path, simulated: Simulated) -> None:
    example = str(_DOCS / "examples" / "mask_a_scene.py")
    done = _run([example, str(simulated.scene), "out"], beside_data)
    assert done.returncode == 0, done.stderr
    assert "% contaminated" in done.stdout
    assert len(list((beside_data / "out").iterdir())) == 3
    failed = _run([example, "absent.SAFE", "out"], beside_data)
    assert failed.returncode == 3
    assert failed.stderr.startswith("SCENE_NOT_FOUND: ")
