"""kill -9 over the whole life of the service: starting, working, publishing, downlinking, ending.

An episode is one unit that is killed again and again while the ground works with it.  After each
kill the checker looks at what is on the disk; at the end the unit must come to rest, with every
job ended and every product on the ground.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from glob import glob
from pathlib import Path
from typing import Any, Final

from deploy.faults.checker import Finding, Limits, check
from deploy.faults.forked_unit import ForkedUnit, forked_unit
from deploy.faults.ground_life import ATTEMPTS, CONTACT_BYTES, GroundLife
from deploy.faults.laboratory import Laboratory

PHASES: Final = ("starting", "any time", "working", "publishing", "downlinking", "ending")
_PATIENCE_S: Final = 60.0  # for the moment of a phase; then it is killed anyway
_LIMITS: Final = Limits(attempts=ATTEMPTS, contact_bytes=CONTACT_BYTES)
_POLL_S: Final = 0.02


def kill_often(laboratory: Laboratory, folder: Path, seed: int, kills: int) -> dict[str, Any]:
    """One episode; what was found, and how much was at stake.  ``folder`` must not exist."""
    choice = random.Random(seed)
    phases = choice.choices(PHASES, k=kills)  # what follows draws as often as its timing has it
    with forked_unit(folder, package=laboratory.package) as unit:
        laboratory.equip(unit)
        life = GroundLife(unit, [laboratory.scene.name], choice, models=[laboratory.model()])
        findings: list[str] = []
        for kill, phase in enumerate(phases):
            unit.start()
            with life.at_work():
                _wait_for_moment(unit, phase, choice)
                unit.kill()
            found = check(unit.state, life.record, unit.lines, _LIMITS, moment="killed")
            findings += _named(found, f"kill {kill} ({phase})")
        unit.start()
        unit.wait_until_ready()
        life.settle()
        if status := unit.stop():
            findings.append(f"the last stop ended with status {status}")
        findings += _named(check(unit.state, life.record, unit.lines, _LIMITS), "at the end")
        if len(life.masks) > 2:  # the package is named in the file, and there are two
            findings.append(f"the same scene gave {len(life.masks)} masks")
        return {
            "seed": seed,
            "kills": kills,
            "phases": dict(Counter(phases)),
            "jobs": len(life.record.accepted),
            "products": len(life.record.delivered),
            "packets": len(life.record.packets),
            "findings": findings,
        }


def _wait_for_moment(unit: ForkedUnit, phase: str, choice: random.Random) -> None:
    """Until the phase has begun, and then some moments more."""
    if phase == "starting":
        time.sleep(choice.uniform(0, 0.6))
        return
    begun = {
        "any time": "listening",
        "working": "JOB_STARTED",
        "publishing": "JOB_STARTED",
        "downlinking": "PRODUCT_DELIVERED",
        "ending": "SERVICE_STARTED",
    }[phase]
    before = len(unit.events(begun))
    _wait(lambda: len(unit.events(begun)) > before or not unit.alive)
    if phase == "publishing":
        partial = str(unit.state / "products" / "*" / ".*.partial")
        # That of pathlib raises if a folder is deleted meanwhile.
        _wait(lambda: glob(partial) or not unit.alive)  # noqa: PTH207
    if phase == "ending" and unit.alive:
        time.sleep(choice.uniform(0, 1))
        unit.terminate()
    time.sleep(choice.uniform(0, {"any time": 4, "ending": 1.5, "working": 0.5}.get(phase, 0.1)))


def _wait(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not holds() and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def _named(findings: list[Finding], when: str) -> list[str]:
    return [f"{when}: {finding}" for finding in findings]
