"""The whole daemon in a process of its own, driven by the real client over encrypted links.

Its network has one layer, so that a start and a scene cost little; ``test_flight_model.py`` has the
shipped model.
"""

from __future__ import annotations

import json
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import zmq
from rasterio.warp import transform

from deploy.rig.flight_unit import FlightUnit, wait_until
from deploy.rig.forked import flight_unit
from flightsw.scene import open_scene
from flightsw.state import StateFile
from telecommands.auth import TelecommandKey, mac, sign
from telecommands.codec import decode_as, encode
from telecommands.dictionary import (
    MAX_BODY_BYTES,
    TELECOMMANDS,
    VERSION,
    CloudFraction,
    Code,
    Housekeeping,
    Stage,
    TelecommandBody,
    TelecommandHeader,
    Verification,
)
from telecommands.ground.commanding import TelecommandClient
from telecommands.ground.connection import Connection, GroundKeys, read_ground_keys
from telecommands.ground.errors import NoAnswer
from telecommands.ground.sequence import SequenceFile
from telecommands.keys import (
    certificate,
    generate_curve_pair,
    generate_telecommand_key,
    read_curve_public,
)
from tests.conftest import Simulated, run_command

_SLOW_CARD = "[dimc.twin]\nlatency_ms = 150.0\n"  # a scene lasts for seconds and costs no CPU


@pytest.fixture(scope="module")
def unit(
    tmp_path_factory: pytest.TempPathFactory, simulated: Simulated, small_package: Path
) -> Iterator[FlightUnit]:
    """A daemon that serves all tests of this file that do not stop it."""
    with flight_unit(tmp_path_factory.mktemp("unit"), package=small_package) as unit:
        unit.add_scene(simulated.scene)
        unit.start()
        yield unit
        assert unit.stop() == 0


@pytest.fixture
def scene(simulated: Simulated) -> str:
    return simulated.scene.name


def test_a_ping_closes_with_the_mode(unit: FlightUnit) -> None:
    pong = unit.execute("PING")
    assert pong.stage is Stage.COMPLETED
    assert pong.data["mode"] == "OPERATIONAL"


def test_a_repeated_id_is_answered_again_and_runs_nothing(unit: FlightUnit, scene: str) -> None:
    before = unit.execute("LIST_JOBS").data["total"]
    answers = []
    for _ in range(2):
        with unit.client() as client:
            sent = client.send("PROCESS_SCENE", {"scene": scene}, id="the-very-same")
            answers.append(list(client.stages(sent, 120))[-1])
    assert answers[0] == answers[1]
    assert unit.execute("LIST_JOBS").data["total"] == before + 1


def test_a_scene_of_unknown_integrity_is_reported_and_a_parameter_refuses_it(
    unit: FlightUnit, simulated: Simulated, tmp_path: Path
) -> None:
    copy = tmp_path / f"unlisted_{simulated.scene.name}"
    shutil.copytree(simulated.scene, copy)
    (copy / "manifest.safe").unlink()
    scene = unit.add_scene(copy)
    with unit.telemetry("sci.cloud_fraction") as telemetry:
        completed = unit.execute("PROCESS_SCENE", scene=scene, products=["report"])
        assert completed.stage is Stage.COMPLETED
        job = completed.data["job"]
        fraction = next(
            body
            for _, _, body in telemetry.packets(30)
            if isinstance(body, CloudFraction) and body.job == job
        )
    assert fraction.integrity == "unknown"
    (event,) = [one for one in unit.events("INTEGRITY_UNKNOWN") if one["fields"]["job"] == job]
    assert "without a manifest.safe" in event["message"]
    unit.execute("SET_PARAMETER", name="processing.least_integrity", value="verified")
    try:
        refused = unit.execute("PROCESS_SCENE", scene=scene)
        assert (refused.stage, refused.code) == (Stage.FAILED, Code.INTEGRITY_TOO_LOW)
    finally:
        unit.execute("SET_PARAMETER", name="processing.least_integrity", value=None)


