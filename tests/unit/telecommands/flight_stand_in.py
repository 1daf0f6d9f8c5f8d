"""A minimal flight service on real loopback sockets, without processing.

It keeps the interface's rules of authentication and answers in the dictionary's types; a scene
whose name says ``corrupt`` fails, one outside the scene root is rejected, SELF_TEST is
accepted and never closed.
"""

from __future__ import annotations

import hashlib
import json
import queue
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import msgspec
import zmq
from typing_extensions import Self

from flightsw.commanding.arming import ArmedTelecommands
from telecommands.auth import SequenceWindow, TelecommandKey, verify
from telecommands.codec import (
    check_frames,
    convert_arguments,
    decode_body,
    decode_header,
    encode,
    encode_packet,
)
from telecommands.dictionary import (
    Arm,
    Code,
    ContactState,
    DownlinkClass,
    Event,
    Housekeeping,
    JobCounts,
    Mode,
    NothingNow,
    OpenContact,
    ProcessScene,
    ProductCounts,
    ProductOffer,
    Record,
    SetMode,
    Severity,
    Stage,
    Telecommand,
    TelecommandBody,
    TelecommandCounts,
    Topic,
    Verification,
)
from telecommands.keys import CurvePair
from telecommands.refusal import Refusal
from tests.unit.telecommands.simulated_links import AnsweringSocket, SimulatedDownlink

UNIT = "sat-a"
REPORT = b"contaminated: 25 %\n" * 1000


def housekeeping(**fields: object) -> Housekeeping:
    values: dict[str, object] = {
        "mode": Mode.OPERATIONAL,
        "uptime_s": 5.0,
        "boots": 1,
        "unclean_boots": 0,
        "reset_cause": "power on",
        "jobs": JobCounts(),
        "products": ProductCounts(),
        "telecommands": TelecommandCounts(),
        "clock_trusted": True,
        "sent_at_checked": True,
        "scheduled": 0,
        "contact": ContactState(),
        "packets_dropped": 0,
        "events_squelched": 0,
        "card_temperature_c": 41.0,
        "card_power_w": 9.0,
        "card_energy_j": 3.0,
        "cpu_temperature_c": None,
        "cpu_share": 0.1,
        "memory_bytes": 300_000_000,
        "disk_free_bytes": 10**10,
        "storage_used_bytes": 0,
        "storage_quota_bytes": 2 * 10**10,
        "active_model": "dtacsnet-cd-0.1.0",
        "engine": "dimc",
        "device": "simulator",
        "device_state": "ready",
        "heartbeats": {"commanding": 0.1},
    }
    return Housekeeping(**{**values, **fields})  # type: ignore[arg-type]


def event(name: str, *, severity: Severity = Severity.ACTIVITY, message: str = "") -> Event:
    return Event(event=name, severity=severity, message=message or name.lower())


