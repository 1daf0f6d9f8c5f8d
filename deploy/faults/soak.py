"""``python -m deploy.faults.soak``: an accelerated week of one flight unit, with faults.

A daemon runs without a restart while the ground commands, receives and listens, its card fails in
every way that does not end it, and its clock makes the jumps that a week has.  At the end nothing
may be lost or done twice, and memory, descriptors, threads and the time of a PING must be flat.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import psutil
from numpy.typing import NDArray

from deploy.faults.checker import Limits, check
from deploy.faults.ground_life import ATTEMPTS, CONTACT_BYTES, GroundLife
from deploy.faults.laboratory import Laboratory
from deploy.faults.moved_clock import hook, set_offset
from deploy.rig.flight_unit import FlightUnit, flight_unit
from telecommands.dictionary import Stage
from telecommands.ground.errors import GroundError

_ROOT: Final = Path(__file__).resolve().parents[2]
_WEEK_S: Final = 7 * 86_400
_SAMPLE_S: Final = 1.0
_PING_S: Final = 0.5
_MOST_MB_PER_H: Final = 1.0
_GROWS: Final = "grows"
_WARM_UP: Final = 0.25
"""Share of the time before the regression: caches fill, and the allocator finds its size."""

_FAULTS: Final = """
[pipeline]
stall_seconds = 15
[dimc.twin]
[dimc.faults]
seed = {seed}
first = 60
connection_error = 0.002
device_in_use = 0.001
incompatible_device = 0.001
internal_error = 0.001
invalid_argument = 0.001
invalid_configuration = 0.001
not_implemented = 0.001
pending = 0.001
unknown_error = 0.001
hang = 0.0005
hang_seconds = 30
spike = 0.01
inverted = 0.004
zero = 0.004
noise = 0.004
stale = 0.004
over_temperature = 0.0003
celsius = 100.0
hot_seconds = 5
setup_in_use = 0.02
setup_mismatch = 0.02
setup_slow = 0.02
setup_seconds = 3
"""


class Sample(NamedTuple):
    """Of the daemon: seconds since the start, resident bytes, descriptors, threads."""

    at: float
    resident: int
    descriptors: int
    threads: int


class Slope(NamedTuple):
    """Of a straight line through measurements, with the half width of its 95 % interval."""

    value: float
    uncertainty: float


def slope(
    at: Sequence[float],
    values: Sequence[float],
    of: Callable[[NDArray[np.float64]], np.floating[Any]] = np.mean,
) -> Slope:
    """The slope over time.  Neighbouring samples resemble each other: one value of a bin counts."""
    edges = np.linspace(min(at), max(at), _BINS + 1)
    place = np.clip(np.digitize(at, edges) - 1, 0, _BINS - 1)
    chosen = [number for number in range(_BINS) if (place == number).any()]
    x = np.array([np.mean(np.asarray(at)[place == number]) for number in chosen])
    y = np.array([of(np.asarray(values)[place == number]) for number in chosen])
    value, intercept = np.polyfit(x, y, 1)
    rest = y - (value * x + intercept)
    error = np.sqrt(rest @ rest / (len(x) - 2) / ((x - x.mean()) @ (x - x.mean())))
    return Slope(float(value), float(_STUDENT * error))


_KEPT_EVERY: Final = 10
_BINS: Final = 20
_STUDENT: Final = 2.10
"""Student's t, 18 degrees of freedom, 95 % on both sides."""


class Soak:
    """One unit in its accelerated week of ``seconds``."""

    def __init__(self, unit: FlightUnit, life: GroundLife, clock: Path, seconds: float) -> None:
        self._unit, self._life, self._clock, self._seconds = unit, life, clock, seconds
        self.samples: list[Sample] = []
        self.pings: list[tuple[float, float]] = []
        self._started = time.monotonic()
        self._over = threading.Event()

    def run(self) -> None:
        """Until the week is over."""
        threads = [threading.Thread(target=work) for work in (self._ping, self._keep_operational)]
        assert self._unit.process is not None
        process = psutil.Process(self._unit.process.pid)
        with self._life.at_work():
            for thread in threads:
                thread.start()
            while (at := time.monotonic() - self._started) < self._seconds:
                if self._unit.process.poll() is not None:
                    raise RuntimeError(f"the service ended: {self._unit.log[-5:]}")
                # An hour of the week at a time, in mid-work.
                hours = at / self._seconds * _WEEK_S // 3600
                set_offset(self._clock, hours * 3600)
                with process.oneshot():
                    sample = process.memory_info().rss, process.num_fds(), process.num_threads()
                self.samples.append(Sample(at, *sample))
                self._over.wait(_SAMPLE_S)
            self._over.set()
            for thread in threads:
                thread.join()

    def _ping(self) -> None:
        with self._unit.client() as client:
            while not self._over.wait(_PING_S):
                begun = time.monotonic()
                with suppress(GroundError):
                    client.execute("PING", timeout_s=30)
                    self.pings.append((begun - self._started, time.monotonic() - begun))

    def _keep_operational(self) -> None:
        """As an operator would: a self-test after a fault of the engine, then OPERATIONAL."""
        while not self._over.wait(5):
            with suppress(GroundError):
                if self._unit.execute("PING", timeout_s=30).data["mode"] == "SAFE":
                    self._unit.execute("SELF_TEST", timeout_s=120)
                    self._unit.execute("SET_MODE", timeout_s=30, mode="OPERATIONAL")


