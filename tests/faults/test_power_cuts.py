"""kill -9 at random moments of jobs and of transfers: nothing is lost, nothing is done twice."""

from __future__ import annotations

import hashlib
import random
import threading
from pathlib import Path

from deploy.rig.flight_unit import FlightUnit, flight_unit, wait_until
from telecommands.dictionary import Stage
from telecommands.ground.errors import GroundError
from tests.conftest import Simulated

_KILLS_OF_JOBS = 25
_KILLS_OF_TRANSFERS = 25
_JOBS = 6
_ATTEMPTS = 10


def _ready(unit: FlightUnit) -> None:
    """Start, and leave the SAFE mode that repeated power cuts cause."""
    unit.start()
    assert unit.execute("SET_MODE", mode="OPERATIONAL").stage is Stage.COMPLETED


def _jobs(unit: FlightUnit) -> dict[str, str]:
    return {job["job"]: job["state"] for job in unit.execute("LIST_JOBS").data["jobs"]}


def _cut_jobs_short(unit: FlightUnit, scene: str, random_moment: random.Random) -> list[str]:
    """Jobs under power cuts; returns the ids of all accepted jobs."""
    _ready(unit)
    unit.execute("SET_PARAMETER", name="processing.attempts", value=_ATTEMPTS)
    accepted: list[str] = []
    for kill in range(_KILLS_OF_JOBS):
        if len(accepted) < _JOBS:
            with unit.client() as client:
                products = ["fill", "geotiff", "report"]
                sent = client.send("PROCESS_SCENE", {"scene": scene, "products": products})
                accepted.append(next(client.stages(sent, 60)).data["job"])
        threading.Event().wait(random_moment.uniform(0, 2.5))  # the moment of the power cut
        unit.kill()
        if kill + 1 < _KILLS_OF_JOBS:
            _ready(unit)
    _ready(unit)
    wait_until(lambda: not {"QUEUED", "RUNNING"} & set(_jobs(unit).values()), seconds=180)
    return accepted


def _receive_all(unit: FlightUnit, folder: Path, got: dict[str, Path]) -> bool:
    """Receive until nothing is left; False if the service died meanwhile."""
    try:
        unit.execute("OPEN_CONTACT", timeout_s=20, bytes=10**12, seconds=3600)
        with unit.receiver(folder) as receiver:
            while product := receiver.receive_next(timeout_s=3):
                got[product.product] = product.path
    except GroundError:
        return False
    return True


def _cut_transfers_short(
    unit: FlightUnit, folder: Path, random_moment: random.Random
) -> dict[str, Path]:
    unit.execute("SET_PARAMETER", name="downlink.chunk_bytes", value=4096)
    got: dict[str, Path] = {}
    for _ in range(_KILLS_OF_TRANSFERS):
        receiving = threading.Thread(target=_receive_all, args=(unit, folder, got))
        receiving.start()
        threading.Event().wait(random_moment.uniform(0, 0.4))  # the moment of the power cut
        unit.kill()
        receiving.join(60)
        assert not receiving.is_alive()
        unit.start()
    while not _receive_all(unit, folder, got):
        pass
    return got


def test_fifty_power_cuts_lose_no_job_and_deliver_every_product_once(
    tmp_path: Path, simulated: Simulated
) -> None:
    random_moment = random.Random(20221005)
    with flight_unit(tmp_path / "unit") as unit:
        scene = unit.add_scene(simulated.scene)
        accepted = _cut_jobs_short(unit, scene, random_moment)
        jobs = unit.execute("LIST_JOBS").data["jobs"]
        assert [job["job"] for job in jobs] == accepted[::-1]  # each exactly once
        completed = [job for job in jobs if job["state"] == "COMPLETED"]
        assert completed
        for job in jobs:
            if job not in completed:  # interrupted as often as is allowed, and recorded as such
                assert (job["code"], job["attempts"]) == ("ATTEMPTS_EXHAUSTED", _ATTEMPTS)

        listed = unit.execute("LIST_PRODUCTS", limit=500).data["products"]
        assert len(listed) == len(completed) * 5  # three filled bands, mask, report of each
        _cut_transfers_short(unit, tmp_path / "got", random_moment)

        assert unit.execute("LIST_PRODUCTS").data["total"] == 0  # nothing is left to downlink
        whole = [path for path in (tmp_path / "got").rglob("*") if path.is_file()]
        assert len(whole) == len(listed)  # and no part of a file is left
        received = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in whole}
        for product in listed:
            path = tmp_path / "got" / product["job"] / product["name"]
            assert hashlib.sha256(path.read_bytes()).hexdigest() == product["sha256"]
        assert len(received) == 5  # a scene has the same names, however often interrupted
        masks = {one["sha256"] for one in listed if one["kind"] == "geotiff"}
        assert len(masks) == 1  # and the same bytes
        delivered = [line["fields"]["product"] for line in unit.events("PRODUCT_DELIVERED")]
        assert len(delivered) == len(set(delivered))
        assert unit.stop() == 0