def test_a_corrupt_scene_fails_with_its_reason_and_the_next_job_runs(
    unit: FlightUnit, scene: str, simulated: Simulated
) -> None:
    broken = unit.scenes / "broken.SAFE"
    for source in simulated.scene.rglob("*"):
        place = broken / source.relative_to(simulated.scene)
        if source.is_file():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(source.read_bytes())
    band = next(broken.rglob("*_B03_10m.jp2"))
    band.write_bytes(band.read_bytes()[: band.stat().st_size // 2])
    failed = unit.execute("PROCESS_SCENE", scene="broken.SAFE")
    assert (failed.stage, failed.code) == (Stage.FAILED, Code.CORRUPT_IMAGE)
    assert "B03" in failed.cause
    assert unit.execute("PROCESS_SCENE", scene=scene).stage is Stage.COMPLETED


def test_a_file_that_says_nothing_is_processed_with_what_the_telecommand_says(
    unit: FlightUnit, scene: str, simulated: Simulated
) -> None:
    with open_scene(simulated.scene).strips(2) as strips:
        numbers = np.concatenate([strip.digital_numbers for strip in strips], axis=1)
    count, height, width = numbers.shape
    grid = rasterio.Affine(10, 0, 600_000, 0, -10, 5_100_000)
    with rasterio.open(
        unit.scenes / "plain.tif", "w", driver="GTiff", count=count, height=height, width=width,
        dtype=np.uint16, crs="EPSG:32632", transform=grid,
    ) as file:  # fmt: skip
        file.write(numbers)

    asked = {"scene": "plain.tif", "bands": ["blue", "green", "red", "nir"]}
    failed = unit.execute("PROCESS_SCENE", **asked)
    assert (failed.stage, failed.code) == (Stage.FAILED, Code.BAD_METADATA)
    assert "give its offset: -1000" in failed.cure
    assert "--" not in failed.cure
    done = unit.execute("PROCESS_SCENE", **asked, offset=-1000)
    scaled = unit.execute("PROCESS_SCENE", **asked, offset=-0.1, scale=1e-4, nodata=0)
    assert scaled.data["contaminated"] == done.data["contaminated"]
    as_product = unit.execute("PROCESS_SCENE", scene=scene)
    assert done.data["contaminated"] == as_product.data["contaminated"]
    assert not unit.events("SCENE_DOUBTFUL")
    for folder, stage in (("", Stage.COMPLETED), ("../", Stage.FAILED)):
        colours = [{"common_name": colour} for colour in asked["bands"]]
        values = [{"scale": 1e-4, "offset": -0.1}] * 4
        asset = {"href": f"{folder}plain.tif", "eo:bands": colours, "raster:bands": values}
        item = {"type": "Feature", "stac_version": "1.0.0", "id": "i", "properties": {}}
        (unit.scenes / "item.json").write_text(json.dumps(item | {"assets": {"all": asset}}))
        by_item = unit.execute("PROCESS_SCENE", scene="item.json")
        assert by_item.stage is stage
        if stage is Stage.COMPLETED:
            assert by_item.data["contaminated"] == done.data["contaminated"]
    assert "leads out of the folder of scenes" in by_item.cause
    doubtful = unit.execute("PROCESS_SCENE", **asked, offset=0)
    wait_until(lambda: unit.events("SCENE_DOUBTFUL"))
    [event] = unit.events("SCENE_DOUBTFUL")
    assert doubtful.data["job"] in event["message"]
    assert "perhaps the product has an offset (-1000)" in event["message"]


def test_an_area_of_a_scene_is_processed_alone(unit: FlightUnit, scene: str) -> None:
    place = open_scene(unit.scenes / scene).metadata.georeference
    assert place
    left, top = place.transform[2], place.transform[5]
    x, y = [left + 1505, left + 2505, left + 1505], [top - 1505, top - 1505, top - 2505]
    ring = [list(one) for one in zip(*transform(place.crs, "EPSG:4326", x, y), strict=True)]
    area = json.dumps({"type": "Polygon", "coordinates": [[*ring, ring[0]]]})
    with unit.telemetry("sci.cloud_fraction") as telemetry:
        done = unit.execute("PROCESS_SCENE", scene=scene, area=area)
        fraction = next(
            body
            for _, _, body in telemetry.packets(30)
            if isinstance(body, CloudFraction) and body.job == done.data["job"]
        )
    assert done.stage is Stage.COMPLETED
    assert (fraction.height, fraction.width) == (101, 101)
    assert fraction.valid_pixels < 0.55 * 101 * 101
    assert (fraction.rows, fraction.columns) == (1, 1)
    outside = unit.execute("PROCESS_SCENE", scene=scene, bounds=[-9, 53, -8, 54])
    assert (outside.stage, outside.code) == (Stage.FAILED, Code.AREA_OUTSIDE)


@pytest.mark.parametrize(
    "arguments",
    [
        {"area": '{"type": "Point", "coordinates": [11, 42]}'},
        {"bounds": [12, 42, 11, 43]},
        {"bounds": [11, 42]},
        {"area": '{"type": "Polygon", "coordinates": []}', "bounds": [11, 42, 12, 43]},
    ],
)
def test_what_is_not_an_area_is_rejected_before_its_turn(
    unit: FlightUnit, scene: str, arguments: dict[str, Any]
) -> None:
    answer = unit.execute("PROCESS_SCENE", scene=scene, **arguments)
    assert (answer.stage, answer.code) == (Stage.REJECTED, Code.BAD_ARGUMENTS)
    assert answer.cure


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("../keys", Code.OUTSIDE_SCENE_ROOT),
        ("/etc", Code.OUTSIDE_SCENE_ROOT),
        ("link/passwd", Code.OUTSIDE_SCENE_ROOT),
        ("nowhere.SAFE", Code.SCENE_NOT_FOUND),
    ],
)
def test_paths_stay_below_the_scene_root(unit: FlightUnit, path: str, code: Code) -> None:
    link = unit.scenes / "link"
    if not link.is_symlink():
        link.symlink_to("/etc")
    answer = unit.execute("PROCESS_SCENE", scene=path)
    assert (answer.stage, answer.code) == (Stage.REJECTED, code)


