"""Power cuts as the disk sees them: what was not waited for may be missing, torn, or reordered.

A life of the real service is recorded (:mod:`deploy.faults.recording`).  For any moment of it, the
disk holds all that was synchronised before, and any part of the rest: sectors of a write, names.
Each such disk is made, the service starts on it, and the checker holds it against what the ground
had been promised by then.
"""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from deploy.faults.checker import GroundRecord, Limits, Promise, check
from deploy.faults.ground_life import ATTEMPTS, CONTACT_BYTES, GroundLife
from deploy.faults.laboratory import Laboratory
from deploy.faults.recording import (
    Data,
    Disk,
    Names,
    Recording,
    Size,
    Sync,
    read_recording,
    strace_command,
    tree_of,
)
from deploy.rig.flight_unit import flight_unit
from flightsw.config import DimcSettings, ServiceSettings, Settings
from flightsw.fdir.notify import ServiceNotifier
from flightsw.service.daemon import FlightService
from flightsw.telemetry.logs import configure_logs

Model: TypeAlias = Literal["names in order", "names in any order"]
MODELS: Final[tuple[Model, ...]] = ("names in order", "names in any order")
"""A file system with a journal writes names in order; POSIX promises less."""

_SECTOR: Final = 512
_LIMITS: Final = Limits(attempts=ATTEMPTS)
_INDEX: Final = "state.sqlite-shm"  # in mapped memory, and made again at each start


@dataclass(frozen=True)
class Life:
    """A recorded life: what was written below ``state``, and what the ground was promised."""

    state: Path
    package: Path
    recording: Recording
    promises: Sequence[Promise]


def record_life(laboratory: Laboratory, folder: Path) -> Life:
    """Two runs of the service under ``strace``, in a new folder: all that changes the disk.

    Raises ValueError if the recording does not give the files that are there.
    """
    traces = [folder.with_name(f"{folder.name}-{run}.trace") for run in (1, 2)]
    with flight_unit(folder) as unit:
        laboratory.equip(unit)
        life = GroundLife(unit, [laboratory.scene.name], random.Random(0))
        before = tree_of(unit.state)
        for trace, work in zip(traces, (_first_run, _second_run), strict=True):
            unit.launcher = strace_command(trace)
            unit.start()
            work(life, laboratory)
            if unit.stop() != 0:
                raise ValueError(f"the service ended badly: {unit.log[-5:]}")
        recording = read_recording(traces, unit.state, before)
        _compare(recording.tree(), tree_of(unit.state))
        return Life(unit.state, laboratory.package, recording, life.promises)


def _first_run(life: GroundLife, laboratory: Laboratory) -> None:
    life.execute("SET_PARAMETER", name="processing.attempts", value=ATTEMPTS)
    for products in (["geotiff", "report"], ["mask", "stac", "report"]):
        life.execute("PROCESS_SCENE", scene=laboratory.scene.name, products=products)
    life.execute("PROCESS_SCENE", scene="absent.SAFE")
    life.settle()
    life.execute("DELETE_PRODUCT", product=next(iter(life.record.delivered)))


def _second_run(life: GroundLife, laboratory: Laboratory) -> None:
    model = laboratory.model()
    life.execute("STAGE_MODEL", package=model["package"], sha256=model["sha256"])
    life.execute("ACTIVATE_MODEL", model=model["model"])
    life.execute("PROCESS_SCENE", scene=laboratory.scene.name, products=["geotiff", "report"])
    life.execute("OPEN_CONTACT", bytes=CONTACT_BYTES, seconds=600)
    life.settle()


def _compare(replayed: Mapping[str, object], found: Mapping[str, object]) -> None:
    names = {name for name in {*replayed, *found} if not name.endswith(_INDEX)}
    wrong = sorted(name for name in names if replayed.get(name, 0) != found.get(name, 0))
    if wrong:
        raise ValueError(f"the recording does not give {', '.join(wrong[:5])}")


# --- Disks after a cut -----------------------------------------------------------------------


def disk_after_cut(recording: Recording, cut: int, model: Model, choice: random.Random) -> Disk:
    """A disk that may be found if the power is cut before operation ``cut``."""
    done = recording.operations[:cut]
    last_sync = max((at for at, one in enumerate(done) if isinstance(one, Sync)), default=-1)
    synced = {one.inode: at for at, one in enumerate(done) if isinstance(one, Sync)}
    journal = choice.randint(last_sync, cut) if model == "names in order" else -1
    kept = choice.choice((0.0, 0.5, 0.5, 1.0))  # of what was not waited for
    disk = Disk(recording)
    for at, operation in enumerate(done):
        if isinstance(operation, Names):
            drawn = model == "names in any order" and choice.random() < kept
            for change in operation.changes:  # of a rename, each is in a folder of its own
                if drawn or max(synced.get(change[0], -1), journal) >= at:
                    disk.apply(Names(operation.at, (change,)))
        elif isinstance(operation, (Data, Size)):
            if synced.get(operation.inode, -1) > at:
                disk.apply(operation)
            else:
                _write_in_part(disk, operation, kept, choice)
    return disk


def _write_in_part(disk: Disk, operation: Data | Size, kept: float, choice: random.Random) -> None:
    """Some sectors of a write arrive, or a new length without its content."""
    if isinstance(operation, Size):
        if choice.random() < kept:
            disk.apply(operation)
        return
    for offset, content in _sectors(operation):
        drawn = choice.random()
        if drawn < kept:
            disk.write(operation.inode, offset, content)
        elif drawn < kept * 1.1:  # the file is longer, its new sector still holds zeros
            disk.lengthen(operation.inode, offset + len(content))


def _sectors(operation: Data) -> Iterator[tuple[int, bytes]]:
    start, content = operation.offset, operation.content
    at = 0
    while at < len(content):
        end = at + _SECTOR - (start + at) % _SECTOR
        yield start + at, content[at:end]
        at = end


# --- Trials ----------------------------------------------------------------------------------


def cut_once(life: Life, seed: int) -> dict[str, Any]:
    """Cut the power at a drawn moment, start, and check; the same again for a seed."""
    choice = random.Random(seed)
    cut = choice.randrange(1, len(life.recording.operations) + 1)
    model = MODELS[seed % len(MODELS)]
    disk_after_cut(life.recording, cut, model, choice).write_into(life.state)
    log = start_and_stop(life)
    ground = GroundRecord()
    if cut < len(life.recording.operations):
        moment = life.recording.operations[cut - 1].at
    else:
        moment = float("inf")
    for promise in life.promises:
        if promise.at < moment:
            ground.note(promise)
    findings = check(life.state, ground, log, _LIMITS, moment="started")
    return {
        "seed": seed,
        "cut": cut,
        "model": model,
        "events": sorted({line["event"] for line in log if "severity" in line}),
        "findings": [str(one) for one in findings],
    }


def start_and_stop(life: Life) -> list[dict[str, Any]]:
    """Let the service start on what is there, and end immediately; its log."""
    settings = Settings(
        engines=("dimc",),
        model=life.package,
        dimc=DimcSettings(card="card"),  # there is none: nothing has to be opened
        service=ServiceSettings(
            state_dir=life.state,
            scene_root=life.state,
            telecommand_port=0,
            telemetry_port=0,
            downlink_port=0,
            curve=False,
            unsigned_models=True,
        ),
    )
    output = io.StringIO()
    configure_logs("info", output)
    service = FlightService(settings, ServiceNotifier())
    service.end(0)
    service.run()
    return [json.loads(line) for line in output.getvalue().splitlines()]
