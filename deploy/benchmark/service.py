"""The flight service: how fast it answers, what it costs, what a flood and a stuck listener do."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
import psutil
import zmq

from deploy.rig.flight_unit import FlightUnit, flight_unit
from telecommands.auth import sign
from telecommands.codec import decode_as
from telecommands.dictionary import Stage, TelecommandBody, Verification
from telecommands.ground.connection import Connection
from telecommands.ground.sequence import SequenceFile
from telecommands.groundsim.scenes.scene import SceneRequest, simulate_scene

_IDLE_SECONDS: Final = 30.0
_STARTS: Final = 20
_FLOOD_RATE: Final = 1000
_FLOOD_SECONDS: Final = 60.0
_PING_PAUSE: Final = 0.02
_RUN_LIMIT_SECONDS: Final = 1800
_BULK_BYTES: Final = 512 << 20


def measure_service(scene: Path, rounds: int) -> dict[str, Any]:
    """Figures of one daemon: ms, MB, shares of one core, ratios; ``scene`` is a full one."""
    with _unit(scene.parent, scene) as (unit, small):
        memory, share = _idle(unit)
        starts = [_start_ms(unit, small) for _ in range(_STARTS)]
        idle = [ping for ping, _ in zip(_pings(unit), range(200), strict=False)]
        alone, inside = _against_the_command(unit, scene, rounds)
        loaded = _pings_during(unit, scene.name)
        flood = _flood(unit)
        lost, packets = _beside_a_stuck_listener(unit)
        downlink, plain = _downlink(unit, scene.name)
    p50, p99 = np.percentile(loaded, (50, 99))
    return {
        "idle_memory_mb": memory,
        "idle_core_share": share,
        "start_ms": median(starts),
        "start_worst_ms": max(starts),
        "ping_idle_p99_ms": float(np.percentile(idle, 99)),
        "ping_load_p50_ms": float(p50),
        "ping_load_p99_ms": float(p99),
        "ping_load_max_ms": max(loaded),
        "pings_under_load": len(loaded),
        "seconds_alone": median(alone),
        "seconds_in_service": median(inside),
        "ratio": median(one / other for one, other in zip(inside, alone, strict=True)),
        **flood,
        "stuck_listener_lost": lost,
        "stuck_listener_packets": packets,
        "downlink_mb_per_s": downlink,
        "plain_curve_mb_per_s": plain,
    }


@contextmanager
def _unit(work: Path, scene: Path) -> Iterator[tuple[FlightUnit, str]]:
    """A running unit with the full scene and a small one."""
    with tempfile.TemporaryDirectory(dir=work) as folder:
        small = simulate_scene(SceneRequest(Path(folder) / "small", size=600, seed=97)).scene
        with flight_unit(Path(folder) / "unit", threads=2) as unit:
            unit.add_scene(scene)
            unit.add_scene(small)
            unit.start()
            unit.execute("SET_PARAMETER", name="storage.reserve_bytes", value=10**6)
            yield unit, small.name
            unit.stop()


def _idle(unit: FlightUnit) -> tuple[float, float]:
    process = _process(unit)
    before = sum(process.cpu_times()[:2])
    time.sleep(_IDLE_SECONDS)
    share = (sum(process.cpu_times()[:2]) - before) / _IDLE_SECONDS
    return process.memory_info().rss / 1e6, share


def _start_ms(unit: FlightUnit, scene: str) -> float:
    """From the moment before sending to the job's STARTED, on the same clock."""
    with unit.client() as client:
        client.execute("PING", {}, 30)
        sent_at = time.time_ns()
        sent = client.send("PROCESS_SCENE", {"scene": scene})
        stages = list(client.stages(sent, 120))
    started = next(stage for stage in stages if stage.stage is Stage.STARTED)
    return (started.at - sent_at) / 1e6


def _pings(unit: FlightUnit) -> Iterator[float]:
    """Round trips in milliseconds, one after the other."""
    with unit.client() as client:
        while True:
            began = time.perf_counter()
            client.execute("PING", {}, 60)
            yield (time.perf_counter() - began) * 1e3
            time.sleep(_PING_PAUSE)


def _against_the_command(
    unit: FlightUnit, scene: Path, rounds: int
) -> tuple[list[float], list[float]]:
    """Seconds of the same scene by ``flightsw process`` and by the service, in turn."""
    alone, inside = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(dir=scene.parent) as out:
            command = ["process", str(scene), "-o", out, "--products", "geotiff,report", "--json"]
            done = subprocess.run(
                [sys.executable, "-m", "flightsw", *command, "--settings", str(unit.settings)],
                check=True,
                capture_output=True,
                timeout=_RUN_LIMIT_SECONDS,
            )
        alone.append(float(json.loads(done.stdout)["summary"]["seconds"]))
        with unit.telemetry("sci.cloud_fraction") as telemetry:
            unit.execute("PROCESS_SCENE", timeout_s=_RUN_LIMIT_SECONDS, scene=scene.name)
            fractions = [body for _, _, body in telemetry.packets(5)]
        inside.append(fractions[-1].seconds)  # type: ignore[attr-defined]
    return alone, inside


def _pings_during(unit: FlightUnit, scene: str) -> list[float]:
    found: list[float] = []
    with unit.client() as client:
        sent = client.send("PROCESS_SCENE", {"scene": scene})
        stages = client.stages(sent, _RUN_LIMIT_SECONDS)
        while next(stages).stage is not Stage.STARTED:
            pass
        ended = threading.Event()

        def wait_for_end() -> None:
            for _ in stages:
                pass
            ended.set()

        threading.Thread(target=wait_for_end).start()
        for milliseconds in _pings(unit):
            found.append(milliseconds)
            if ended.is_set():
                break
    return found


