"""What must hold of a flight unit after any fault, checked from outside.

Reads the state file, the products, what the ground received, and the log, with its own reading of
each format: nothing here calls the service, so that a fault of its recovery cannot hide itself.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgpack

_MODULUS: Final = 1 << 61
_ENDED: Final = ("COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT")
_OPEN: Final = ("QUEUED", "RUNNING")
_CLOSING: Final = 3  # number of a telecommand's last stage
_ON_BOARD: Final = ("QUEUED", "HELD", "DELIVERED")
_TEMPORARY: Final = re.compile(
    r"\.partial\Z|\.part\Z|\A\.room\.|\Astate\.new\.sqlite|\A\.incoming\Z"
)
_DIGITS: Final = re.compile(rb"[0-9]{20}\n\Z")
_WINDOW_NUMBER: Final = 8  # bytes: the highest sequence number, before which were seen
_NEVER: Final = ("THREAD_ENDED", "INTERNAL_FAULT", "STATE_LOST", "PRODUCT_LOST")


class Rule(str, Enum):
    """What must hold; the value says it in words."""

    STATE_SOUND = "each row and each seal of the state has its checksum, and no page is damaged"
    NOTHING_LOST = "nothing that was reported to the ground is lost"
    JOB_ONCE = "each telecommand makes one job, and each job ends once"
    END_HAS_REASON = "an ended job has its time, and a code and a cause unless it completed"
    STAGES_FIT = "a job has ended if, and only if, its telecommand is closed, with the same end"
    ATTEMPTS_BOUNDED = "no job is started more often than the parameter allows"
    PRODUCT_WHOLE = "each product on board has its length and its SHA-256"
    PRODUCT_ONCE = "each product belongs to one completed job, and has one record"
    PRODUCT_COUNTED = "no file of a product is without a record"
    DELIVERED_ONCE = "each product is reported as delivered once"
    RECEIVED_WHOLE = "each file on the ground is a product, whole"
    SEQUENCE_RISES = "no sequence number is used twice"
    PACKETS_RISE = "the packets of a topic have each number once in a boot"
    BOOTS_RISE = "each start has a number of its own"
    BUDGET_KEPT = "no more was downlinked in a contact than its bytes"
    NO_REMAINS = "no temporary file is left behind"
    MODE_TRUE = "the log reports no fault of the service, and no loss"
    SETTLED = "no job waits or runs at the end of a campaign"


class Finding(NamedTuple):
    """A rule that does not hold, and what shows it."""

    rule: Rule
    what: str

    def __str__(self) -> str:
        return f"{self.rule.name}: {self.what}"


PromiseKind: TypeAlias = Literal["accepted", "closed", "delivered", "deleted", "deleting"]


Moment: TypeAlias = Literal["killed", "started", "settled"]


class Promise(NamedTuple):
    """What the ground was answered at a moment, UTC seconds."""

    at: float
    kind: PromiseKind
    name: str
    value: str = ""


class PacketNumber(NamedTuple):
    """Where a received telemetry packet stands."""

    boot: int
    topic: str
    seq: int


@dataclass
class GroundRecord:
    """What the ground knows: what it was answered, and what it holds."""

    accepted: dict[str, str] = field(default_factory=dict)
    """Jobs by the reference (KEY/ID) of the telecommand that made them."""
    closed: dict[str, str] = field(default_factory=dict)
    """Closing stages by reference of the telecommand, durable ones only."""
    delivered: dict[str, str] = field(default_factory=dict)
    """SHA-256 by product, as confirmed by the service."""
    deleted: set[str] = field(default_factory=set)
    """Products whose deletion was reported as completed."""
    deleting: set[str] = field(default_factory=set)
    """Products whose deletion was asked for: the file goes before its record."""
    packets: list[PacketNumber] = field(default_factory=list)
    received: Path | None = None
    """Folder of received products."""
    sequence: Path | None = None
    """File of the operator's sequence numbers."""
    key_id: str = "operator"

    def note(self, promise: Promise) -> None:
        """Remember a promise."""
        if promise.kind in ("deleted", "deleting"):
            getattr(self, promise.kind).add(promise.name)
        else:
            getattr(self, promise.kind)[promise.name] = promise.value


@dataclass(frozen=True)
class Limits:
    """What bounds the findings: of the parameters in force."""

    attempts: int = 2
    contact_bytes: int | None = None
    named_losses: bool = False
    """The campaign damages the state, so that losses that are named do not count."""


