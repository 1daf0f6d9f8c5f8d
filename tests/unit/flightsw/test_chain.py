from __future__ import annotations

import dataclasses
import gc
import shutil
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

from deploy.faults.small_package import write_small_package
from flightsw import sentinel_2
from flightsw.chain import (
    SceneProcessor,
    SceneRequest,
    model_mismatches,
    open_chain,
    panels_help,
    tune_interpreter,
)
from flightsw.config import DimcSettings, Settings, TwinSettings
from flightsw.errors import CorruptImage, MemoryExhausted, MissingBand, UsageError
from flightsw.model.package import load_package
from flightsw.pipeline.governor import Governor
from flightsw.pipeline.triage import FirstLook
from flightsw.products.kinds import DEFAULT_PRODUCTS
from flightsw.scene.ahead import SceneRecipe
from flightsw.scene.area import area_within
from flightsw.scene.bit_planes import largest_error, passes_to_drop
from flightsw.scene.scene import Cut, Scene
from telecommands.dictionary import Decode
from tests.unit.flightsw.overcast_scene import write_overcast
from tests.unit.flightsw.scene.safe_writer import ALL_AT, SafeProduct, as_measured, band_file
from tests.unit.flightsw.small_parts import scene_metadata


@pytest.mark.parametrize(
    ("level", "distance", "remarks"),
    [
        ("L2A", 10, []),
        ("L1C", 20, []),
        ("", 10, []),
        ("L2A", 40, ["10 and 20 m, this scene is at 40 m"]),
        ("L2B", 60, ["L1C and L2A, this scene is L2B", "10 and 20 m, this scene is at 60 m"]),
    ],
)
def test_a_scene_that_the_model_was_not_made_for_is_remarked_on(
    level: str, distance: int, remarks: list[str]
) -> None:
    package = replace(load_package(), levels=("L1C", "L2A"), ground_sample_distances=(10, 20))
    scene = scene_metadata(900, 900, level=level, ground_sample_distance=distance)
    assert model_mismatches(package, scene) == tuple(
        f"the model was made for {one}" for one in remarks
    )


@pytest.mark.parametrize(
    ("platform", "remarked"), [("", False), ("Sentinel-2A", False), ("landsat-8", True)]
)
def test_another_sensor_than_the_models_is_remarked_on(platform: str, remarked: bool) -> None:
    remarks = model_mismatches(load_package(), scene_metadata(900, 900, platform=platform))
    expected = (
        "the model was made for Sentinel-2, this scene is from landsat-8: "
        "it is outside the model's training"
    )
    assert remarks == ((expected,) if remarked else ())


@pytest.mark.parametrize(
    ("height", "width", "remarked"),
    [(128, 128, False), (127, 900, True), (900, 32, True), (10_980, 10_980, False)],
)
def test_a_scene_too_small_for_a_trustworthy_mask_is_remarked_on(
    height: int, width: int, remarked: bool
) -> None:
    remarks = model_mismatches(load_package(), scene_metadata(height, width))
    expected = (
        f"the network sees {height} x {width} pixels of ground: "
        "with less than 128 on a side its mask is not trustworthy"
    )
    assert remarks == ((expected,) if remarked else ())


def test_a_small_area_of_a_large_scene_has_the_ground_around_it() -> None:
    area = area_within((0.0, 0.0, 1.0, 1.0))
    cut = Cut(area, top=400, left=400, rows=range(300, 600), columns=range(300, 600))
    assert model_mismatches(load_package(), scene_metadata(32, 32, cut=cut)) == ()


@pytest.mark.parametrize(
    ("products", "classes", "helps"),
    [
        (DEFAULT_PRODUCTS, ("clear", "contaminated"), True),
        (DEFAULT_PRODUCTS | {"fill"}, ("clear", "contaminated"), False),
        (DEFAULT_PRODUCTS, ("clear", "thick cloud", "thin cloud", "cloud shadow"), False),
    ],
)
def test_a_scene_comes_in_panels_where_that_saves_memory(
    products: frozenset[str], classes: tuple[str, ...], helps: bool
) -> None:
    assert panels_help(products, classes) == helps


@pytest.fixture(scope="module")
def chain(small_package: Path) -> Iterator[SceneProcessor]:
    with open_chain(Settings(model=small_package)) as opened:
        yield opened


@pytest.mark.parametrize("stage", ["producer", "consumer", "decode"])
def test_a_thread_for_which_there_is_no_room_fails_the_scene_as_exhausted_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chain: SceneProcessor, stage: str
) -> None:
    request = SceneRequest(SafeProduct().write(tmp_path), tmp_path / "out")
    start = threading.Thread.start

    def unless_it_is(thread: threading.Thread) -> None:
        if stage in thread.name:
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", unless_it_is)
        with pytest.raises(MemoryExhausted, match=request.scene.name):
            chain.process(request)
    assert not request.out.exists()
    assert chain.process(request).products.files