class FlightStandIn:
    """Three links on free ports.  A context manager."""

    def __init__(
        self,
        key: TelecommandKey,
        *,
        pair: CurvePair | None = None,
        authorised: Collection[bytes] = (),
        unit: str = UNIT,
    ) -> None:
        self.unit = unit
        self.ran: list[TelecommandBody] = []
        self.contact_open = False
        self.rejects = False
        self.results: dict[str, dict[str, object]] = {}  # of telecommands, by name
        self.modes = [Mode.OPERATIONAL]  # of one PING after the other; the last one stays
        self._offers: list[tuple[ProductOffer, bytes]] = []
        self.downlink = SimulatedDownlink([])
        self._key = key
        self._window = SequenceWindow()
        self._armed = ArmedTelecommands(lambda: 30.0)
        self._telecommands = AnsweringSocket(self._answer, pair=pair, authorised=authorised)
        self._products = AnsweringSocket(self._serve, pair=pair, authorised=authorised)
        self.telemetry = TelemetryStandIn(pair, unit)

    def endpoints(self, folder: Path) -> Path:
        path = folder / "endpoints.json"
        links = {
            "unit": self.unit,
            "telecommand": self._telecommands.endpoint,
            "telemetry": self.telemetry.endpoint,
            "downlink": self._products.endpoint,
        }
        path.write_text(json.dumps(links))
        return path

    def offer(self, name: str, content: bytes) -> None:
        offer = ProductOffer(
            unit=self.unit,
            product=f"product-{Path(name).name}",
            job="job-1",
            kind="report",
            downlink_class=DownlinkClass.SUMMARY,
            name=name,
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            chunk_bytes=4096,
            confirmed=0,
        )
        self._offers.append((offer, content))
        self.downlink = SimulatedDownlink(self._offers)

    def __enter__(self) -> Self:
        self._telecommands.__enter__()
        self._products.__enter__()
        self.telemetry.start()
        self.telemetry.publish("hk", housekeeping())
        return self

    def __exit__(self, *_: object) -> None:
        self.telemetry.stop()
        self._products.__exit__(None, None, None)
        self._telecommands.__exit__(None, None, None)

    def _serve(self, frames: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
        if not self.contact_open:
            yield [encode(NothingNow(code="NO_CONTACT"))]
            return
        yield from self.downlink(frames)

    def _answer(self, frames: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
        body = None
        try:
            header_frame, body_frame = check_frames(frames)
            header, body = decode_header(header_frame), decode_body(body_frame)
            if header.unit != self.unit:
                raise Refusal(Code.WRONG_UNIT, f"this is {self.unit}")
            if header.key_id != self._key.key_id:
                raise Refusal(Code.UNKNOWN_KEY, f"no key {header.key_id}")
            verify(header, body_frame, self._key)
            self._window = self._window.take(header.sequence)
            telecommand = convert_arguments(body.name, body.args)
            self._armed.check(header.key_id, telecommand, body.arm, time.monotonic())
            if self.rejects:
                raise Refusal(Code.NOT_IN_THIS_MODE, "not now", "Ask later")
            stages = list(self._stages(body, telecommand))
        except Refusal as refusal:
            stages = [
                Verification(
                    id=body.id if body else "",
                    name=body.name if body else "",
                    stage=Stage.REJECTED,
                    at=time.time_ns(),
                    code=refusal.code,
                    cause=refusal.cause,
                    cure=refusal.cure,
                )
            ]
        for verification in stages:
            yield [encode(verification)]

    def _stages(self, body: TelecommandBody, telecommand: Telecommand) -> Iterator[Verification]:
        def stage(stage: Stage, **fields: object) -> Verification:
            return Verification(
                id=body.id, name=body.name, stage=stage, at=time.time_ns(), **fields  # type: ignore[arg-type]
            )  # fmt: skip

        if isinstance(telecommand, ProcessScene) and ".." in telecommand.scene:
            raise Refusal(
                Code.OUTSIDE_SCENE_ROOT,
                "the scene is outside the scene root",
                "Give a scene below it",
            )
        self.ran.append(body)
        yield stage(Stage.ACCEPTED, data={"job": "job-1"} if body.name == "PROCESS_SCENE" else {})
        if isinstance(telecommand, ProcessScene):
            yield from self._process(telecommand, stage)
        elif isinstance(telecommand, SetMode):
            self.telemetry.publish("hk", housekeeping(mode=Mode(telecommand.mode)))
            yield stage(Stage.COMPLETED)
        elif isinstance(telecommand, OpenContact):
            self.contact_open = True
            yield stage(Stage.COMPLETED)
        elif isinstance(telecommand, Arm):
            armed = self._armed.arm(
                self._key.key_id, telecommand, f"arm-{body.id}", time.monotonic()
            )
            yield stage(Stage.COMPLETED, data=msgspec.to_builtins(armed))
        elif body.name == "PING":
            mode = self.modes.pop(0) if len(self.modes) > 1 else self.modes[0]
            data = {"t": time.time_ns(), "mode": mode.value, "uptime_s": 5.0}
            yield stage(Stage.COMPLETED, data=data)
        elif body.name != "SELF_TEST":
            yield stage(Stage.COMPLETED, data=self.results.get(body.name, {}))

    def _process(self, telecommand: ProcessScene, stage) -> Iterator[Verification]:  # type: ignore[no-untyped-def]
        yield stage(Stage.STARTED)
        if "corrupt" in telecommand.scene:
            yield stage(Stage.FAILED, code=Code.CORRUPT_IMAGE, cause="B03 ends early")
            return
        yield stage(Stage.PROGRESS, step=512, of=1024)
        self.offer("report.json", REPORT)
        self.telemetry.publish("evt", event("JOB_COMPLETED", message="job-1"))
        data = {"job": "job-1", "contaminated": 0.25, "products": ["product-report.json"]}
        yield stage(Stage.COMPLETED, data=data)


class TelemetryStandIn:
    """An XPUB that sends each new subscriber the latest packet of each topic it asks for."""

    def __init__(self, pair: CurvePair | None = None, unit: str = UNIT) -> None:
        self._unit = unit
        self._context = zmq.Context()
        self._waiting: queue.Queue[tuple[Topic, Record]] = queue.Queue()
        self._stop = threading.Event()
        self._latest: dict[bytes, tuple[bytes, bytes]] = {}
        self._sequence: dict[str, int] = {}
        self._socket = self._context.socket(zmq.XPUB)
        self._socket.setsockopt(zmq.XPUB_VERBOSE, 1)
        if pair is not None:
            self._socket.curve_server = True
            self._socket.curve_publickey = pair.public
            self._socket.curve_secretkey = pair.secret
        port = self._socket.bind_to_random_port("tcp://127.0.0.1")
        self.endpoint = f"tcp://127.0.0.1:{port}"
        self._thread = threading.Thread(target=self._run, name="telemetry-stand-in")
        self.subscribed = threading.Event()

    def start(self) -> None:
        self._thread.start()

    def publish(self, topic: Topic, record: Record) -> None:
        self._waiting.put((topic, record))

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(10)
        self._context.destroy(linger=0)

    def _run(self) -> None:
        while not self._stop.is_set():
            while not self._waiting.empty():
                topic, record = self._waiting.get()
                number = self._sequence[topic] = self._sequence.get(topic, 0) + 1
                frames = encode_packet(
                    topic, record, unit=self._unit, boot=1, sequence=number, t=time.time_ns()
                )
                self._latest[frames[0]] = frames
                self._socket.send_multipart(frames)
            if self._socket.poll(5):
                request = self._socket.recv()
                if request[:1] == b"\x01":
                    for name, frames in self._latest.items():
                        if name.startswith(request[1:]):
                            self._socket.send_multipart(frames)
                    self.subscribed.set()
