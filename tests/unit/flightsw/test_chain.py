from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from flightsw.chain import SceneProcessor, SceneRequest, open_chain, panels_help, unfit
from flightsw.config import Settings
from flightsw.errors import MemoryExhausted
from flightsw.model.package import load_package
from flightsw.products.kinds import DEFAULT_PRODUCTS
from flightsw.scene.area import area_within
from flightsw.scene.bit_planes import largest_error, planes_to_drop
from flightsw.scene.scene import Cut
from tests.unit.flightsw.scene.safe_writer import SafeProduct
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
    assert unfit(package, scene) == tuple(f"the model was made for {one}" for one in remarks)


@pytest.mark.parametrize(
    ("platform", "remarked"), [("", False), ("Sentinel-2A", False), ("landsat-8", True)]
)
def test_another_sensor_than_the_models_is_remarked_on(platform: str, remarked: bool) -> None:
    remarks = unfit(load_package(), scene_metadata(900, 900, platform=platform))
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
    remarks = unfit(load_package(), scene_metadata(height, width))
    expected = (
        f"the network sees {height} x {width} pixels of ground: "
        "with less than 128 on a side its mask is not trustworthy"
    )
    assert remarks == ((expected,) if remarked else ())


def test_a_small_area_of_a_large_scene_has_the_ground_around_it() -> None:
    area = area_within((0.0, 0.0, 1.0, 1.0))
    cut = Cut(area, top=400, left=400, rows=range(300, 600), columns=range(300, 600))
    assert unfit(load_package(), scene_metadata(32, 32, cut=cut)) == ()


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
def chain() -> Iterator[SceneProcessor]:
    with open_chain(Settings()) as opened:
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


def test_a_fast_decode_is_recorded_and_a_product_of_the_bands_makes_it_exact(
    tmp_path: Path, chain: SceneProcessor
) -> None:
    scene = SafeProduct().write(tmp_path)
    request = SceneRequest(scene, tmp_path / "fast", frozenset({"report", "stac"}), decode="fast")
    done = chain.process(request)
    assert done.scene.decode == "fast"
    step = load_package().input.scale * done.scene.quantification
    assert done.scene.largest_error == largest_error(planes_to_drop(step, 3))
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