def _flood(unit: FlightUnit) -> dict[str, Any]:
    """Valid, repeated, forged and malformed telecommands; PINGs of another client meanwhile."""
    process = _process(unit)
    stop, pings = threading.Event(), list[float]()

    def ping() -> None:
        for milliseconds in _pings(unit):
            pings.append(milliseconds)
            if stop.is_set():
                return

    _send_flood(unit, 1.0)  # warms up
    memory = process.memory_info().rss
    pinging = threading.Thread(target=ping)
    pinging.start()
    offered, unanswered, answers = _send_flood(unit, _FLOOD_SECONDS)
    stop.set()
    pinging.join(30)
    return {
        "flood_offered": offered,
        "flood_answers": dict(answers),
        "flood_unanswered": unanswered,
        "flood_memory_growth_mb": (process.memory_info().rss - memory) / 1e6,
        "flood_ping_p99_ms": float(np.percentile(pings, 99)),
    }


def _send_flood(unit: FlightUnit, seconds: float) -> tuple[int, int, Counter[str]]:
    """How many were sent, how many were not answered, and the answers by their code."""
    keys = unit.keys
    key = keys.telecommand
    assert key is not None
    sequence, answers = SequenceFile(unit.ground / "operator.sequence"), Counter[str]()
    waiting: set[str] = set()
    began, offered = time.monotonic(), 0
    with Connection(zmq.DEALER, unit.endpoints["telecommand"], keys) as connection:
        while (elapsed := time.monotonic() - began) < seconds:
            while offered < elapsed * _FLOOD_RATE:
                name = ("PING", "LIST_SCHEDULE", "NO_SUCH", "SET_PARAMETER")[offered % 4]
                body = TelecommandBody(id=f"flood-{offered}-{began}", name=name, sent_at=1)
                connection.send(*sign(key, keys.unit, sequence.next(), body))
                waiting.add(body.id)
                offered += 1
            _take_answers(connection, 0.001, waiting, answers)
        _take_answers(connection, 5.0, waiting, answers)
    return offered, len(waiting), answers


def _take_answers(
    connection: Connection, seconds: float, waiting: set[str], answers: Counter[str]
) -> None:
    deadline = time.monotonic() + seconds
    while waiting and (frames := connection.receive(deadline)) is not None:
        answer = decode_as(Verification, frames[0].bytes, "an answer")
        if answer.stage.closes and answer.id in waiting:
            waiting.discard(answer.id)
            answers[answer.code.value if answer.code else answer.stage.value] += 1


def _beside_a_stuck_listener(unit: FlightUnit) -> tuple[int, int]:
    """Packets that a good listener loses, and their total, while another listener never reads."""
    unit.execute("SET_HOUSEKEEPING_RATE", period_s=0.1)
    with unit.telemetry() as stuck, unit.telemetry() as good:
        next(iter(stuck.packets(30)))  # it is subscribed, and stops reading
        began, packets = time.monotonic(), 0
        with unit.client() as client:
            while time.monotonic() - began < 20:
                client.execute("PING", {}, 30)
                packets += sum(1 for _ in good.packets(0.01))
        packets += sum(1 for _ in good.packets(1.0))
        lost = good.lost.total()
    unit.execute("SET_PARAMETER", name="housekeeping.period_s", value=None)
    return lost, packets


def _downlink(unit: FlightUnit, scene: str) -> tuple[float, float]:
    """Megabytes a second of the largest product, written and hashed, and of bare CURVE sockets."""
    job = unit.execute(
        "PROCESS_SCENE", timeout_s=_RUN_LIMIT_SECONDS, scene=scene, products=["fill"]
    )
    assert job.stage is Stage.COMPLETED, job
    unit.execute("OPEN_CONTACT", bytes=10**12, seconds=3600)
    rates = []
    with unit.receiver(unit.folder / "received") as receiver:
        began = time.monotonic()
        while product := receiver.receive_next(30):
            if product.kind == "fill":
                rates.append(product.size / 1e6 / (time.monotonic() - began))
            began = time.monotonic()
    return median(rates), _plain_curve()


def _plain_curve() -> float:
    """The same bytes through two CURVE sockets of one process that do nothing else."""
    context = zmq.Context(io_threads=2)
    server_public, server_secret = zmq.curve_keypair()
    public, secret = zmq.curve_keypair()
    sender, receiver = context.socket(zmq.PUSH), context.socket(zmq.PULL)
    try:
        sender.curve_server, sender.curve_secretkey = True, server_secret
        sender.curve_publickey = server_public
        port = sender.bind_to_random_port("tcp://127.0.0.1")
        receiver.curve_serverkey = server_public
        receiver.curve_publickey, receiver.curve_secretkey = public, secret
        receiver.connect(f"tcp://127.0.0.1:{port}")
        chunk, count = bytes(1 << 20), _BULK_BYTES >> 20

        def send() -> None:
            for _ in range(count):
                sender.send(chunk, copy=False)

        began = time.monotonic()
        thread = threading.Thread(target=send)
        thread.start()
        for _ in range(count):
            receiver.recv(copy=False)
        thread.join(60)
        return _BULK_BYTES / 1e6 / (time.monotonic() - began)
    finally:
        context.destroy(linger=0)


def _process(unit: FlightUnit) -> psutil.Process:
    assert unit.process is not None
    return psutil.Process(unit.process.pid)