def test_a_card_above_its_limit_rests_between_batches_and_the_report_says_for_how_long(
    tmp_path: Path, small_package: Path
) -> None:
    twin = TwinSettings(latency_ms=2.0, compute=False)  # it is at 39 °C
    governor = Governor(None)
    governor.thermal_limits = 30.0, 39.0
    scene = SafeProduct(height=500, width=500).write(tmp_path)
    settings = Settings(model=small_package, dimc=DimcSettings(card="simulator", twin=twin))
    with open_chain(settings, governor=governor) as chain:
        done = chain.process(SceneRequest(scene, tmp_path / "out", frozenset({"report"})))
    assert done.summary.paused_seconds > 0
    assert done.products.report.summary.paused_seconds == governor.pauses.seconds["temperature"]


def test_a_fast_decode_is_recorded_and_a_product_of_the_bands_makes_it_exact(
    tmp_path: Path, chain: SceneProcessor
) -> None:
    scene = SafeProduct().write(tmp_path)
    request = SceneRequest(scene, tmp_path / "fast", frozenset({"report", "stac"}), decode="fast")
    done = chain.process(request)
    assert done.scene.decode == "fast"
    step = load_package().input.scale * done.scene.quantification
    assert done.scene.largest_error == largest_error(passes_to_drop(step, 3))
    assert done.products.report.scene.decode == "fast"
    assert done.products.report.scene.largest_error == done.scene.largest_error
    (item,) = (tmp_path / "fast").glob("*stac.json")
    properties = msgspec.json.decode(item.read_bytes())["properties"]
    assert properties["flightsw:decode"] == "fast"
    exact = chain.process(
        dataclasses.replace(request, out=tmp_path / "fill", products=frozenset({"report", "fill"}))
    )
    assert exact.scene.decode == "exact"
    assert exact.scene.largest_error == 0
    assert exact.scene.remarks[-1].endswith("because products hold them (fill)")


def test_a_product_without_checksums_is_decoded_exactly(
    tmp_path: Path, chain: SceneProcessor
) -> None:
    scene = SafeProduct(checksum=None).write(tmp_path)
    done = chain.process(
        SceneRequest(scene, tmp_path / "out", frozenset({"report"}), decode="fast")
    )
    assert done.scene.decode == "exact"
    assert any("no checksum shows" in remark for remark in done.scene.remarks)


