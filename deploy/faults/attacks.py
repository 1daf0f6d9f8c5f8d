"""PING of an operator while the unit is attacked: how long it takes, and what escapes.

One unit serves all attacks in turn; the attackers run beside it (:mod:`deploy.faults.attackers`).
Attackers, and the other work of the machine, do not run on a flight unit: if that is allowed, unit
and operator get a real-time priority, so that PING does not wait for a core that these use.
"""

from __future__ import annotations

import gc
import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
import zmq

from deploy.faults.attackers import ATTACKS, COMMANDER, RECEIVER, WATCHER, Target, attacking
from deploy.rig.flight_unit import FlightUnit, flight_unit
from flightsw.downlink.catalogue import NewProduct, ProductCatalogue
from flightsw.keys import KeyFolder
from flightsw.state import StateFile
from telecommands.auth import TelecommandKey, sign
from telecommands.codec import decode_as
from telecommands.dictionary import (
    OpenContact,
    ProductRecord,
    Role,
    TelecommandBody,
    Verification,
)
from telecommands.ground.connection import Connection
from telecommands.ground.sequence import SequenceFile
from telecommands.keys import generate_curve_pair, generate_telecommand_key

PRODUCT_BYTES: Final = 12 << 20
SECONDS: Final = 10.0  # of one attack

_ROLES: Final = {
    WATCHER: {Role.WATCH},
    RECEIVER: {Role.RECEIVE},
    COMMANDER: {Role.WATCH, Role.COMMAND, Role.RECEIVE},
}
_PARAMETER: Final = "processing.waiting_jobs"
_PERIOD_S: Final = 0.05  # between two PINGs
_PATIENCE_S: Final = 10.0  # for one
_START_SECONDS: Final = 300.0


def attack_trials(folder: Path, seed: int, first: int) -> Iterator[dict[str, Any]]:
    """Each attack in turn, from the number ``first`` on, against one unit."""
    with attacked_unit(folder / f"unit-{first}", _ROLES) as (unit, product):
        while True:
            name = [*ATTACKS][first % len(ATTACKS)]
            yield attack_once(unit, product, name, SECONDS, seed * 1_000_000 + first)
            first += 1


@contextmanager
def attacked_unit(
    folder: Path, clients: Mapping[str, Set[Role]]
) -> Iterator[tuple[FlightUnit, ProductRecord]]:
    """A running unit with one product and these clients; each has a telecommand key.

    Its engine is one that no machine without TensorRT opens: the links are attacked, and an engine
    that is opened meanwhile would add to the memory that is measured.
    """
    with flight_unit(folder, engines=("tensorrt",)) as unit:
        for name, roles in clients.items():
            generate_curve_pair(unit.ground, name)
            secret = generate_telecommand_key(unit.ground, name)
            KeyFolder(unit.state / "keys").authorise(
                unit.ground / f"{name}.key", secret, roles=frozenset(roles)
            )
        product = _add_product(unit.state)
        unit.start(wait=False)
        if not unit.announced.wait(_START_SECONDS):
            raise RuntimeError(f"the service does not start: {unit.log[-5:]}")
        yield unit, product


def attack_once(
    unit: FlightUnit, product: ProductRecord, name: str, seconds: float, seed: int
) -> dict[str, Any]:
    """What PING took in milliseconds meanwhile, and what was possible that must not be."""
    unit.execute(OpenContact.NAME, bytes=2**40, seconds=3600)
    with _Operator(unit) as operator:
        replayed = operator.send("SET_PARAMETER", {"name": _PARAMETER, "value": 3})
        operator.send("SET_PARAMETER", {"name": _PARAMETER, "value": 9})
        before = _commanded(unit)
        memory = _memory_bytes(unit)
        target = Target(unit.ground, unit.endpoints, product.product, replayed, seconds, seed)
        assert unit.process is not None
        with (
            _set_apart(unit.process.pid, os.getpid()) as apart,
            attacking(name, target) as ended,
        ):
            latencies, unanswered = operator.ping_until(time.monotonic() + seconds)
            attempt = ended()
        escapes = list(attempt.escapes)
        if (after := _commanded(unit)) != before:
            escapes.append(f"the unit changed from {before} to {after}")
    return {
        "seed": seed,
        "attack": name,
        "apart": apart,
        "sent": attempt.sent,
        "ping_ms": latencies,
        "unanswered": unanswered,
        "grown_bytes": _memory_bytes(unit) - memory,
        "findings": escapes + [f"{unanswered} PINGs had no answer"] * bool(unanswered),
    }


