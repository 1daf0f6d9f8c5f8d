"""``groundsim dashboard`` as a process of its own, over encrypted links, with the real daemon."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zmq

from deploy.rig.flight_unit import FlightUnit
from deploy.rig.forked import flight_unit
from flightsw.keys import KeyFolder
from telecommands.dashboard.address import PageToken, token_of
from telecommands.dashboard.archive.reader import ArchiveReader
from telecommands.ground.connection import read_ground_keys
from telecommands.keys import (
    SERVICE_KEY,
    certificate,
    generate_curve_pair,
    generate_telecommand_key,
)
from tests.conftest import Simulated, run_command
from tests.unit.telecommands.dashboard.running import Client, answers, page_and_library, until

_STOP_S = 4.0


@pytest.fixture(scope="module")
def unit(
    tmp_path_factory: pytest.TempPathFactory, simulated: Simulated, small_package: Path
) -> Iterator[FlightUnit]:
    with flight_unit(tmp_path_factory.mktemp("unit"), package=small_package) as unit:
        unit.add_scene(simulated.scene)
        unit.start()
        unit.execute("SET_HOUSEKEEPING_RATE", period_s=0.2)
        yield unit


def _token(folder: Path, keys: Path, name: str, port: int) -> PageToken | None:
    key = read_ground_keys(keys, name).telecommand
    with ArchiveReader(folder / "archive.sqlite") as reader:
        return key and token_of(key, reader.bridge(), port, int(time.time()) + 3600)


@contextmanager
def _bridge(
    unit: FlightUnit, folder: Path, keys: Path | None = None, name: str = "operator"
) -> Iterator[tuple[Client, subprocess.Popen[str]]]:
    keys = keys or unit.ground
    arguments = [
        "dashboard", "--port", "0", "--fetch",
        "--archive", str(folder / "archive.sqlite"), "--received", str(folder / "received"),
        "--openmct", str(page_and_library(folder)["openmct"]),
        "--keys", str(keys), "--as", name, "--endpoints", str(unit.state / "endpoints.json"),
    ]  # fmt: skip
    command = [sys.executable, "-m", "telecommands.groundsim", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.match(r"http://127\.0\.0\.1:(\d+)/ ", line)
            assert found, line
            client = Client(int(found[1]), _token(folder, keys, name, int(found[1])))
            until(lambda: process.poll() is not None or answers(client))
            yield client, process
        finally:
            process.kill()


def test_a_scene_is_commanded_watched_and_received_and_ctrl_c_ends_it(
    unit: FlightUnit, simulated: Simulated, tmp_path: Path
) -> None:
    with _bridge(unit, tmp_path) as (client, process):
        with client.realtime("hk.uptime_s", "ver") as page:
            page.datum("hk.uptime_s")
            sent = client.command("PROCESS_SCENE", scene=simulated.scene.name,
                                  products=["geotiff", "report"]).json["id"]  # fmt: skip
            closing = page.first(
                lambda message: (
                    message.get("datum", {}).get("id") == sent
                    and message["datum"]["stage"] == "COMPLETED"
                )
            )
        assert closing["datum"]["name"] == "PROCESS_SCENE"
        stages = [one["stage"] for one in client.get(f"/api/telecommands/{sent}")]
        assert stages[0] == "ACCEPTED"
        assert stages[-1] == "COMPLETED"

        path = "/api/history/sci.cloud_fraction.contaminated?strategy=latest"
        [fraction] = until(lambda: client.get(path))  # the answer may overtake telemetry
        assert 0 < fraction["value"] < 1
        job = client.get("/api/history/sci.cloud_fraction.job?strategy=latest")[0]["value"]
        tile_map = client.get(f"/api/scenes/{job}/tile_map")
        assert (tile_map["rows"], tile_map["columns"]) == (3, 3)
        path = "/api/history/sci.cloud_fraction.stages_ms.accelerator.p99"
        assert client.get(path)[0]["value"] > 0

        client.closed(client.command("OPEN_CONTACT", bytes=10_000_000, seconds=60).json["id"])
        until(lambda: len(client.get("/api/products")) == 2)
        mask = next(one for one in client.get("/api/products") if one["kind"] == "geotiff")
        image = client.ask(mask["image"])
        assert image.headers["Content-Type"] == "image/png"
        assert image.body.startswith(b"\x89PNG")

        refused = client.command("SET_HOUSEKEEPING_RATE", period_s=1e9)
        assert refused.status == 400

        with client.realtime("hk.uptime_s") as page:  # an open page does not keep it
            page.datum("hk.uptime_s")
            process.send_signal(signal.SIGINT)
            assert process.wait(_STOP_S) == 0


def test_nothing_is_lost_over_restarts_of_bridge_and_daemon(
    unit: FlightUnit, tmp_path: Path
) -> None:
    with _bridge(unit, tmp_path) as (client, process):
        with client.realtime("hk.uptime_s") as page:
            before = page.datum("hk.uptime_s")
            for _ in range(5):
                page.datum("hk.uptime_s")
        process.kill()
        process.wait(_STOP_S)
    with _bridge(unit, tmp_path) as (client, _):
        with client.realtime("hk.uptime_s") as page:
            page.first(lambda message: message.get("datum", {}).get("seq", 0) > before["seq"] + 10)
            history = client.get("/api/history/hk.uptime_s")
            numbers = [datum["seq"] for datum in history if "gap" not in datum]
            missing = [datum["gap"] for datum in history if "gap" in datum]
            assert numbers == sorted(set(numbers))
            assert numbers[-1] - numbers[0] + 1 == len(numbers) + sum(missing)
            boot = before["boot"]

            assert unit.stop() == 0
            page.first(lambda message: message.get("link", {}).get("state") == "down")
            unit.start()
            page.first(lambda message: message.get("link", {}).get("state") == "up")
            after = page.first(lambda message: message.get("datum", {}).get("boot", 0) > boot)
        assert after["datum"]["boot"] == boot + 1
        assert client.closed(client.command("PING").json["id"])[-1]["stage"] == "COMPLETED"
    exported = run_command(
        "telecommands.groundsim",
        ["export", str(tmp_path / "archive.sqlite"), "--keys", "hk.boots,evt"],
    )
    assert exported.returncode == 0, exported.stderr
    assert "SERVICE_STARTED" in exported.stdout or "SERVICE_STOPPING" in exported.stdout


def test_the_link_says_which_key_does_not_fit_and_comes_up_once_they_do(
    unit: FlightUnit, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    generate_curve_pair(keys, "visitor")
    generate_telecommand_key(keys, "visitor")
    trusted = keys / SERVICE_KEY
    trusted.write_bytes(certificate(zmq.curve_keypair()[0]))
    with (
        _bridge(unit, tmp_path, keys, "visitor") as (client, _),
        client.realtime() as page,
    ):

        def reported(cause: str) -> None:
            page.first(lambda message: cause in message.get("link", {}).get("cause", ""))

        reported("the CURVE keys do not match")
        trusted.write_bytes((unit.ground / SERVICE_KEY).read_bytes())
        reported("rejects this client's key")
        KeyFolder(unit.state / "keys").authorise(
            keys / "visitor.key", keys / "visitor.telecommand_key"
        )
        page.first(lambda message: message.get("link", {}).get("state") == "up")
        assert client.closed(client.command("PING").json["id"])[-1]["stage"] == "COMPLETED"


def test_without_keys_it_says_what_is_missing(tmp_path: Path) -> None:
    library = page_and_library(tmp_path)["openmct"]
    done = run_command(
        "telecommands.groundsim",
        ["dashboard", "--port", "0", "--keys", str(tmp_path), "--openmct", str(library)],
    )
    assert done.returncode == 1
    assert "operator.key_secret" in done.stderr
    assert done.stderr.count("\n") == 1
