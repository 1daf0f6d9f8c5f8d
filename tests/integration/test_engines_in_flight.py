"""The daemon with a chain of engines, one of them absent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.rig.flight_unit import FlightUnit
from deploy.rig.forked import flight_unit
from telecommands.dictionary import CloudFraction, Code, Housekeeping, Stage
from tests.conftest import Simulated


@pytest.fixture(scope="module")
def unit(
    tmp_path_factory: pytest.TempPathFactory, simulated: Simulated, light_package: Path
) -> Iterator[FlightUnit]:
    folder, engines = tmp_path_factory.mktemp("unit"), ("torch-cuda", "dimc", "torch-cpu")
    with flight_unit(folder, engines=engines, package=light_package) as unit:
        unit.add_scene(simulated.scene)
        unit.start()
        yield unit
        assert unit.stop() == 0


def _engine_of(unit: FlightUnit, scene: str, engine: str) -> str:
    with unit.telemetry("sci.cloud_fraction") as telemetry:
        result = unit.execute("PROCESS_SCENE", scene=scene, engine=engine)
        assert result.stage is Stage.COMPLETED, result
        for _, _, body in telemetry.packets(30):
            if isinstance(body, CloudFraction) and body.job == result.data["job"]:
                return body.engine
    raise AssertionError("no cloud fraction came")


def test_an_absent_engine_is_an_event_and_the_next_one_serves(unit: FlightUnit) -> None:
    events = unit.events("ENGINE_CHANGED")
    assert "torch-cuda" in events[0]["message"]
    with unit.telemetry("hk") as telemetry:  # the first packet may be older than the engine
        housekeeping = (
            body for _, _, body in telemetry.packets(60) if isinstance(body, Housekeeping)
        )
        assert next(body.engine for body in housekeeping if body.engine) == "dimc"
    assert unit.execute("SELF_TEST").stage is Stage.COMPLETED


def test_a_job_may_name_its_engine(unit: FlightUnit, simulated: Simulated) -> None:
    scene = simulated.scene.name
    assert "simulator" in _engine_of(unit, scene, "auto")
    assert "CPU" in _engine_of(unit, scene, "torch-cpu")
    assert "simulator" in _engine_of(unit, scene, "auto")


def test_a_job_that_names_an_absent_engine_fails_and_the_service_continues(
    unit: FlightUnit, simulated: Simulated
) -> None:
    refused = unit.execute("PROCESS_SCENE", scene=simulated.scene.name, engine="tensorrt")
    assert (refused.stage, refused.code) == (Stage.FAILED, Code.ENGINE_UNAVAILABLE)
    assert unit.execute("PING").data["mode"] == "OPERATIONAL"
    assert "simulator" in _engine_of(unit, simulated.scene.name, "auto")


def test_jobs_in_a_row_give_the_products_of_jobs_alone(
    unit: FlightUnit, simulated: Simulated
) -> None:
    with unit.client() as client:
        sent = [
            client.send("PROCESS_SCENE", {"scene": simulated.scene.name, "products": ["geotiff"]})
            for _ in range(3)
        ]
        ends = [list(client.stages(one, 120))[-1] for one in sent]
    assert [end.stage for end in ends] == [Stage.COMPLETED] * 3
    listed = unit.execute("LIST_PRODUCTS", limit=100).data["products"]
    digests = {
        product["sha256"]
        for product in listed
        if product["job"] in {end.data["job"] for end in ends}
    }
    assert len(digests) == 1


def test_an_engine_that_does_not_exist_is_refused_on_the_ground(
    unit: FlightUnit, tmp_path: Path
) -> None:
    with unit.client() as client, pytest.raises(Exception, match="engine"):
        client.execute("PROCESS_SCENE", {"scene": "a", "engine": "abacus"}, 10)