def text_of_attacks(results: Sequence[Mapping[str, Any]]) -> str:
    """A table of PING under each attack, and the findings."""
    lines = [
        "| attack | messages or connections | PINGs | P50 ms | P99 ms | longest ms | findings |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name in ATTACKS:
        own = [one for one in results if one["attack"] == name]
        if not own:
            continue
        latencies = np.array([ms for one in own for ms in one["ping_ms"]])
        p50, p99 = np.percentile(latencies, (50, 99))
        sent, found = (sum(map(count, own)) for count in (_sent, _findings))
        lines.append(
            f"| {name} | {sent:,} | {latencies.size} | {p50:.1f} | {p99:.1f}"
            f" | {latencies.max():.1f} | {found} |"
        )
    if not all(one["apart"] for one in results):
        lines.append(
            "Not all had a real-time priority: the figures contain the machine's other work."
        )
    findings = [f"{one['attack']}: {text}" for one in results for text in one["findings"]]
    return "\n".join((*lines, *findings[:20]))


class _Operator:
    """The operator's link, with nothing between the frames and the clock."""

    def __init__(self, unit: FlightUnit) -> None:
        keys = unit.keys
        assert keys.telecommand is not None
        self._key: TelecommandKey = keys.telecommand
        self._unit = keys.unit
        self._sequence = SequenceFile(unit.ground / "operator.sequence")
        self._link = Connection(zmq.DEALER, unit.endpoints["telecommand"], keys)

    def __enter__(self) -> _Operator:
        return self

    def __exit__(self, *_: object) -> None:
        self._link.close()

    def send(self, name: str, args: Mapping[str, Any]) -> tuple[bytes, bytes]:
        """Send a telecommand and wait until it is completed; its frames."""
        frames = self._signed(name, args)
        self._link.send(*frames)
        if not self._closes(time.monotonic() + _PATIENCE_S):
            raise RuntimeError(f"{name} was not answered")
        return frames

    def ping_until(self, end: float) -> tuple[list[float], int]:
        """PING at intervals; milliseconds of each, and how many had no answer."""
        latencies, unanswered = list[float](), 0
        gc.collect()
        gc.disable()  # a pause of this process is none of the service
        try:
            while (now := time.monotonic()) < end:
                frames = self._signed("PING", {})
                begun = time.perf_counter()
                self._link.send(*frames)
                if self._closes(time.monotonic() + _PATIENCE_S):
                    latencies.append(round((time.perf_counter() - begun) * 1000, 3))
                else:
                    unanswered += 1
                time.sleep(max(0.0, now + _PERIOD_S - time.monotonic()))
        finally:
            gc.enable()
        return latencies, unanswered

    def _signed(self, name: str, args: Mapping[str, Any]) -> tuple[bytes, bytes]:
        number = self._sequence.next()
        body = TelecommandBody(
            id=f"operator{number}", name=name, args=dict(args), sent_at=time.time_ns()
        )
        return sign(self._key, self._unit, number, body)

    def _closes(self, deadline: float) -> bool:
        while (received := self._link.receive(deadline)) is not None:
            if decode_as(Verification, received[-1].bytes, "the answer").stage.closes:
                return True
        return False


@contextmanager
def _set_apart(*processes: int) -> Iterator[bool]:
    """All threads of these run before ordinary ones meanwhile; whether that was allowed."""
    threads = [
        int(one.name) for number in processes for one in Path(f"/proc/{number}/task").iterdir()
    ]
    try:
        # Attackers that start meanwhile are ordinary processes.
        for thread in threads:
            policy = os.SCHED_RR | os.SCHED_RESET_ON_FORK
            os.sched_setscheduler(thread, policy, os.sched_param(1))
    except PermissionError:
        yield False
        return
    try:
        yield True
    finally:
        for thread in threads:
            with suppress(ProcessLookupError):
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


def _commanded(unit: FlightUnit) -> dict[str, Any]:
    """What an attacker could have changed."""
    (parameter,) = unit.execute("GET_PARAMETER", name=_PARAMETER).data["parameters"]
    products = unit.execute("LIST_PRODUCTS").data["products"]
    return {
        "mode": unit.execute("PING").data["mode"],
        "parameter": parameter["value"],
        "schedule": len(unit.execute("LIST_SCHEDULE").data["entries"]),
        "products": [(one["product"], one["state"]) for one in products],
    }


def _memory_bytes(unit: FlightUnit) -> int:
    assert unit.process is not None
    status = Path(f"/proc/{unit.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def _sent(result: Mapping[str, Any]) -> int:
    return int(result["sent"])


def _findings(result: Mapping[str, Any]) -> int:
    return len(result["findings"])


def _add_product(state_dir: Path) -> ProductRecord:
    """One product on board, as a job would have left it."""
    path = state_dir / "products" / "J1" / "mask.bin"
    path.parent.mkdir(parents=True)
    content = bytes(range(256)) * (PRODUCT_BYTES // 256)
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    with StateFile(state_dir) as state:
        new = NewProduct("mask", path, len(content), digest, 0.5)
        return ProductCatalogue(state).add("J1", [new], time.time_ns())[0]
