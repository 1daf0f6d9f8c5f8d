from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from flightsw.archive.run_order import RunOrder, decode_order, encode_order, make_order
from flightsw.config import DimcSettings, PipelineSettings, SceneSettings, ServiceSettings, Settings
from flightsw.errors import UsageError
from flightsw.model.package import shipped_package


def _order(out: Path, settings: Settings = Settings(), **changes: object) -> RunOrder:  # noqa: B008
    arguments = {"products": ("stac",), **changes}
    return make_order(settings, out, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings",
    [
        Settings(dimc=DimcSettings(threads=7, thread_priority=0)),
        Settings(pipeline=PipelineSettings(queue_depth=3, decode_workers=5, stall_seconds=9.0)),
        Settings(service=ServiceSettings(state_dir=Path("/elsewhere"))),
        Settings(model=shipped_package()),
    ],
)
def test_settings_of_pace_and_place_make_no_other_run(tmp_path: Path, settings: Settings) -> None:
    assert _order(tmp_path, settings).out == _order(tmp_path).out


@pytest.mark.parametrize(
    "settings",
    [
        Settings(engines=("torch-cpu",)),
        Settings(pipeline=PipelineSettings(threshold_percent=40)),
        Settings(pipeline=PipelineSettings(decode="fast")),
        Settings(scene=SceneSettings(offset=-1000)),
        Settings(product_names="reference"),
    ],
)
def test_settings_on_which_products_depend_make_another_run(
    tmp_path: Path, settings: Settings
) -> None:
    assert _order(tmp_path, settings).out != _order(tmp_path).out


def test_products_distance_and_version_make_another_run(tmp_path: Path) -> None:
    plain = _order(tmp_path)
    others = [
        _order(tmp_path, products=("cog", "stac")),
        _order(tmp_path, ground_sample_distance=20),
        replace(plain, software_version="9.9"),
    ]
    assert len({plain.digest, *(other.digest for other in others)}) == 4
    assert _order(tmp_path, retry_failed=True, copies=tmp_path).digest == plain.digest


def test_a_run_has_the_first_engine_alone(tmp_path: Path) -> None:
    assert _order(tmp_path).settings.engines == ("dimc",)


def test_an_order_survives_its_way_to_the_worker(tmp_path: Path) -> None:
    order = _order(tmp_path, copies=tmp_path / "copies", compared_with=tmp_path / "other")
    assert decode_order(encode_order(order)) == order


def test_an_order_of_another_version_is_refused(tmp_path: Path) -> None:
    plain = msgspec.json.decode(encode_order(_order(tmp_path)))
    del plain["model_id"]
    with pytest.raises(UsageError, match="cannot read the driver's order"):
        decode_order(msgspec.json.encode(plain))


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"products": ()}, "is empty"),
        ({"products": ("maks",)}, "maks is not a product"),
        ({"products": ("classes",)}, "only distinguishes clear and contaminated"),
        (
            {
                "settings": Settings(pipeline=PipelineSettings(decode="fast")),
                "copies": Path("copies"),
            },
            "fast decode",
        ),
    ],
)
def test_what_no_worker_can_do_is_refused_first(
    tmp_path: Path, changes: dict[str, object], cause: str
) -> None:
    with pytest.raises(UsageError, match=cause):
        _order(tmp_path, **changes)