def soak(folder: Path, seed: int, seconds: float) -> dict[str, Any]:
    """An accelerated week in a folder that exists; what was measured, and every broken rule."""
    laboratory = Laboratory(folder)
    clock = folder / "clock"
    set_offset(clock, 0)
    path = os.pathsep.join((str(hook(folder / "hook", clock)), str(_ROOT)))
    with flight_unit(folder / "unit", lines=_FAULTS.format(seed=seed)) as unit:
        laboratory.equip(unit)
        life = GroundLife(unit, [laboratory.scene.name], random.Random(seed), pause_s=0.25)
        unit.start(options=("--laboratory",), environ={"PYTHONPATH": path})
        week = Soak(unit, life, clock, seconds)
        week.run()
        _settle(unit, life)
        status = unit.stop()
        limits = Limits(attempts=ATTEMPTS, contact_bytes=CONTACT_BYTES)
        findings = [str(one) for one in check(unit.state, life.record, unit.log, limits)]
        if status:
            findings.append(f"the service ended with status {status}")
        return _figures(week, unit, life, findings, seed, seconds)


def _settle(unit: FlightUnit, life: GroundLife) -> None:
    """The card still fails: try until it does not for a moment."""
    for _ in range(20):
        if unit.execute("SELF_TEST", timeout_s=120).stage is Stage.COMPLETED:
            with suppress(AssertionError, GroundError):
                life.settle()
                return
    raise RuntimeError("the unit does not come to rest")


def _figures(
    week: Soak, unit: FlightUnit, life: GroundLife, findings: list[str], seed: int, seconds: float
) -> dict[str, Any]:
    warm = [one for one in week.samples if one.at > _WARM_UP * seconds]
    at = [one.at / 3600 for one in warm]
    # The least of each bin: a scene at work holds memory, descriptors and threads that it returns.
    memory, descriptors, threads = (
        slope(at, [getattr(one, name) * factor for one in warm], np.min)
        for name, factor in (("resident", 1e-6), ("descriptors", 1.0), ("threads", 1.0))
    )
    thirds = [
        [took * 1e3 for when, took in week.pings if third <= when / seconds * 3 < third + 1]
        for third in range(3)
    ]
    events = Counter(line["event"] for line in unit.log if line.get("severity"))
    injected = Counter(
        line["kind"] for line in unit.log if line.get("event") == "a fault is injected"
    )
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "load": os.getloadavg()[2],
        "seed": seed,
        "minutes": seconds / 60,
        "jobs": len(life.record.accepted),
        "telecommands": len(life.record.closed),
        "products": len(life.record.delivered),
        "packets": len(life.record.packets),
        "injected": dict(injected),
        "events": dict(events),
        "memory_mb": [warm[0].resident / 1e6, warm[-1].resident / 1e6],
        "memory_slope_mb_per_h": memory,
        "memory_slope_mb_per_h_of_the_week": [one * seconds / _WEEK_S for one in memory],
        "memory": verdict(memory),
        "descriptors": [descriptors, *_range(warm, "descriptors")],
        "threads": [threads, *_range(warm, "threads")],
        "samples": week.samples[::_KEPT_EVERY],
        "ping_p50_ms": [statistics.median(one) for one in thirds],
        "ping_p99_ms": [float(np.percentile(one, 99)) for one in thirds],
        "findings": findings,
    }


def verdict(memory: Slope) -> str:
    """Whether memory grows by more than is allowed, as far as the uncertainty lets us say it."""
    if memory.value - memory.uncertainty > _MOST_MB_PER_H:
        return _GROWS
    if memory.value + memory.uncertainty <= _MOST_MB_PER_H:
        return "flat"
    return "not decided: the uncertainty is larger than the limit"


def _range(samples: Sequence[Sample], name: str) -> tuple[int, int]:
    values = [getattr(one, name) for one in samples]
    return min(values), max(values)


def main() -> int:
    """Run it, print and keep the figures; 1 if a rule is broken or memory grows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=28)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = soak(Path(folder), arguments.seed, arguments.minutes * 60)
    text = json.dumps(figures, indent=1)
    (_ROOT / "faults").mkdir(exist_ok=True)
    (_ROOT / "faults" / f"soak-{arguments.seed}.json").write_text(text)
    print(text)
    return bool(figures["findings"]) or figures["memory"] == _GROWS


if __name__ == "__main__":
    sys.exit(main())
