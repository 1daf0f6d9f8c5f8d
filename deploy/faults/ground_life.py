"""A ground station that works with a flight unit through all its deaths, and remembers everything.

It commands, receives products and listens to telemetry, each in a thread; what it was answered is
its record, against which :mod:`deploy.faults.checker` holds the unit.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from deploy.faults.checker import GroundRecord, PacketNumber, Promise, PromiseKind
from deploy.rig.flight_unit import FlightUnit
from telecommands.dictionary import Code, Stage, Verification
from telecommands.ground.commanding import TelecommandClient
from telecommands.ground.downlink import ReceivedProduct
from telecommands.ground.errors import GroundError

CONTACT_BYTES: Final = 2_000_000
ATTEMPTS: Final = 10
_PRODUCTS: Final = (("geotiff", "report"), ("geotiff", "stac", "report"), ("mask", "report"))
_DONE: Final = Stage.COMPLETED
_POLL_S: Final = 0.05
_MOST_WAITING: Final = 3
_SILENCE_S: Final = 1.0
_SETTLE_S: Final = 600.0
_PAUSE_S: Final = 0.3


class GroundLife:
    """One operator, one receiver, one listener; ``scenes`` are below the unit's scene root.

    Every ``pause_s`` seconds it sends a telecommand.
    """

    def __init__(
        self,
        unit: FlightUnit,
        scenes: Sequence[str],
        choice: random.Random,
        *,
        models: Sequence[Mapping[str, str]] = (),
        pause_s: float = _POLL_S,
    ) -> None:
        self._unit = unit
        self._scenes = scenes
        self._choice = choice
        self._models = models
        self._pause_s = pause_s
        self._sent: dict[str, tuple[str, dict[str, Any]]] = {}
        self.promises: list[Promise] = []
        """All that the record holds, with its time."""
        self.masks: set[str] = set()
        """SHA-256 of the masks received as GeoTIFF."""
        self.record = GroundRecord(
            received=unit.folder / "received", sequence=unit.ground / "operator.sequence"
        )
        self._received = unit.folder / "received"

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Command, receive and listen while the body runs."""
        over = threading.Event()
        threads = [
            threading.Thread(target=self._while_alive, args=(work, over))
            for work in (self._command, self._receive, self._listen)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def execute(self, name: str, /, **args: Any) -> Verification:
        """One telecommand by a client of its own; its closing stage."""
        with self._unit.client() as client:
            return self._execute(client, name, args)

    def settle(self) -> None:
        """Carry out one more job, let every job end, receive every product; the daemon listens."""
        with self._unit.client() as client:
            assert self._execute(client, "SET_MODE", {"mode": "OPERATIONAL"}).stage is _DONE
            last = {"scene": self._scenes[0], "products": ["geotiff", "report"], "priority": 9}
            assert self._execute(client, "PROCESS_SCENE", last).stage is _DONE
            deadline = time.monotonic() + _SETTLE_S
            while True:
                states = {"states": ["QUEUED", "RUNNING"]}
                if not self._execute(client, "LIST_JOBS", states).data["jobs"]:
                    break
                assert time.monotonic() < deadline, "jobs do not end"
                time.sleep(_PAUSE_S)
            while self._execute(client, "LIST_PRODUCTS", {"states": ["QUEUED"]}).data["total"]:
                assert time.monotonic() < deadline, "products are not received"
                self._execute(client, "OPEN_CONTACT", {"bytes": CONTACT_BYTES, "seconds": 600})
                with self._unit.receiver(self._received) as receiver:
                    while product := receiver.receive_next(timeout_s=60):
                        self._keep(product)

    # --- Threads -----------------------------------------------------------------------------

    def _while_alive(self, work: Callable[[threading.Event], None], over: threading.Event) -> None:
        while not over.is_set():
            with suppress(GroundError):  # the daemon died, or is being born
                work(over)
            over.wait(_POLL_S)

    def _command(self, over: threading.Event) -> None:
        with self._unit.client() as client:
            self._send(client, "SET_PARAMETER", {"name": "processing.attempts", "value": ATTEMPTS})
            operational = False
            while not over.is_set():
                if operational:
                    self._send(client, *self._next_telecommand())
                else:  # it starts, or repeated deaths have led to SAFE
                    self._send(client, "SET_MODE", {"mode": "OPERATIONAL"})
                for verification in client.arrivals(self._pause_s if operational else _PAUSE_S):
                    self._note(verification)
                    operational |= verification.name == "SET_MODE" and verification.stage is _DONE
                    operational &= verification.code is not Code.NOT_IN_THIS_MODE

    def _receive(self, over: threading.Event) -> None:
        with self._unit.receiver(self._received) as receiver:
            while not over.is_set():
                product = receiver.receive_next(timeout_s=_SILENCE_S)
                if product is None:
                    over.wait(_PAUSE_S)
                else:
                    self._keep(product)

    def _keep(self, product: ReceivedProduct) -> None:
        self._promise("delivered", product.product, product.sha256)
        if product.kind == "geotiff":
            self.masks.add(product.sha256)

    def _listen(self, over: threading.Event) -> None:
        with self._unit.telemetry() as client:
            while not over.is_set():
                for topic, packet, _ in client.packets(_PAUSE_S):
                    self.record.packets.append(PacketNumber(packet.boot, topic, packet.seq))

    # --- Telecommands ------------------------------------------------------------------------

    def _next_telecommand(self) -> tuple[str, dict[str, Any]]:
        choice = self._choice
        jobs, products = list(self.record.accepted.values()), list(self.record.delivered)
        waiting = len(self.record.accepted.keys() - self.record.closed.keys())
        kinds = {"OPEN_CONTACT": 3, "SET_PARAMETER": 2}
        kinds |= {"PROCESS_SCENE": 8, "SCHEDULE": 1} if waiting < _MOST_WAITING else {}
        kinds |= {"CANCEL_JOB": 2} if jobs else {}
        kinds |= {"DELETE_PRODUCT": 2} if products else {}
        kinds |= (
            {"STAGE_MODEL": 1, "ACTIVATE_MODEL": 1, "ROLL_BACK_MODEL": 1} if self._models else {}
        )
        name = choice.choices(list(kinds), list(kinds.values()))[0]
        arguments: dict[str, Callable[[], dict[str, Any]]] = {
            "PROCESS_SCENE": self._scene,
            "OPEN_CONTACT": lambda: {"bytes": CONTACT_BYTES, "seconds": choice.uniform(1, 60)},
            "SET_PARAMETER": lambda: {
                "name": "downlink.chunk_bytes", "value": choice.choice([4096, 65_536, None])
            },
            "SCHEDULE": lambda: {
                "at": time.time_ns() + choice.randrange(3 * 10**9),
                "telecommand": {"name": "PROCESS_SCENE", "args": self._scene()},
                "if_missed": choice.choice(["run", "report"]),
            },
            "CANCEL_JOB": lambda: {"job": choice.choice(jobs[-4:])},
            "DELETE_PRODUCT": lambda: {"product": choice.choice(products)},
            "STAGE_MODEL": lambda: self._model("package", "sha256"),
            "ACTIVATE_MODEL": lambda: self._model("model"),
            "ROLL_BACK_MODEL": dict,
        }  # fmt: skip
        return name, arguments[name]()

    def _scene(self) -> dict[str, Any]:
        return {
            "scene": self._choice.choice([*self._scenes, *self._scenes, "absent.SAFE"]),
            "products": list(self._choice.choice(_PRODUCTS)),
            "priority": self._choice.randrange(10),
        }

    def _model(self, *fields: str) -> dict[str, str]:
        model = self._choice.choice(self._models)
        return {name: model[name] for name in fields}

    def _send(self, client: TelecommandClient, name: str, args: dict[str, Any]) -> str:
        if name == "DELETE_PRODUCT":
            self._promise("deleting", args["product"])
        sent = client.send(name, args)
        self._sent[sent] = name, args
        return sent

    def _execute(self, client: TelecommandClient, name: str, args: dict[str, Any]) -> Verification:
        sent = self._send(client, name, args)
        for verification in client.stages(sent, 120):
            self._note(verification)
        return verification

    def _note(self, verification: Verification) -> None:
        name, args = self._sent.get(verification.id, ("", {}))
        reference = f"{self.record.key_id}/{verification.id}"
        if verification.stage is Stage.ACCEPTED and name == "PROCESS_SCENE":
            self._promise("accepted", reference, verification.data["job"])
        if verification.stage.closes and verification.stage is not Stage.REJECTED:
            if not name.startswith("LIST_"):
                self._promise("closed", reference, verification.stage.value)
            if name == "DELETE_PRODUCT" and verification.stage is _DONE:
                self._promise("deleted", args["product"])

    def _promise(self, kind: PromiseKind, name: str, value: str = "") -> None:
        promise = Promise(time.time(), kind, name, value)
        self.promises.append(promise)
        self.record.note(promise)