def test_a_job_whose_deadline_passed_is_rejected(unit: FlightUnit, scene: str) -> None:
    answer = unit.execute("PROCESS_SCENE", scene=scene, deadline=time.time_ns() - 1)
    assert (answer.stage, answer.code) == (Stage.REJECTED, Code.TIME_PASSED)


def test_parameters_are_ranged_and_can_be_restored(unit: FlightUnit) -> None:
    refused = unit.execute("SET_PARAMETER", name="processing.attempts", value=99)
    assert (refused.stage, refused.code) == (Stage.REJECTED, Code.BAD_ARGUMENTS)
    unarmed = unit.execute("ARM", telecommand={"name": "PING", "args": {}})
    assert (unarmed.stage, unarmed.code) == (Stage.REJECTED, Code.BAD_ARGUMENTS)  # not hazardous
    unit.execute("SET_PARAMETER", name="processing.attempts", value=3)
    read = unit.execute("GET_PARAMETER", name="processing.attempts").data["parameters"]
    assert read == [{"name": "processing.attempts", "value": 3, "default": 2}]
    unit.execute("SET_PARAMETER", name="processing.attempts", value=None)
    read = unit.execute("GET_PARAMETER", name="processing.attempts").data["parameters"]
    assert read[0]["value"] == 2


def test_safe_mode_runs_no_scene_and_still_answers(unit: FlightUnit, scene: str) -> None:
    assert unit.execute("SET_MODE", mode="SAFE").stage is Stage.COMPLETED
    refused = unit.execute("PROCESS_SCENE", scene=scene)
    assert (refused.stage, refused.code) == (Stage.REJECTED, Code.NOT_IN_THIS_MODE)
    assert unit.execute("PING").data["mode"] == "SAFE"
    assert unit.execute("SELF_TEST").stage is Stage.COMPLETED
    assert unit.execute("SET_MODE", mode="OPERATIONAL").stage is Stage.COMPLETED
    assert unit.execute("PROCESS_SCENE", scene=scene).stage is Stage.COMPLETED


def test_a_job_waits_while_in_standby(unit: FlightUnit, scene: str) -> None:
    unit.execute("SET_MODE", mode="STANDBY")
    with unit.client() as client:
        sent = client.send("PROCESS_SCENE", {"scene": scene})
        stages = client.stages(sent, 120)
        assert next(stages).stage is Stage.ACCEPTED
        jobs = unit.execute("LIST_JOBS", states=["QUEUED"]).data["jobs"]
        assert [job["scene"] for job in jobs] == [scene]
        unit.execute("SET_MODE", mode="OPERATIONAL")
        assert list(stages)[-1].stage is Stage.COMPLETED