class _Rows(NamedTuple):
    jobs: list[dict[str, Any]]
    products: list[dict[str, Any]]
    telecommands: list[dict[str, Any]]
    verifications: list[dict[str, Any]]
    boots: list[dict[str, Any]]
    windows: dict[str, int]


def check(
    state_dir: Path,
    ground: GroundRecord,
    log: Sequence[Mapping[str, Any]] = (),
    limits: Limits = Limits(),
    *,
    moment: Moment = "settled",
) -> list[Finding]:
    """Every rule that does not hold.

    ``moment``: the service was ``killed`` just now, ``started`` once more and ended, or
    ``settled``: it ended with no job open.  It must not run.
    ``log`` holds the lines of all its runs, decoded.
    """
    findings: list[Finding] = []
    rows = _Rows([], [], [], [], [], {})  # before the first start has made the file
    with tempfile.TemporaryDirectory() as folder:
        # A copy: SQLite would write the log into the file.
        for name in ("state.sqlite", "state.sqlite-wal"):
            if (state_dir / name).exists():
                shutil.copy(state_dir / name, folder)
        if (Path(folder) / "state.sqlite").exists():
            with closing(_open(Path(folder) / "state.sqlite")) as db:
                try:
                    findings += _unsound(db)
                    rows = _read(db)
                except sqlite3.DatabaseError as error:
                    return [*findings, Finding(Rule.STATE_SOUND, str(error))]
        elif moment != "killed":
            findings.append(Finding(Rule.STATE_SOUND, "there is no state file"))
    findings += _jobs(rows, ground, limits, moment)
    findings += _stages(rows, ground)
    findings += _products(rows, ground, state_dir / "products", moment)
    findings += _ground(rows, ground)
    findings += _numbers(rows, ground)
    findings += _log(log, limits)
    findings += _remains(state_dir, ground, moment)
    return findings


# --- The state file --------------------------------------------------------------------------


def _checksum(table: str, *values: Any) -> int:
    encoded = msgpack.packb((table, *values), use_bin_type=True)
    return int.from_bytes(hashlib.blake2b(encoded, digest_size=8).digest(), "big") >> 4


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path)
    db.create_function("row_checksum", -1, _checksum, deterministic=True)
    db.row_factory = sqlite3.Row
    return db


def _unsound(db: sqlite3.Connection) -> Iterator[Finding]:
    for (fault,) in db.execute("PRAGMA integrity_check"):
        if fault != "ok":
            yield Finding(Rule.STATE_SOUND, fault)
    names = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    seals = {row["name"]: row for row in db.execute("SELECT * FROM seals")}
    for table in names:
        if table.startswith("sqlite_"):
            continue
        count = digest = high = 0
        # The checksum is the first column of each table.
        for rowid, checksum, *values in db.execute(f"SELECT rowid, * FROM {table}"):  # noqa: S608
            if checksum != _checksum(table, *values):
                yield Finding(Rule.STATE_SOUND, f"row {rowid} of {table} has a wrong checksum")
            count, digest = count + 1, (digest + checksum) % _MODULUS
            high = max(high, rowid)
        if table == "seals":
            continue
        seal = seals.get(table)
        if seal is None or (seal["rows"], seal["digest"]) != (count, digest) or seal["high"] < high:
            yield Finding(Rule.STATE_SOUND, f"the seal of {table} does not fit its rows")


def _read(db: sqlite3.Connection) -> _Rows:
    def rows(table: str) -> list[dict[str, Any]]:
        return [dict(row) for row in db.execute(f"SELECT * FROM {table}")]  # noqa: S608 - ours

    windows = {
        row["key_id"].partition("#")[0]: int.from_bytes(row["window"][:_WINDOW_NUMBER], "big")
        for row in rows("sequence_windows")
    }
    tables = ("jobs", "products", "telecommands", "verifications", "boots")
    jobs, products, telecommands, verifications, boots = map(rows, tables)
    return _Rows(jobs, products, telecommands, verifications, boots, windows)


# --- Jobs ------------------------------------------------------------------------------------