@pytest.fixture(scope="module")
def overcast(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_overcast(tmp_path_factory.mktemp("overcast"))


def _triaged(scene: Path, out: Path, above: float) -> SceneRequest:
    products = frozenset({"geotiff"})
    return SceneRequest(scene, out, products, ground_sample_distance=20, stop_above=above)


def test_a_scene_that_is_surely_too_cloudy_ends_after_a_first_look(
    tmp_path: Path, chain: SceneProcessor, overcast: Path
) -> None:
    looks: list[FirstLook] = []
    done = chain.process(_triaged(overcast, tmp_path / "out", 0.9), looked=looks.append)
    assert looks == [done.stopped_at]
    assert 0.9 < looks[0].least <= looks[0].estimate == done.summary.contaminated_share
    assert [file.product for file in done.products.files] == ["quicklook"]
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_a_scene_that_may_be_clearer_is_processed_after_its_first_look(
    tmp_path: Path, chain: SceneProcessor, overcast: Path
) -> None:
    looks: list[FirstLook] = []
    sinks: list[int] = []
    done = chain.process(
        _triaged(overcast, tmp_path / "out", 0.99),
        looked=looks.append,
        begun=lambda grid, _: sinks.append(grid.rows) or (),
    )
    assert looks[0].least <= done.summary.contaminated_share
    assert done.stopped_at is None
    assert sinks == [1, 5]
    assert [file.product for file in done.products.files] == ["geotiff"]


def test_a_scene_without_a_first_look_is_processed_and_a_remark_says_why(
    tmp_path: Path, chain: SceneProcessor
) -> None:
    scene = SafeProduct(checksum=None).write(tmp_path)
    request = dataclasses.replace(_triaged(scene, tmp_path / "out", 0.0), threshold_percent=80)
    done = chain.process(request)
    assert done.stopped_at is None
    assert any("not been validated for thresholds above 50" in one for one in done.scene.remarks)


@pytest.mark.parametrize("above", [-0.1, 80, float("nan")])
def test_what_is_not_a_share_is_refused_before_the_scene_is_opened(
    tmp_path: Path, chain: SceneProcessor, above: float
) -> None:
    with pytest.raises(UsageError, match="must be a share from 0 to 1"):
        chain.process(_triaged(tmp_path / "nothing", tmp_path / "out", above))


def test_a_damaged_scene_fails_although_it_looks_too_cloudy(
    tmp_path: Path, chain: SceneProcessor, overcast: Path
) -> None:
    scene = tmp_path / overcast.name
    shutil.copytree(overcast, scene)
    path = band_file(scene, "B02", 20)
    content = bytearray(path.read_bytes())
    content[-40] ^= 1  # of the finest sub-bands, which a first look does not decode
    path.write_bytes(content)
    with pytest.raises(CorruptImage, match="B02"):
        chain.process(_triaged(scene, tmp_path / "out", 0.9))
    assert not (tmp_path / "out").exists()


def test_the_first_look_at_the_next_scene_is_begun_beside_the_present_one(
    tmp_path: Path, chain: SceneProcessor, overcast: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distances: list[int] = []
    opened = SceneRecipe.open

    def noted(recipe: SceneRecipe) -> Scene:
        distances.append(recipe.ground_sample_distance)
        return opened(recipe)

    monkeypatch.setattr(SceneRecipe, "open", noted)
    present = SceneRequest(SafeProduct().write(tmp_path), tmp_path / "one")
    following = _triaged(overcast, tmp_path / "two", 0.9)
    chain.process(present, upcoming=lambda: following)
    chain.process(following)
    assert distances == [10, 80]


def bright_as_measured(band: str) -> NDArray[np.uint16]:
    return (2.6 * as_measured(band)).astype(np.uint16)


@pytest.fixture(scope="module")
def thirteen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of one layer: a pixel is contaminated if its bands' mean is above 0.25."""
    bands = tuple(reversed(sentinel_2.BANDS))
    return write_small_package(tmp_path_factory.mktemp("models") / "thirteen", bands=bands)


@pytest.mark.parametrize("decode", ["exact", "fast"])
def test_a_package_of_thirteen_bands_masks_a_level_1c_product(
    tmp_path: Path, thirteen: Path, decode: Decode
) -> None:
    product = SafeProduct(ALL_AT, level="L1C").write(tmp_path, pixels=bright_as_measured)
    wanted = frozenset({"mask", "quicklook", "stac"})
    request = SceneRequest(product, tmp_path / "out", wanted, decode=decode)
    with open_chain(Settings(model=thirteen)) as opened:
        processed = opened.process(request)
    assert processed.engine.bands == tuple(reversed(sentinel_2.BANDS))
    (mask,) = (path for path in (tmp_path / "out").iterdir() if path.suffix == ".npy")
    mean = np.zeros((157, 203))
    for band, distance in sentinel_2.NATIVE_DISTANCES.items():
        times = distance // 10
        pixels = bright_as_measured(band).repeat(times, 0).repeat(times, 1)[:157, :203]
        mean += (pixels - 1000.0) / 10_000 / len(sentinel_2.BANDS)
    decided = np.abs(mean - 0.25) > 0.005
    assert 0.2 < (mean > 0.25).mean() < 0.8
    np.testing.assert_array_equal(np.load(mask)[decided] == 1, mean[decided] > 0.25)


def test_a_model_with_b10_names_it_for_a_level_2a_product(tmp_path: Path, thirteen: Path) -> None:
    request = SceneRequest(SafeProduct().write(tmp_path), tmp_path / "out")
    with (
        open_chain(Settings(model=thirteen)) as opened,
        pytest.raises(MissingBand, match="B10, which Level-2A products do not have"),
    ):
        opened.process(request)
    assert not (tmp_path / "out").exists()


def test_a_product_of_bands_that_the_model_does_not_see_is_refused_by_name(tmp_path: Path) -> None:
    package = write_small_package(tmp_path / "swir", bands=("B11", "B12", "B04"))
    product = SafeProduct(ALL_AT, level="L1C").write(tmp_path, pixels=bright_as_measured)
    with open_chain(Settings(model=package)) as opened:
        with pytest.raises(UsageError, match=r"fill cannot be made: .* does not see B02, B03\."):
            opened.process(SceneRequest(product, tmp_path / "out", frozenset({"mask", "fill"})))
        processed = opened.process(SceneRequest(product, tmp_path / "out", frozenset({"mask"})))
    assert processed.scene.bands == ("B11", "B12", "B04")


def test_a_scene_that_lives_while_a_chain_is_opened_again_is_freed_later() -> None:
    tune_interpreter()  # by the first chain
    error = RuntimeError()
    error.args = (error,)
    scene = np.zeros(1)
    error.scene = scene  # type: ignore[attr-defined]
    kept = weakref.ref(scene)
    tune_interpreter()
    del error, scene
    gc.collect()
    assert kept() is None