def test_a_scheduled_telecommand_runs_under_the_id_of_its_entry(unit: FlightUnit) -> None:
    with unit.telemetry("ver") as telemetry:
        answer = unit.execute(
            "SCHEDULE", at=time.time_ns() + 10**9, telecommand={"name": "PING", "args": {}}
        )
        entry = answer.data["entry"]
        stages = []
        for _, _, body in telemetry.packets(30):
            if body.id == entry:  # type: ignore[attr-defined]
                stages.append(body.stage)  # type: ignore[attr-defined]
            if stages and stages[-1].closes:
                break
    assert stages[-1] is Stage.COMPLETED
    assert unit.execute("LIST_SCHEDULE").data["entries"] == []


def test_housekeeping_comes_at_the_rate_that_was_set(unit: FlightUnit) -> None:
    unit.execute("SET_HOUSEKEEPING_RATE", period_s=0.1)
    with unit.telemetry("hk") as telemetry:
        numbers = []
        for _, packet, body in telemetry.packets(30):
            assert isinstance(body, Housekeeping)
            numbers.append(packet.seq)
            if len(numbers) == 5:
                break
    unit.execute("SET_PARAMETER", name="housekeeping.period_s", value=None)
    assert numbers == list(range(numbers[0], numbers[0] + 5))
    assert body.mode.value == "OPERATIONAL"
    assert body.device_state == "ready"
    assert set(body.heartbeats) == {"commanding", "telemetry", "downlink", "processing"}


def test_held_products_stay_and_released_ones_go_down(
    unit: FlightUnit, scene: str, tmp_path: Path
) -> None:
    result = unit.execute("PROCESS_SCENE", scene=scene).data
    held, free = result["products"]
    unit.execute("HOLD_PRODUCT", product=held)
    unit.execute("OPEN_CONTACT", bytes=10_000_000, seconds=60)
    with unit.receiver(tmp_path) as receiver:
        got = []
        while product := receiver.receive_next():
            got.append(product.product)
        assert free in got
        assert held not in got
        unit.execute("RELEASE_PRODUCT", product=held)
        released = receiver.receive_next()
        assert released is not None
        assert released.product == held
        unit.execute("CLOSE_CONTACT")
        unit.execute("RELEASE_PRODUCT", product=held)
        assert receiver.receive_next() is None
        assert receiver.why_nothing == "NO_CONTACT"


def test_a_stranger_gets_no_answer(unit: FlightUnit, tmp_path: Path) -> None:
    generate_curve_pair(tmp_path, "stranger")
    generate_telecommand_key(tmp_path, "stranger")
    (tmp_path / "service.key").write_bytes((unit.ground / "service.key").read_bytes())
    keys = read_ground_keys(tmp_path, "stranger")
    sequence = SequenceFile(tmp_path / "stranger.sequence")
    with (
        TelecommandClient(unit.endpoints["telecommand"], keys, sequence) as client,
        pytest.raises(NoAnswer),
    ):
        client.execute("PING", {}, 3)
    as_stranger = ["--keys", str(tmp_path), "--as", "stranger"]
    endpoints = ["--endpoints", str(unit.state / "endpoints.json")]
    watched = run_command(
        "telecommands.groundsim", ["watch", "--for", "60", *as_stranger, *endpoints]
    )
    assert watched.returncode == 1
    assert "the service rejects this client's key" in watched.stderr
    assert unit.execute("PING").stage is Stage.COMPLETED


def test_who_may_listen_may_not_command_with_a_key_of_his_own(unit: FlightUnit) -> None:
    mine = unit.keys
    forged = GroundKeys(
        mine.curve, mine.service_public, TelecommandKey("operator", b"x" * 32), mine.unit
    )
    unknown = GroundKeys(
        mine.curve, mine.service_public, TelecommandKey("nobody", b"x" * 32), mine.unit
    )
    for keys, code in ((forged, Code.BAD_MAC), (unknown, Code.UNKNOWN_KEY)):
        sequence = SequenceFile(unit.folder / f"{code.value}.sequence")
        with TelecommandClient(unit.endpoints["telecommand"], keys, sequence) as client:
            answer = client.execute("PING", {}, 20)
        assert (answer.stage, answer.code) == (Stage.REJECTED, code)