def _jobs(rows: _Rows, ground: GroundRecord, limits: Limits, moment: Moment) -> Iterator[Finding]:
    by_telecommand: dict[str, list[str]] = {}
    for job in rows.jobs:
        by_telecommand.setdefault(job["telecommand"], []).append(job["job"])
        name, state = job["job"], job["state"]
        reason = (job["code"] is not None, bool(job["cause"]))
        if state in _ENDED:
            if job["ended_at"] is None or reason != (state != "COMPLETED",) * 2:
                yield Finding(Rule.END_HAS_REASON, f"{name} is {state} with {job['code']}")
        elif state not in _OPEN or job["ended_at"] is not None:
            yield Finding(Rule.END_HAS_REASON, f"{name} is {state}, ended at {job['ended_at']}")
        elif moment == "settled":
            yield Finding(Rule.SETTLED, f"{name} is {state}")
        if job["attempts"] > limits.attempts:
            yield Finding(Rule.ATTEMPTS_BOUNDED, f"{name} was started {job['attempts']} times")
    for telecommand, jobs in by_telecommand.items():
        if len(jobs) > 1:
            yield Finding(Rule.JOB_ONCE, f"telecommand {telecommand} made {', '.join(jobs)}")
    for telecommand, accepted in ground.accepted.items():
        if accepted not in by_telecommand.get(telecommand, ()):
            yield Finding(Rule.NOTHING_LOST, f"{accepted} was accepted and has no record")


def _stages(rows: _Rows, ground: GroundRecord) -> Iterator[Finding]:
    closing = {
        row["id"]: msgpack.unpackb(row["stage"])["stage"]
        for row in rows.verifications
        if row["number"] == _CLOSING
    }
    known = {row["id"] for row in rows.telecommands}
    for telecommand in rows.telecommands:
        if bool(telecommand["closed"]) != (telecommand["id"] in closing):
            yield Finding(Rule.STAGES_FIT, f"{telecommand['id']} is marked against its stages")
    for job in rows.jobs:
        end = closing.get(job["telecommand"])
        if job["telecommand"] in known and end != (
            job["state"] if job["state"] in _ENDED else None
        ):
            yield Finding(Rule.STAGES_FIT, f"{job['job']} is {job['state']}, its telecommand {end}")
    for name, stage in ground.closed.items():
        if name in known and closing.get(name) != stage:
            found = closing.get(name)
            yield Finding(Rule.NOTHING_LOST, f"{name} was {stage} and is {found}")


# --- Products --------------------------------------------------------------------------------


def _products(rows: _Rows, ground: GroundRecord, folder: Path, moment: Moment) -> Iterator[Finding]:
    states = {job["job"]: job["state"] for job in rows.jobs}
    paths = Counter(one["path"] for one in rows.products)
    for path, count in paths.items():
        if count > 1:
            yield Finding(Rule.PRODUCT_ONCE, f"{path} has {count} records")
    for one in rows.products:
        name, state = one["product"], one["state"]
        path = folder / one["job"] / one["name"]
        if states.get(one["job"]) != "COMPLETED":
            yield Finding(Rule.PRODUCT_ONCE, f"{name} belongs to a job that did not complete")
        going = name in ground.deleting and not path.exists()
        if (
            state in _ON_BOARD
            and not going
            and (wrong := _differs(path, one["size"], one["sha256"]))
        ):
            yield Finding(Rule.PRODUCT_WHOLE, f"{name} ({state}) {wrong}")
        if state == "DELETED" and path.exists():
            yield Finding(Rule.PRODUCT_COUNTED, f"{name} is DELETED and has a file")
        if name in ground.delivered and state not in ("DELIVERED", "DELETED"):
            yield Finding(Rule.NOTHING_LOST, f"{name} was confirmed and is {state}")
        if name in ground.deleted and state != "DELETED":
            yield Finding(Rule.NOTHING_LOST, f"{name} was deleted and is {state}")
    records = {one["product"] for one in rows.products}
    for name in sorted({*ground.delivered, *ground.deleted} - records):
        yield Finding(Rule.NOTHING_LOST, f"{name} was confirmed and has no record")
    counted = {(one["job"], one["name"]) for one in rows.products}
    for path in folder.rglob("*") if folder.exists() else ():
        job, *rest = path.relative_to(folder).parts
        removed_later = moment == "killed" or (moment == "started" and states.get(job) in _OPEN)
        if path.is_file() and not removed_later and (job, "/".join(rest)) not in counted:
            yield Finding(Rule.PRODUCT_COUNTED, f"{path.relative_to(folder)} has no record")


