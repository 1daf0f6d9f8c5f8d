"""The daemon in a process of its own with the model that ships: masks, products, model packages."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio

from deploy.model.sign import generate
from deploy.model.sign import sign as sign_package
from deploy.rig.flight_unit import FlightUnit, wait_until
from deploy.rig.forked import flight_unit
from flightsw.scene import open_scene
from telecommands.dictionary import CloudFraction, Code, Stage
from telecommands.ground.package_archive import open_package
from telecommands.ground.uplink import uplink
from tests.conftest import Simulated, run_command
from tests.unit.flightsw.model.another_package import another_package
from tests.unit.flightsw.overcast_scene import write_overcast


@pytest.fixture(scope="module")
def unit(
    tmp_path_factory: pytest.TempPathFactory, simulated: Simulated, light_package: Path
) -> Iterator[FlightUnit]:
    with flight_unit(tmp_path_factory.mktemp("unit"), package=light_package) as unit:
        unit.add_scene(simulated.scene)
        unit.start()
        yield unit
        assert unit.stop() == 0


@pytest.fixture
def scene(simulated: Simulated) -> str:
    return simulated.scene.name


def test_a_scene_goes_from_telecommand_to_confirmed_products(
    unit: FlightUnit, scene: str, simulated: Simulated, light_package: Path, tmp_path: Path
) -> None:
    with unit.telemetry("sci.cloud_fraction", "ver") as telemetry:
        with unit.client() as client:
            sent = client.send("PROCESS_SCENE", {"scene": scene, "products": ["geotiff", "report"]})
            stages = list(client.stages(sent, 120))
        assert [one.stage for one in stages if one.stage is not Stage.PROGRESS] == [
            Stage.ACCEPTED,
            Stage.STARTED,
            Stage.COMPLETED,
        ]
        result = stages[-1].data
        fraction = next(
            body
            for topic, _, body in telemetry.packets(30)
            if topic == "sci.cloud_fraction" and body.job == result["job"]  # type: ignore[attr-defined]
        )
    assert isinstance(fraction, CloudFraction)
    cells = np.frombuffer(fraction.tile_map, np.uint8)
    assert cells.size == fraction.rows * fraction.columns == 9
    assert fraction.contaminated == pytest.approx(result["contaminated"])
    assert fraction.integrity == "verified"

    unit.execute("OPEN_CONTACT", bytes=10_000_000, seconds=60)
    with unit.receiver(tmp_path / "got") as receiver:
        received = []
        while product := receiver.receive_next():
            received.append(product)
    assert {product.product for product in received} >= set(result["products"])
    own = [product for product in received if product.job == result["job"]]
    assert [product.kind for product in own] == ["report", "geotiff"]  # summaries go first
    report = json.loads(own[0].path.read_text())
    checksums = {file["name"]: file["sha256"] for file in report["files"]}
    assert checksums[own[1].path.name] == hashlib.sha256(own[1].path.read_bytes()).hexdigest()

    alone = run_command(
        "flightsw",
        [
            "process",
            str(simulated.scene),
            "-o",
            str(tmp_path / "alone"),
            "--json",
            "--products",
            "geotiff",
            "--model",
            str(light_package),
        ],
    )
    geotiff = next(f for f in json.loads(alone.stdout)["files"] if f["product"] == "geotiff")
    assert geotiff["sha256"] == own[1].sha256
    wait_until(lambda: unit.execute("LIST_PRODUCTS").data["total"] == 0)


def test_a_running_job_is_cancelled_and_both_telecommands_close(
    unit: FlightUnit, scene: str
) -> None:
    with unit.client() as client:
        sent = client.send("PROCESS_SCENE", {"scene": scene})
        stages = client.stages(sent, 120)
        accepted = next(stages)
        assert next(stages).stage is Stage.STARTED
        cancelled = unit.execute("CANCEL_JOB", job=accepted.data["job"])
        jobs = unit.execute("LIST_JOBS").data["jobs"]  # it has ended when CANCEL_JOB closes
        state = next(job["state"] for job in jobs if job["job"] == accepted.data["job"])
        last = list(stages)[-1]
    # It may have been through before the telecommand came.
    if last.stage is Stage.CANCELLED:
        assert (state, last.code) == ("CANCELLED", Code.CANCELLED)
        assert cancelled.stage is Stage.COMPLETED
    else:
        assert (state, last.stage) == ("COMPLETED", Stage.COMPLETED)
        assert cancelled.code is Code.JOB_ENDED
    again = unit.execute("CANCEL_JOB", job=accepted.data["job"])
    assert (again.stage, again.code) == (Stage.REJECTED, Code.JOB_ENDED)


def test_a_scene_outside_the_models_experience_is_reported_and_a_sound_one_is_not(
    unit: FlightUnit, simulated: Simulated
) -> None:
    with open_scene(simulated.scene).strips(2) as strips:
        numbers = np.concatenate([strip.digital_numbers for strip in strips], axis=1)
    numbers = numbers[:, 300:748, 300:748]
    jobs = {}
    with unit.telemetry("sci.cloud_fraction") as telemetry:
        for name, saturated in (("sound.tif", 0), ("saturated.tif", 260)):
            numbers[:, :saturated] = 65_535
            with rasterio.open(
                unit.scenes / name, "w", driver="GTiff", count=4, height=448, width=448,
                dtype=np.uint16, crs="EPSG:32632",
                transform=rasterio.Affine(10, 0, 600_000, 0, -10, 5_100_000),
            ) as file:  # fmt: skip
                file.write(numbers)
            bands = ["blue", "green", "red", "nir"]
            done = unit.execute("PROCESS_SCENE", scene=name, bands=bands, offset=-1000)
            jobs[done.data["job"]] = name
        found: dict[str, CloudFraction] = {}
        for _, _, body in telemetry.packets(30):
            if isinstance(body, CloudFraction) and body.job in jobs:
                found[jobs[body.job]] = body
            if len(found) == len(jobs):
                break
    sound, saturated_scene = found["sound.tif"], found["saturated.tif"]
    assert sound.outside_experience is False
    assert sound.experience_distance is not None
    assert sound.experience_distance <= 1
    assert saturated_scene.outside_experience is True
    wait_until(lambda: unit.events("OUTSIDE_EXPERIENCE"))
    events = [
        event for event in unit.events("OUTSIDE_EXPERIENCE") if event["fields"]["job"] in jobs
    ]
    assert [jobs[event["fields"]["job"]] for event in events] == ["saturated.tif"]
    assert "outside the model's experience" in events[0]["message"]


def test_a_scene_that_is_surely_too_cloudy_ends_after_a_first_look(
    unit: FlightUnit, tmp_path: Path
) -> None:
    scene = unit.add_scene(write_overcast(tmp_path))
    with unit.telemetry("sci.cloud_fraction") as telemetry:
        done = unit.execute("PROCESS_SCENE", scene=scene, ground_sample_distance=20, stop_above=0.9)
        packets = (body for _, _, body in telemetry.packets(30))
        fraction = next(
            one for one in packets
            if isinstance(one, CloudFraction) and one.job == done.data["job"]
        )  # fmt: skip
    assert (done.stage, done.code) == (Stage.COMPLETED, Code.STOPPED_ABOVE)
    assert fraction.at_least is not None
    assert 0.9 < fraction.at_least <= fraction.contaminated
    (event,) = unit.events("CLOUD_ESTIMATED")
    assert event["fields"]["at_least"] == fraction.at_least
    (product,) = done.data["products"]
    assert "quicklook" in product
    assert unit.execute("LIST_JOBS").data["jobs"][0]["code"] == "STOPPED_ABOVE"


def test_a_model_is_staged_activated_used_and_rolled_back(
    tmp_path: Path, simulated: Simulated
) -> None:
    with flight_unit(tmp_path / "unit") as unit:
        scene = unit.add_scene(simulated.scene)
        digest = another_package(unit.state / "model_inbox" / "next")
        unit.start()
        before = unit.execute("PROCESS_SCENE", scene=scene).data["model"]
        outside = unit.execute("STAGE_MODEL", package="../keys", sha256=digest)
        assert (outside.stage, outside.code) == (Stage.FAILED, Code.OUTSIDE_SCENE_ROOT)
        unsigned = unit.execute("STAGE_MODEL", package="next", sha256=digest)
        assert (unsigned.stage, unsigned.code) == (Stage.FAILED, Code.PACKAGE_UNSIGNED)
        release_keys = unit.state / "keys" / "release"
        release_keys.mkdir()
        shutil.copy(generate(tmp_path / "releases"), release_keys)
        shutil.copytree(unit.state / "model_inbox" / "next", tmp_path / "next")
        sign_package(tmp_path / "next", tmp_path / "releases.release_key_secret")
        assert unit.execute("DELETE_UPLINK", name="next").stage is Stage.COMPLETED
        _carry_up(unit, tmp_path / "next")
        staged = unit.execute("STAGE_MODEL", package="next", sha256=digest)
        assert staged.data["active"] == before
        model = staged.data["staged"]
        activated = unit.execute("ACTIVATE_MODEL", model=model)
        assert (activated.data["active"], activated.data["previous"]) == (model, before)
        assert unit.execute("PROCESS_SCENE", scene=scene).data["model"] == model
        assert unit.execute("ROLL_BACK_MODEL").data["active"] == before
        assert unit.execute("PROCESS_SCENE", scene=scene).data["model"] == before
        assert unit.stop() == 0


def _carry_up(unit: FlightUnit, folder: Path) -> None:
    """Uplink a package whose first bytes were sent by hand."""
    with open_package(folder) as package, unit.client() as client:
        file = {"name": package.name, "size": package.size, "sha256": package.sha256}
        assert client.execute("BEGIN_UPLINK", file, 120).data["received"] == 0
        chunk = {"name": package.name, "offset": 0, "data": package.read(0, 10_000)}
        assert client.execute("UPLINK_CHUNK", chunk, 120).data["received"] == 10_000
        early = client.execute("END_UPLINK", {"name": package.name}, 120)
        assert (early.stage, early.code) == (Stage.FAILED, Code.UPLINK_GAP)
        assert uplink(client, package)
        (listed,) = client.execute("LIST_UPLINKS", {}, 120).data["uplinks"]
        assert listed == {**file, "received": package.size, "complete": True}
        assert not uplink(client, package)
