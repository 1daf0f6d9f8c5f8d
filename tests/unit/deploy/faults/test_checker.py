"""Each rule of the checker notices when it is broken, and names itself."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from deploy.faults.checker import GroundRecord, Limits, Moment, PacketNumber, Rule, check
from flightsw.commanding.ledger import VerificationLedger
from flightsw.downlink.catalogue import NewProduct, ProductCatalogue
from flightsw.fdir.boots import BootRecord
from flightsw.host.disk import sha256
from flightsw.jobs.queue import JobQueue
from flightsw.state import StateFile
from flightsw.state.schema import connect
from telecommands.dictionary import Code, JobState, ProcessScene, Stage, Verification


@dataclass
class Unit:
    """What a sound unit left behind, and what the ground knows of it."""

    state: Path
    received: Path
    ground: GroundRecord
    log: list[dict[str, Any]] = field(default_factory=list)
    limits: Limits = field(default_factory=Limits)

    def rules(self, moment: Moment = "settled") -> set[Rule]:
        return {
            one.rule for one in check(self.state, self.ground, self.log, self.limits, moment=moment)
        }

    def sql(self, statement: str) -> None:
        """Change the state with right checksums, as a fault of the software would."""
        with closing(connect(self.state / "state.sqlite")) as db:
            db.execute("PRAGMA foreign_keys = OFF")
            assert db.execute(statement).rowcount > 0

    def file(self, name: str) -> Path:
        (found,) = self.state.rglob(name)
        return found


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three jobs: completed with two products, failed, and waiting; one product delivered."""
    folder = tmp_path_factory.mktemp("sound")
    with StateFile(folder / "state") as state:
        BootRecord(state).begin(0)
        jobs, ledger = JobQueue(state, "sat-a", lambda: 10), VerificationLedger(state)
        catalogue = ProductCatalogue(state)

        def stage(telecommand: str, stage: Stage) -> None:
            verification = Verification(id=telecommand, name="PROCESS_SCENE", stage=stage, at=1)
            ledger.record(telecommand, verification)

        for telecommand in ("t1", "t2", "t3"):
            ledger.open(telecommand, "PROCESS_SCENE", "operator", 0, durable=True)
            jobs.add(telecommand, ProcessScene(scene="S.SAFE"), 0)
            stage(telecommand, Stage.ACCEPTED)
        first = jobs.next(1)
        assert first is not None
        products = []
        for kind in ("geotiff", "report"):
            path = folder / "state" / "products" / first.id / kind
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(kind.encode() * 100)
            products.append(NewProduct(kind, path, path.stat().st_size, sha256(path), 0.5))  # type: ignore[arg-type]
        jobs.end(first.id, JobState.COMPLETED, 2)
        added = catalogue.add(first.id, products, 2)
        stage("t1", Stage.COMPLETED)
        catalogue.delivered(added[0].product, added[0].sha256, 3)
        received = folder / "received" / first.id
        received.mkdir(parents=True)
        shutil.copy(products[0].path, received)
        second = jobs.next(4)
        assert second is not None
        jobs.end(second.id, JobState.FAILED, 5, Code.CORRUPT_IMAGE, "a file is damaged")
        stage("t2", Stage.FAILED)
        with state.transaction() as db:
            db.execute(
                "INSERT INTO sequence_windows VALUES ('operator#0', ?)", ((7).to_bytes(8, "big"),)
            )
    (folder / "sequence").write_bytes(b"%020d\n" % 33)
    return folder


@pytest.fixture
def unit(sound: Path, tmp_path: Path) -> Unit:
    shutil.copytree(sound, tmp_path / "unit")
    state, received = tmp_path / "unit" / "state", tmp_path / "unit" / "received"
    with closing(connect(state / "state.sqlite")) as db:
        jobs = dict(db.execute("SELECT telecommand, job FROM jobs").fetchall())
        delivered = db.execute("SELECT product, sha256 FROM products WHERE state = 'DELIVERED'")
        ground = GroundRecord(
            accepted=jobs,
            closed={"t1": "COMPLETED", "t2": "FAILED"},
            delivered=dict(delivered.fetchall()),
            packets=[PacketNumber(1, "evt", 0), PacketNumber(1, "evt", 1)],
            received=received,
            sequence=tmp_path / "unit" / "sequence",
        )
    log = [
        {"event": "listening", "boot": 1},
        {"event": "PRODUCT_DELIVERED", "fields": {"product": "p"}},
    ]
    return Unit(state, received, ground, log)


def test_a_sound_unit_breaks_no_rule_but_that_a_job_still_waits(unit: Unit) -> None:
    assert unit.rules("started") == set()
    assert unit.rules() == {Rule.SETTLED}


def _flip_a_stored_byte(unit: Unit) -> None:
    path = unit.file("state.sqlite")
    path.write_bytes(path.read_bytes().replace(b"FAILED", b"FAILEE"))


def _remove_a_row_behind_the_seals(unit: Unit) -> None:
    with closing(sqlite3.connect(unit.file("state.sqlite"))) as db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("DELETE FROM sqlite_master WHERE name = 'jobs_deleted'")
        db.commit()
    unit.sql("DELETE FROM jobs WHERE telecommand = 't3'")
    unit.ground.accepted.pop("t3")


def _sql(statement: str) -> Callable[[Unit], object]:
    return lambda unit: unit.sql(statement)


def _log(line: dict[str, Any], times: int = 1) -> Callable[[Unit], object]:
    return lambda unit: unit.log.extend([line] * times)