def _signed(unit: FlightUnit, sequence: int, **fields: Any) -> tuple[bytes, bytes]:
    key = unit.keys.telecommand
    assert key is not None
    body = TelecommandBody(**{"id": f"hostile-{sequence}", "name": "PING", "sent_at": 1, **fields})
    return sign(key, unit.keys.unit, sequence, body)


def _with_body(unit: FlightUnit, sequence: int, body: bytes) -> tuple[bytes, bytes]:
    key = unit.keys.telecommand
    assert key is not None
    name = unit.keys.unit
    code = mac(key, VERSION, name, sequence, body)
    return encode(TelecommandHeader(VERSION, name, key.key_id, sequence, code)), body


def _nested(depth: int) -> dict[str, Any]:
    return {"deeper": _nested(depth - 1)} if depth else {}


def test_hostile_telecommands_are_rejected_with_a_code_and_a_cause(unit: FlightUnit) -> None:
    sequences = SequenceFile(unit.ground / "operator.sequence")
    used, fresh = sequences.next(), sequences.next
    whole = _signed(unit, used)
    far = used + 10**9
    hostile: list[tuple[Code | None, tuple[bytes, ...]]] = [
        (None, whole),
        (Code.MALFORMED, (b"\xc1",)),
        (Code.MALFORMED, (b"garbage", b"garbage")),
        (Code.MALFORMED, (whole[0][:-5], whole[1])),
        (Code.MALFORMED, _with_body(unit, fresh(), whole[1][:-4])),
        (Code.BAD_MAC, (_signed(unit, fresh())[0], whole[1])),
        (Code.OVERSIZED, (whole[0], b"x" * (MAX_BODY_BYTES + 1))),
        (Code.OVERSIZED, (whole[0], b"x" * (3 * MAX_BODY_BYTES))),
        (Code.OVERSIZED, (b"x" * 300, whole[1])),
        (Code.OVERSIZED, _signed(unit, fresh(), args=_nested(40))),
        (Code.BAD_ARGUMENTS, _signed(unit, fresh(), name="LIST_JOBS", args={"limit": "many"})),
        (Code.BAD_ARGUMENTS, _signed(unit, fresh(), name="LIST_JOBS", args={"limit": 501})),
        (Code.BAD_ARGUMENTS, _signed(unit, fresh(), name="LIST_JOBS", args={"colour": 1})),
        (Code.UNKNOWN_TELECOMMAND, _signed(unit, fresh(), name="FORMAT_DISK")),
        (Code.REPLAYED, _signed(unit, used, id="another")),
        (Code.OUT_OF_WINDOW, _signed(unit, far)),
    ]
    with Connection(zmq.DEALER, unit.endpoints["telecommand"], unit.keys) as connection:
        for expected, frames in hostile:
            connection.send(*frames)
            latest: Verification | None = None
            while latest is None or not latest.stage.closes:
                answer = connection.receive(time.monotonic() + 20)
                assert answer is not None, expected
                latest = decode_as(Verification, answer[0].bytes, "an answer")
            assert latest.code is expected, latest
            assert latest.stage is (Stage.REJECTED if expected else Stage.COMPLETED)
            assert expected is None or latest.cause
    assert unit.execute("PING").stage is Stage.COMPLETED


def test_no_secret_is_logged_or_sent_down(unit: FlightUnit) -> None:
    unit.execute("PING")
    secrets = [
        (unit.ground / "operator.telecommand_key").read_text().strip(),
        unit.keys.curve.secret.decode() if unit.keys.curve else "",
        *(
            line.split("=", 1)[1].strip().strip('"')
            for line in (unit.state / "keys" / "service.key_secret").read_text().splitlines()
            if "secret-key" in line
        ),
    ]
    text = json.dumps(unit.log)
    assert all(secret and secret not in text for secret in secrets)


def test_private_files_are_for_the_service_alone(unit: FlightUnit) -> None:
    for path in (unit.state / "state.sqlite", *(unit.state / "keys").rglob("*secret")):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_schedule_entry_can_be_taken_off(unit: FlightUnit) -> None:
    later = time.time_ns() + 3600 * 10**9
    answer = unit.execute("SCHEDULE", at=later, telecommand={"name": "SHUT_DOWN", "args": {}})
    listed = unit.execute("LIST_SCHEDULE").data["entries"]
    assert [one["telecommand"]["name"] for one in listed] == ["SHUT_DOWN"]
    assert unit.execute("UNSCHEDULE", entry=answer.data["entry"]).stage is Stage.COMPLETED
    assert unit.execute("LIST_SCHEDULE").data["entries"] == []
    again = unit.execute("UNSCHEDULE", entry=answer.data["entry"])
    assert (again.stage, again.code) == (Stage.REJECTED, Code.UNKNOWN_SCHEDULE_ENTRY)