def _ground(rows: _Rows, ground: GroundRecord) -> Iterator[Finding]:
    if ground.received is None:
        return
    products = {(one["job"], one["name"]): one for one in rows.products}
    found = set()
    for path in ground.received.rglob("*"):
        if not path.is_file() or path.name.endswith(".part"):
            continue
        place = path.parent.name, path.name
        found.add(place)
        one = products.get(place)
        if one is None:
            yield Finding(Rule.RECEIVED_WHOLE, f"{path.name} of {place[0]} is not a product")
        elif wrong := _differs(path, one["size"], one["sha256"]):
            yield Finding(Rule.RECEIVED_WHOLE, f"{path.name} of {place[0]} {wrong}")
    for place, one in products.items():
        if one["state"] == "DELIVERED" and place not in found:
            yield Finding(Rule.RECEIVED_WHOLE, f"{one['product']} is DELIVERED, never received")


def _differs(path: Path, size: int, sha256: str) -> str:
    """What is wrong with a file; empty if nothing is."""
    if not path.is_file():
        return "has no file"
    content = path.read_bytes()
    if len(content) != size:
        return f"has {len(content)} bytes, not {size}"
    return "" if hashlib.sha256(content).hexdigest() == sha256 else "has another SHA-256"


# --- Numbers ---------------------------------------------------------------------------------


def _numbers(rows: _Rows, ground: GroundRecord) -> Iterator[Finding]:
    for number, count in Counter(ground.packets).items():
        if count > 1:
            what = f"{number.topic} {number.seq} of boot {number.boot} came {count} times"
            yield Finding(Rule.PACKETS_RISE, what)
    boots = [row["boot"] for row in rows.boots]
    latest = max((one.boot for one in ground.packets), default=0)
    if latest > max(boots, default=0):
        yield Finding(Rule.BOOTS_RISE, f"boot {latest} sent packets and has no record")
    if ground.sequence is None or ground.key_id not in rows.windows:
        return
    content = ground.sequence.read_bytes() if ground.sequence.exists() else b""
    if not _DIGITS.match(content):
        yield Finding(Rule.SEQUENCE_RISES, f"{ground.sequence.name} holds {content!r}")
    elif int(content) <= rows.windows[ground.key_id]:
        highest = rows.windows[ground.key_id]
        yield Finding(
            Rule.SEQUENCE_RISES, f"the ground continues at {int(content)}, below {highest}"
        )


# --- The log, and what is left ----------------------------------------------------------------


def _log(log: Sequence[Mapping[str, Any]], limits: Limits) -> Iterator[Finding]:
    def fields(event: str, name: str) -> list[str]:
        return [line["fields"][name] for line in log if line.get("event") == event]

    for product, count in Counter(fields("PRODUCT_DELIVERED", "product")).items():
        if count > 1:
            yield Finding(Rule.DELIVERED_ONCE, f"{product} was reported {count} times")
    ends = Counter(
        line["fields"]["job"]
        for line in log
        if line.get("event") in ("JOB_COMPLETED", "JOB_FAILED")
    )
    for job, count in ends.items():
        if count > 1:
            yield Finding(Rule.JOB_ONCE, f"the end of {job} was reported {count} times")
    boots = [line["boot"] for line in log if line.get("event") == "listening"]
    if any(later <= earlier for earlier, later in pairwise(boots)):
        yield Finding(Rule.BOOTS_RISE, f"boots {boots}")
    for line in log:
        if line.get("event") in _NEVER and not limits.named_losses:
            yield Finding(Rule.MODE_TRUE, f"{line['event']}: {line.get('message', '')}")
        elif "Traceback" in str(line.get("text", "")):
            yield Finding(Rule.MODE_TRUE, "the log has a traceback")
    if limits.contact_bytes is not None:
        for spent in fields("CONTACT_CLOSED", "bytes"):
            if int(spent) > limits.contact_bytes:
                what = f"{spent} bytes went down in a contact of {limits.contact_bytes}"
                yield Finding(Rule.BUDGET_KEPT, what)


def _remains(state_dir: Path, ground: GroundRecord, moment: Moment) -> Iterator[Finding]:
    """Temporary files: those of a killed service are removed when it starts again."""
    folders = {"killed": (), "started": (state_dir,), "settled": (state_dir, ground.received)}
    for folder in filter(None, folders[moment]):
        for path in sorted(folder.rglob("*")):
            if _TEMPORARY.search(path.name):
                yield Finding(Rule.NO_REMAINS, str(path.relative_to(folder)))