def _write_over(name: str, content: bytes) -> Callable[[Unit], object]:
    return lambda unit: unit.file(name).write_bytes(content)


def _receive_wrongly(unit: Unit) -> None:
    (file,) = (one for one in unit.received.rglob("*") if one.is_file())
    file.write_bytes(b"wrong")


_BREACHES: list[tuple[Rule, Callable[[Unit], object]]] = [
    (Rule.STATE_SOUND, _flip_a_stored_byte),
    (Rule.STATE_SOUND, _remove_a_row_behind_the_seals),
    (Rule.NOTHING_LOST, _sql("DELETE FROM jobs WHERE telecommand = 't3'")),
    (Rule.NOTHING_LOST, _sql("UPDATE products SET state = 'QUEUED'")),
    (Rule.NOTHING_LOST, lambda unit: unit.ground.deleted.add(next(iter(unit.ground.delivered)))),
    (Rule.NOTHING_LOST, lambda unit: unit.ground.closed.update(t3="CANCELLED")),
    (Rule.JOB_ONCE, _sql("UPDATE jobs SET telecommand = 't1'")),
    (Rule.JOB_ONCE, _log({"event": "JOB_FAILED", "fields": {"job": "j"}}, times=2)),
    (Rule.END_HAS_REASON, _sql("UPDATE jobs SET code = NULL WHERE state = 'FAILED'")),
    (Rule.END_HAS_REASON, _sql("UPDATE jobs SET ended_at = 9 WHERE state = 'QUEUED'")),
    (Rule.STAGES_FIT, _sql("DELETE FROM verifications WHERE id = 't1' AND number = 3")),
    (Rule.STAGES_FIT, _sql("UPDATE telecommands SET closed = 1 WHERE id = 't3'")),
    (Rule.ATTEMPTS_BOUNDED, _sql("UPDATE jobs SET attempts = 3 WHERE telecommand = 't3'")),
    (Rule.PRODUCT_WHOLE, _write_over("report", b"short")),
    (Rule.PRODUCT_WHOLE, _write_over("report", b"reporT" * 100)),
    (Rule.PRODUCT_WHOLE, lambda unit: unit.file("report").unlink()),
    (Rule.PRODUCT_ONCE, _sql("UPDATE products SET path = 'same'")),
    (Rule.PRODUCT_ONCE, _sql("UPDATE jobs SET state = 'QUEUED' WHERE telecommand = 't1'")),
    (Rule.PRODUCT_COUNTED, lambda unit: unit.file("report").with_name("other").touch()),
    (Rule.PRODUCT_COUNTED, _sql("UPDATE products SET state = 'DELETED'")),
    (Rule.DELIVERED_ONCE, lambda unit: unit.log.append(unit.log[-1])),
    (Rule.RECEIVED_WHOLE, _receive_wrongly),
    (Rule.RECEIVED_WHOLE, lambda unit: shutil.rmtree(unit.received)),
    (Rule.SEQUENCE_RISES, lambda unit: unit.ground.sequence.write_bytes(b"%020d\n" % 7)),  # type: ignore[union-attr]
    (Rule.SEQUENCE_RISES, lambda unit: unit.ground.sequence.unlink()),  # type: ignore[union-attr]
    (Rule.PACKETS_RISE, lambda unit: unit.ground.packets.append(PacketNumber(1, "evt", 1))),
    (Rule.BOOTS_RISE, _log({"event": "listening", "boot": 1})),
    (Rule.BOOTS_RISE, lambda unit: unit.ground.packets.append(PacketNumber(2, "evt", 0))),
    (Rule.NO_REMAINS, lambda unit: (unit.state / ".room.0123abcd").touch()),
    (Rule.NO_REMAINS, lambda unit: (unit.state / ".endpoints.json.0123abcd.partial").touch()),
    (Rule.NO_REMAINS, lambda unit: (unit.received / ".mask.tif.ab.part").touch()),
    (Rule.MODE_TRUE, _log({"event": "THREAD_ENDED", "fields": {}})),
    (Rule.MODE_TRUE, _log({"event": "", "text": "Traceback (most recent)"})),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "breach"), _BREACHES)
def test_a_broken_rule_is_named(unit: Unit, rule: Rule, breach: Callable[[Unit], object]) -> None:
    breach(unit)
    assert rule in unit.rules()


def test_a_contact_that_spent_more_than_its_bytes_is_named(unit: Unit) -> None:
    unit.limits = Limits(contact_bytes=100)
    unit.log.append({"event": "CONTACT_CLOSED", "fields": {"bytes": 100}})
    assert unit.rules("started") == set()
    unit.log.append({"event": "CONTACT_CLOSED", "fields": {"bytes": 101}})
    assert unit.rules("started") == {Rule.BUDGET_KEPT}


def test_a_state_file_may_be_absent_only_if_a_first_start_was_killed_before_it_promised_anything(
    unit: Unit, tmp_path: Path
) -> None:
    assert check(tmp_path / "absent", GroundRecord(), moment="killed") == []
    assert [one.rule for one in check(tmp_path / "absent", GroundRecord(), moment="started")] == [
        Rule.STATE_SOUND
    ]
    unit.file("state.sqlite").unlink()
    assert Rule.NOTHING_LOST in unit.rules("killed")


def test_each_rule_has_a_breach() -> None:
    elsewhere = {Rule.BUDGET_KEPT, Rule.SETTLED}
    assert {rule for rule, _ in _BREACHES} | elsewhere == set(Rule)