def test_a_prioritised_product_goes_first_and_a_deleted_one_never(
    unit: FlightUnit, scene: str, tmp_path: Path
) -> None:
    first = unit.execute("PROCESS_SCENE", scene=scene).data["products"]
    second = unit.execute("PROCESS_SCENE", scene=scene).data["products"]
    unit.execute("PRIORITISE_PRODUCT", product=second[0], priority=9)
    unit.execute("DELETE_PRODUCT", product=first[0])
    listed = unit.execute("LIST_PRODUCTS").data["products"]
    assert listed[0]["product"] == second[0]
    unit.execute("OPEN_CONTACT", bytes=10_000_000, seconds=60)
    with unit.receiver(tmp_path) as receiver:
        got = []
        while product := receiver.receive_next():
            got.append(product.product)
    assert got[0] == second[0]
    assert first[0] not in got
    refused = unit.execute("RELEASE_PRODUCT", product=first[0])
    assert (refused.stage, refused.code) == (Stage.REJECTED, Code.PRODUCT_STATE)


def test_the_latest_packets_are_sent_again_on_demand(unit: FlightUnit) -> None:
    with unit.telemetry("hk") as telemetry:
        next(telemetry.packets(30))
        assert unit.execute("REPORT_LATEST", topics=["hk"]).data == {"sent": 1}
        list(telemetry.packets(1.0))
        assert telemetry.repeated["hk"] >= 1
        assert telemetry.lost["hk"] == 0


