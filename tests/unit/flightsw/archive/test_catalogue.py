from __future__ import annotations

from pathlib import Path

import pyarrow.parquet
import pystac

from flightsw.archive.catalogue import TABLE, write_catalogue, write_table
from flightsw.archive.plan import Plan, RecordedScene, empty_plan
from flightsw.archive.run_order import RunOrder
from flightsw.archive.work import SceneStation
from flightsw.errors import CorruptImage
from tests.unit.flightsw.archive.conftest import CountingChain


def _answered(plan: Plan, station: SceneStation, *numbers: int) -> None:
    for number in numbers:
        scene = f"s3://stub/scene_{number:07d}.json"
        plan.add([scene])
        outcome = station.answer(scene).outcome
        recorded = RecordedScene(outcome.folder, outcome.tile, outcome.sensed_at, outcome.name)
        plan.record(scene, recorded)


def test_the_table_has_a_row_a_scene_with_figures_or_code(order: RunOrder) -> None:
    with empty_plan() as plan:
        chain = CountingChain()
        _answered(plan, chain.station(order), 3, 1)
        chain.error = CorruptImage("B02.jp2", "is damaged")
        _answered(plan, chain.station(order), 2)
        write_table(order.out, plan)
    rows = pyarrow.parquet.read_table(order.out / TABLE).to_pylist()
    by_name = {row["name"]: row for row in rows}
    assert sorted(by_name) == ["scene_0000001", "scene_0000002", "scene_0000003"]
    assert by_name["scene_0000002"]["code"] == "CORRUPT_IMAGE"
    good = by_name["scene_0000003"]
    assert (good["code"], good["model"], good["files"]) == ("", order.model_id, ["stub_stac.json"])
    assert abs(sum(share for _, share in good["fractions"]) - 1) < 1e-9
    assert [path.name for path in order.out.glob(".*.partial")] == []


def test_the_catalogue_leads_by_tile_and_year_to_items_beside_the_masks(
    order: RunOrder,
) -> None:
    with empty_plan() as plan:
        chain = CountingChain()
        _answered(plan, chain.station(order), 0, 20, 400 * 400)
        chain.error = CorruptImage("B02.jp2", "is damaged")
        _answered(plan, chain.station(order), 7)
        path = write_catalogue(order.out, plan, "masks")
    catalogue = pystac.Catalog.from_file(str(path))
    places = {place.id: list(place.get_links("item")) for place, _, _ in catalogue.walk()}
    assert sorted(name for name, links in places.items() if links) == [
        "T32TAA-2016",
        "T32TAA-2017",
        "T32TAB-2016",
    ]
    for place, _, _ in catalogue.walk():
        assert place.get_root_link().get_absolute_href() == str(path)
        for link in place.get_links("item"):
            assert Path(link.get_absolute_href()).is_file()