@pytest.mark.parametrize("scenario", ["day_in_short", "bad_commanding"])
def test_the_scenarios_of_the_manual_hold(
    unit: FlightUnit, scene: str, scenario: str, tmp_path: Path
) -> None:
    path = Path(__file__).parents[2] / "docs" / "scenarios" / f"{scenario}.yaml"
    connection = ["--keys", str(unit.ground), "--endpoints", str(unit.state / "endpoints.json")]
    chosen = ["--set", f"scene={scene}"] if scenario == "day_in_short" else []
    done = run_command(
        "telecommands.groundsim",
        ["run", str(path), *chosen, "--folder", str(tmp_path), *connection],
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_jobs_wait_where_products_fill_their_quota(unit: FlightUnit, scene: str) -> None:
    unit.execute("SET_PARAMETER", name="storage.quota_bytes", value=10**6)
    with unit.client() as client:
        sent = client.send("PROCESS_SCENE", {"scene": scene, "products": ["fill"]})
        wait_until(lambda: bool(unit.events("QUOTA_REACHED")))
        waiting = unit.execute("LIST_JOBS", states=["QUEUED"]).data["jobs"]
        assert [job["attempts"] for job in waiting] == [0]
        unit.execute("SET_PARAMETER", name="storage.quota_bytes", value=None)
        assert list(client.stages(sent, 120))[-1].stage is Stage.COMPLETED
    assert unit.execute("PING").data["mode"] == "OPERATIONAL"


def test_safe_mode_by_telecommand_outlives_a_power_cut(tmp_path: Path, small_package: Path) -> None:
    with flight_unit(tmp_path / "unit", package=small_package) as unit:
        unit.start()
        unit.execute("SET_MODE", mode="SAFE")
        wait_until(lambda: _housekeeping_mode(unit) == "SAFE")
        assert unit.stop() == 0
        unit.start()
        assert unit.execute("PING").data["mode"] == "SAFE"
        assert unit.execute("SET_MODE", mode="OPERATIONAL").stage is Stage.COMPLETED
        assert unit.stop() == 0
        unit.start()
        assert unit.execute("PING").data["mode"] == "OPERATIONAL"


def test_a_contact_window_outlives_a_power_cut(tmp_path: Path, small_package: Path) -> None:
    with flight_unit(tmp_path / "unit", package=small_package) as unit:
        unit.start()
        assert unit.execute("OPEN_CONTACT", bytes=5_000_000, seconds=600).stage is Stage.COMPLETED
        unit.kill()
        unit.start()
        with unit.telemetry("hk") as telemetry:
            packet = next(body for _, _, body in telemetry.packets(30))
        assert isinstance(packet, Housekeeping)
        assert packet.contact.bytes_left == 5_000_000
        assert 0 < packet.contact.seconds_left < 600


def test_three_power_cuts_within_ten_minutes_lead_to_safe_mode(
    tmp_path: Path, small_package: Path
) -> None:
    with flight_unit(tmp_path / "unit", package=small_package) as unit:
        for _ in range(3):
            unit.start()
            assert unit.execute("PING").data["mode"] == "OPERATIONAL"
            unit.kill()
        unit.start()
        assert unit.execute("PING").data["mode"] == "SAFE"
        assert unit.events("BOOT_LOOP")
        assert unit.events("UNCLEAN_RESTART")


def _housekeeping_mode(unit: FlightUnit) -> str:
    unit.execute("SET_HOUSEKEEPING_RATE", period_s=0.1)
    with unit.telemetry("hk") as telemetry:
        _, _, packet = next(telemetry.packets(30))
    assert isinstance(packet, Housekeeping)
    return packet.mode.value


def test_the_scenes_on_board_are_listed(unit: FlightUnit, scene: str) -> None:
    listed = unit.execute("LIST_SCENES").data["scenes"]
    assert scene in [one["scene"] for one in listed]


def test_a_key_is_not_rotated_without_time_for_both_keys(unit: FlightUnit) -> None:
    new = {"public": "x" * 40, "nonce": "0" * 32, "secret": "0" * 64}
    answer = unit.execute("ROTATE_KEY", **new, old_until=1)
    assert (answer.stage, answer.code) == (Stage.REJECTED, Code.TIME_PASSED)


def test_every_telecommand_of_the_dictionary_is_tried_in_flight() -> None:
    text = "".join(path.read_text() for path in Path(__file__).parent.glob("test_flight_*.py"))
    assert [name for name in TELECOMMANDS if f'"{name}"' not in text] == []


def test_stopping_requeues_the_running_job_and_the_next_run_completes_it(
    tmp_path: Path, simulated: Simulated, small_package: Path
) -> None:
    with flight_unit(tmp_path / "unit", package=small_package, lines=_SLOW_CARD) as unit:
        scene = unit.add_scene(simulated.scene)
        unit.start()
        with unit.client() as client:
            sent = client.send("PROCESS_SCENE", {"scene": scene})
            stages = client.stages(sent, 60)
            assert next(stages).stage is Stage.ACCEPTED
            assert next(stages).stage is Stage.STARTED
        assert unit.stop() == 0
        assert not unit.events("JOB_COMPLETED")
        unit.start()
        wait_until(lambda: unit.events("JOB_COMPLETED"), seconds=120)
        job = unit.execute("LIST_JOBS").data["jobs"][0]
        assert job["state"] == "COMPLETED"
        assert job["attempts"] == 1  # the attempt that was cut short was given back
        started = unit.events("SERVICE_STARTED")
        assert "clean shutdown" in started[-1]["message"]
        with unit.client() as client:
            repeated = list(
                client.stages(client.send("PROCESS_SCENE", {"scene": scene}, id=sent), 60)
            )
        assert repeated[-1].stage is Stage.COMPLETED
        assert unit.execute("LIST_JOBS").data["total"] == 1


def test_restart_and_shut_down_end_with_the_statuses_that_systemd_knows(
    tmp_path: Path, small_package: Path
) -> None:
    with flight_unit(tmp_path / "unit", package=small_package) as unit:
        unit.start()
        assert unit.execute("RESTART").stage is Stage.COMPLETED
        assert unit.wait_for_end() == 75
        unit.start()
        assert "restart commanded" in unit.events("SERVICE_STARTED")[-1]["message"]
        assert unit.execute("SHUT_DOWN").stage is Stage.COMPLETED
        assert unit.wait_for_end() == 0


def test_schedule_over_a_restart_runs_late_or_reports_as_asked(
    tmp_path: Path, small_package: Path
) -> None:
    with flight_unit(tmp_path / "unit", package=small_package) as unit:
        unit.start()
        soon = time.time_ns() + 2 * 10**9
        wanted = {"name": "SET_PARAMETER", "args": {"name": "progress.period_s", "value": 9.0}}
        report = unit.execute("SCHEDULE", at=soon, telecommand=wanted)
        other = {"name": "SET_PARAMETER", "args": {"name": "processing.attempts", "value": 7}}
        run = unit.execute("SCHEDULE", at=soon, telecommand=other, if_missed="run")
        unit.kill()
        wait_until(lambda: time.time_ns() > soon)
        unit.start()
        wait_until(lambda: unit.execute("LIST_SCHEDULE").data["entries"] == [])
        values = {
            one["name"]: one["value"] for one in unit.execute("GET_PARAMETER").data["parameters"]
        }
        assert values["progress.period_s"] == 0.5
        assert values["processing.attempts"] == 7
        missed = unit.events("SCHEDULE_MISSED")
        assert [one["fields"]["entry"] for one in missed] == [report.data["entry"]]
        assert run.data["entry"] != report.data["entry"]
        assert unit.stop() == 0


def test_systemd_hears_ready_status_watchdog_and_stopping(
    tmp_path: Path, small_package: Path
) -> None:
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(60)
        with flight_unit(tmp_path / "unit", package=small_package) as unit:
            environ = {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "4000000"}
            unit.start(environ=environ)
            heard: set[str] = set()
            while not {"READY=1", "WATCHDOG=1"} <= heard or not any(
                one.startswith("STATUS=OPERATIONAL") for one in heard
            ):
                heard.add(manager.recv(4096).decode())
            unit.stop()
            while "STOPPING=1" not in heard:
                heard.add(manager.recv(4096).decode())


@pytest.mark.parametrize(
    ("spoil", "status", "words"),
    [
        ("newer", 7, "schema 99"),
        ("port", 8, "cannot be bound"),
        ("secret", 8, "chmod"),
        ("keys", 8, "flightsw keys generate"),
        ("unit", 8, "flightsw keys generate --unit NAME"),
    ],
)
def test_what_prevents_a_start_is_reported_with_its_cure(
    tmp_path: Path, spoil: str, status: int, words: str, small_package: Path
) -> None:
    with flight_unit(tmp_path / "unit", package=small_package) as unit, socket.socket() as taken:
        if spoil == "newer":
            unit.start()
            assert unit.stop() == 0
            with StateFile(unit.state) as state, state.transaction() as db:
                db.execute("UPDATE seals SET rows = 99 WHERE name = 'schema'")
                db.execute("PRAGMA user_version = 99")
        elif spoil == "port":
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            text = unit.settings.read_text()
            port = taken.getsockname()[1]
            unit.settings.write_text(text.replace("telemetry_port = 0", f"telemetry_port = {port}"))
        elif spoil == "secret":
            (unit.state / "keys" / "service.key_secret").chmod(0o644)
        elif spoil == "unit":
            public = unit.state / "keys" / "service.key"
            public.write_bytes(certificate(read_curve_public(public)))
        else:
            (unit.state / "keys" / "service.key_secret").unlink()
        done = run_command("flightsw", ["serve", "--settings", str(unit.settings)])
        assert done.returncode == status, done.stderr
        assert words in done.stderr


def test_a_second_daemon_on_the_same_state_is_refused(tmp_path: Path, small_package: Path) -> None:
    with flight_unit(tmp_path / "unit", package=small_package) as unit:
        unit.start()
        done = run_command("flightsw", ["serve", "--settings", str(unit.settings)])
        assert done.returncode == 7
        assert "another service" in done.stderr
        assert unit.execute("PING").stage is Stage.COMPLETED
        assert unit.stop() == 0


def test_a_shorter_housekeeping_period_takes_effect_immediately(unit: FlightUnit) -> None:
    with unit.telemetry("hk") as telemetry:
        unit.execute("SET_HOUSEKEEPING_RATE", period_s=0.2)
        packets = telemetry.packets(60)
        next(packets)
        unit.execute("SET_HOUSEKEEPING_RATE", period_s=3600)
        while list(telemetry.packets(2)):  # until the long period has begun
            pass
        unit.execute("SET_HOUSEKEEPING_RATE", period_s=0.2)
        assert len([next(packets) for _ in range(3)]) == 3
    restored = unit.execute("SET_PARAMETER", name="housekeeping.period_s", value=None)
    assert restored.stage is Stage.COMPLETED
