"""The space-to-ground interface, declared once: telecommands, packets, events, parameters, codes.

Flight side, ground side, generated documents and the dashboard all read it here.  ``Meta`` gives
each field its range and meaning; ``extra`` its unit and, for housekeeping, its limits (those that
parameters set stand here with their defaults); of a map, ``names`` that are always there.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

VERSION: Final = 1
"""Of headers, packets and downlink messages; another version is refused."""

MAX_HEADER_BYTES: Final = 256
MAX_BODY_BYTES: Final = 64 * 1024
MAX_DEPTH: Final = 16
"""Limits of a received telecommand: bytes of its two frames, nesting of its body."""

TELECOMMAND_PORT: Final = 5701
TELEMETRY_PORT: Final = 5702
DOWNLINK_PORT: Final = 5703

TILE_MAP_STEPS: Final = 250
"""Of :attr:`CloudFraction.tile_map`: 0 is clear, 250 wholly contaminated."""
TILE_MAP_NO_DATA: Final = 255

LATENCY_STAGES: Final = ("preparation", "accelerator", "fusion")
LATENCY_STATISTICS: Final = ("mean", "p50", "p95", "p99", "sigma", "max")
"""What :attr:`CloudFraction.stages_ms` tells of each stage that saw a tile."""


class Code(str, Enum):
    """Why a telecommand was rejected, or a job or telecommand failed."""

    doc: str

    def __new__(cls, value: str, doc: str = "") -> Code:  # noqa: D102
        member = str.__new__(cls, value)
        member._value_ = value
        member.doc = doc
        return member

    # The telecommand itself.
    MALFORMED = "MALFORMED", "not two frames of msgpack as laid down here"
    OVERSIZED = "OVERSIZED", "a frame is longer, or nested deeper, than allowed"
    WRONG_VERSION = "WRONG_VERSION", "the header's version is not the service's"
    UNKNOWN_KEY = "UNKNOWN_KEY", "no telecommand key of this id is authorised"
    BAD_MAC = "BAD_MAC", "the authentication code does not fit the telecommand"
    REPLAYED = "REPLAYED", "this sequence number was used before"
    OUT_OF_WINDOW = "OUT_OF_WINDOW", "the sequence number is too far from the highest one seen"
    RATE_LIMITED = "RATE_LIMITED", "more telecommands a second than commanding.rate_per_second"
    UNKNOWN_TELECOMMAND = "UNKNOWN_TELECOMMAND", "no telecommand of this name"
    BAD_ARGUMENTS = "BAD_ARGUMENTS", "an argument is missing, unknown, mistyped or out of range"
    NOT_IN_THIS_MODE = "NOT_IN_THIS_MODE", "the service's mode does not allow this"
    # What it asks for.
    OUTSIDE_SCENE_ROOT = "OUTSIDE_SCENE_ROOT", "the path leads out of the folder it is confined to"
    UNKNOWN_JOB = "UNKNOWN_JOB", "no job of this id"
    JOB_ENDED = "JOB_ENDED", "the job has ended already"
    UNKNOWN_PRODUCT = "UNKNOWN_PRODUCT", "no product of this id"
    PRODUCT_STATE = "PRODUCT_STATE", "the product's state does not allow this"
    UNKNOWN_PARAMETER = "UNKNOWN_PARAMETER", "no parameter of this name"
    UNKNOWN_SCHEDULE_ENTRY = "UNKNOWN_SCHEDULE_ENTRY", "no schedule entry of this id"
    TIME_PASSED = "TIME_PASSED", "the time given has passed"
    QUEUE_FULL = "QUEUE_FULL", "as many jobs or schedule entries wait as are allowed"
    NO_CONTACT = "NO_CONTACT", "no contact window is open, or its budget is used up"
    NO_MODEL = "NO_MODEL", "no such model is staged, or none is kept to roll back to"
    STATE_UNAVAILABLE = "STATE_UNAVAILABLE", "the state file cannot be written now"
    SHUTTING_DOWN = "SHUTTING_DOWN", "the service is about to stop"
    # How work ended.
    ATTEMPTS_EXHAUSTED = "ATTEMPTS_EXHAUSTED", "the service died at each attempt of the job"
    DEADLINE_PASSED = "DEADLINE_PASSED", "the job did not end before its deadline"
    CANCELLED = "CANCELLED", "a telecommand cancelled the job"
    MISSED = "MISSED", "the scheduled time passed while the service was down"
    SELF_TEST_FAILED = "SELF_TEST_FAILED", "golden tiles came out wrong"
    INTERNAL = "INTERNAL", "a fault of the service's own; see its log"
    # Of the processing chain (flightsw/errors.py).
    USAGE = "USAGE", "an argument does not fit the scene or the model"
    SCENE_NOT_FOUND = "SCENE_NOT_FOUND", "no product there, or none that is understood"
    MISSING_BAND = "MISSING_BAND", "a band file is absent"
    BAND_SIZE_MISMATCH = "BAND_SIZE_MISMATCH", "bands of one product differ in size"
    CORRUPT_IMAGE = "CORRUPT_IMAGE", "an image cannot be decoded or is not what its metadata says"
    BAD_METADATA = "BAD_METADATA", "metadata absent, unreadable, contradictory or implausible"
    EMPTY_SCENE = "EMPTY_SCENE", "not a single valid pixel"
    PACKAGE_INVALID = "PACKAGE_INVALID", "a file of the model package is absent or contradictory"
    PACKAGE_TAMPERED = "PACKAGE_TAMPERED", "a file of the model package is not the released one"
    ENGINE_UNAVAILABLE = "ENGINE_UNAVAILABLE", "library, device or file of the engine is absent"
    INFERENCE_FAILED = "INFERENCE_FAILED", "the accelerator raised, hung or answered wrongly"
    OUTPUT_NOT_WRITABLE = "OUTPUT_NOT_WRITABLE", "the products' folder cannot be written"
    DISK_FULL = "DISK_FULL", "no space left for the products"
    MEMORY_EXHAUSTED = "MEMORY_EXHAUSTED", "no memory left"
    INTERRUPTED = "INTERRUPTED", "the service was asked to stop"


class Mode(str, Enum):
    """What the service does now."""

    BOOT = "BOOT"
    STANDBY = "STANDBY"
    OPERATIONAL = "OPERATIONAL"
    SAFE = "SAFE"


class Stage(str, Enum):
    """How far a telecommand has come.  REJECTED and the last four close it."""

    ACCEPTED = "ACCEPTED"
    REJECTED = "REJECTED"
    STARTED = "STARTED"
    PROGRESS = "PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    CANCELLED = "CANCELLED"

    @property
    def closes(self) -> bool:
        """Whether nothing comes after it."""
        return self not in (Stage.ACCEPTED, Stage.STARTED, Stage.PROGRESS)


class Severity(str, Enum):
    """Of an event, from least to most."""

    DIAGNOSTIC = "DIAGNOSTIC"
    ACTIVITY = "ACTIVITY"
    WARNING_LOW = "WARNING_LOW"
    WARNING_HIGH = "WARNING_HIGH"
    CRITICAL = "CRITICAL"


class JobState(str, Enum):
    """Of a job.  The last four are for ever."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"

    @property
    def ended(self) -> bool:
        """Whether it can no longer change."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


class ProductState(str, Enum):
    """Of a product on board.  Delivered means that the receiver confirmed its SHA-256."""

    QUEUED = "QUEUED"
    HELD = "HELD"
    DELIVERED = "DELIVERED"
    DELETED = "DELETED"


class DownlinkClass(str, Enum):
    """Order of downlink: summaries, then masks, then imagery."""

    SUMMARY = "SUMMARY"
    MASK = "MASK"
    IMAGERY = "IMAGERY"


# --- Field types -----------------------------------------------------------------------------

UtcNanoseconds: TypeAlias = Annotated[
    int, Meta(ge=0, le=2**63 - 1, description="since 1970-01-01 UTC", extra={"unit": "ns"})
]
Identifier: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.:-]+\Z")
]
RelativePath: TypeAlias = Annotated[str, Meta(min_length=1, max_length=512)]
Fraction: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Count: TypeAlias = Annotated[int, Meta(ge=0)]
ByteCount: TypeAlias = Annotated[int, Meta(ge=0, extra={"unit": "byte"})]
Limit: TypeAlias = Annotated[int, Meta(ge=1, le=500, description="at most so many are listed")]
ProductKind: TypeAlias = Literal[
    "mask", "geotiff", "classes", "fill", "quicklook", "stac", "report"
]
EngineName: TypeAlias = Literal["dimc", "tensorrt", "torch-cuda", "torch-cpu"]
EngineChoice: TypeAlias = Literal["auto", "dimc", "tensorrt", "torch-cuda", "torch-cpu"]
Fusion: TypeAlias = Literal["or", "blend"]
Topic: TypeAlias = Literal["ver", "hk", "evt", "sci.cloud_fraction", "sci.progress"]


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A map on the wire whose keys are the fields below, no others."""


# --- Telecommands ----------------------------------------------------------------------------


class Telecommand(Record, frozen=True, kw_only=True):
    """Arguments of one telecommand; the class says the rest.

    ``READ_ONLY`` ones change nothing: they may be repeated and run in every mode.  ``IN_SAFE``
    ones run in SAFE mode too.  ``HAZARDOUS`` ones want a confirmation from the operator.
    ``RESULT`` is the type of ``data`` in COMPLETED.
    """

    NAME: ClassVar[str]
    READ_ONLY: ClassVar[bool] = False
    IN_SAFE: ClassVar[bool] = True
    HAZARDOUS: ClassVar[bool] = False
    RESULT: ClassVar[type[Record] | None] = None


class Pong(Record, frozen=True, kw_only=True):
    """Answer to PING."""

    t: UtcNanoseconds
    mode: Mode
    uptime_s: Annotated[float, Meta(ge=0, extra={"unit": "s"})]


class Ping(Telecommand, frozen=True, kw_only=True):
    """Do nothing, and say so."""

    NAME = "PING"
    READ_ONLY = True
    RESULT = Pong


class SceneResult(Record, frozen=True, kw_only=True):
    """What a processed scene came to; its products wait for downlink."""

    job: Identifier
    scene: str
    contaminated: Annotated[Fraction, Meta(description="contaminated share of the valid pixels")]
    valid_pixels: Count
    seconds: Annotated[float, Meta(ge=0, extra={"unit": "s"})]
    model: str
    products: Annotated[tuple[str, ...], Meta(description="ids of the products")]


class ProcessScene(Telecommand, frozen=True, kw_only=True):
    """Turn a scene into a cloud mask.  ACCEPTED means a durable job; ``data`` names it."""

    NAME = "PROCESS_SCENE"
    IN_SAFE = False
    RESULT = SceneResult

    scene: Annotated[RelativePath, Meta(description="path below the scene root")]
    products: Annotated[tuple[ProductKind, ...], Meta(min_length=1, max_length=7)] = (
        "geotiff",
        "report",
    )
    priority: Annotated[int, Meta(ge=0, le=9, description="9 goes first")] = 5
    fusion: Annotated[
        Fusion | None, Meta(description="of overlapping tiles; null: processing.fusion")
    ] = None
    ground_sample_distance: Annotated[Literal[10, 20, 40], Meta(extra={"unit": "m"})] = 10
    engine: Annotated[
        EngineChoice,
        Meta(description="this one and no other; auto: the chain of the settings"),
    ] = "auto"
    deadline: Annotated[
        UtcNanoseconds | None, Meta(description="the job is given up after this moment")
    ] = None


class CancelJob(Telecommand, frozen=True, kw_only=True):
    """End a job: at once where it waits, within one strip where it runs."""

    NAME = "CANCEL_JOB"
    job: Identifier


class JobRecord(Record, frozen=True, kw_only=True):
    """A job, waiting, running or ended."""

    job: Identifier
    scene: str
    state: JobState
    priority: int
    attempts: Count
    created_at: UtcNanoseconds
    started_at: UtcNanoseconds | None
    ended_at: UtcNanoseconds | None
    deadline: UtcNanoseconds | None
    code: Annotated[Code | None, Meta(description="why it ended otherwise than COMPLETED")]
    cause: str


class JobList(Record, frozen=True, kw_only=True):
    """Jobs, newest first."""

    jobs: tuple[JobRecord, ...]
    total: Annotated[int, Meta(description="jobs of these states, listed or not")]


class ListJobs(Telecommand, frozen=True, kw_only=True):
    """List jobs, newest first."""

    NAME = "LIST_JOBS"
    READ_ONLY = True
    RESULT = JobList
    states: Annotated[tuple[JobState, ...], Meta(max_length=6, description="none: all")] = ()
    limit: Limit = 50
    skip: Annotated[int, Meta(ge=0, le=1_000_000)] = 0


class SetMode(Telecommand, frozen=True, kw_only=True):
    """Change the mode.  Leaving OPERATIONAL requeues the running job."""

    NAME = "SET_MODE"
    HAZARDOUS = True
    mode: Literal["STANDBY", "OPERATIONAL", "SAFE"]


class SelfTestResult(Record, frozen=True, kw_only=True):
    """Golden tiles through the engine."""

    passed: bool
    device: str
    model: str
    tiles: Count
    findings: Annotated[tuple[str, ...], Meta(description="what was wrong, tile by tile")]


class SelfTest(Telecommand, frozen=True, kw_only=True):
    """Run the model package's golden tiles; waits for the running job to end."""

    NAME = "SELF_TEST"
    RESULT = SelfTestResult


Value: TypeAlias = bool | int | float | str


class ParameterValue(Record, frozen=True, kw_only=True):
    """A parameter, and what it would be by default."""

    name: str
    value: Value
    default: Value


class ParameterValues(Record, frozen=True, kw_only=True):
    """Parameters in the dictionary's order."""

    parameters: tuple[ParameterValue, ...]


class GetParameter(Telecommand, frozen=True, kw_only=True):
    """Read one parameter, or all."""

    NAME = "GET_PARAMETER"
    READ_ONLY = True
    RESULT = ParameterValues
    name: Annotated[str, Meta(max_length=64, description="empty: all")] = ""


class SetParameter(Telecommand, frozen=True, kw_only=True):
    """Set a parameter for good, or restore its default."""

    NAME = "SET_PARAMETER"
    RESULT = ParameterValues
    name: Annotated[str, Meta(min_length=1, max_length=64)]
    value: Annotated[Value | None, Meta(description="null restores the default")]


class SetHousekeepingRate(Telecommand, frozen=True, kw_only=True):
    """Set the time between housekeeping packets (the parameter housekeeping.period_s)."""

    NAME = "SET_HOUSEKEEPING_RATE"
    period_s: Annotated[float, Meta(ge=0.1, le=3600, extra={"unit": "s"})]


class Inner(Record, frozen=True, kw_only=True):
    """A telecommand inside SCHEDULE."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    args: dict[str, Any] = {}


class Schedule(Telecommand, frozen=True, kw_only=True):
    """Run a telecommand at a time.  It closes under the id that ``data`` of COMPLETED names."""

    NAME = "SCHEDULE"
    at: UtcNanoseconds
    telecommand: Inner
    if_missed: Annotated[
        Literal["report", "run"],
        Meta(description="what to do where the time passed while the service was down"),
    ] = "report"


class ScheduleEntry(Record, frozen=True, kw_only=True):
    """A telecommand that waits for its time."""

    entry: Identifier
    at: UtcNanoseconds
    telecommand: Inner
    if_missed: Literal["report", "run"]


class Scheduled(Record, frozen=True, kw_only=True):
    """Answer to SCHEDULE: the entry, whose id is that of the later telecommand too."""

    entry: Identifier


Schedule.RESULT = Scheduled


class Unschedule(Telecommand, frozen=True, kw_only=True):
    """Take a telecommand off the schedule."""

    NAME = "UNSCHEDULE"
    entry: Identifier


class ScheduleList(Record, frozen=True, kw_only=True):
    """Schedule entries, soonest first."""

    entries: tuple[ScheduleEntry, ...]


class ListSchedule(Telecommand, frozen=True, kw_only=True):
    """List what waits for its time."""

    NAME = "LIST_SCHEDULE"
    READ_ONLY = True
    RESULT = ScheduleList


class ProductRecord(Record, frozen=True, kw_only=True):
    """A product on board."""

    product: Identifier
    job: Identifier
    kind: ProductKind
    downlink_class: DownlinkClass
    name: Annotated[str, Meta(description="file name")]
    size: ByteCount
    sha256: str
    state: ProductState
    priority: Annotated[int, Meta(description="0 unless PRIORITISE_PRODUCT raised it")]
    clear: Annotated[Fraction, Meta(description="clear share of the scene's valid pixels")]
    created_at: UtcNanoseconds
    confirmed: Annotated[ByteCount, Meta(description="bytes that the receiver confirmed")]


class ProductList(Record, frozen=True, kw_only=True):
    """Products in the order of downlink, then the others, newest first."""

    products: tuple[ProductRecord, ...]
    total: Count


class ListProducts(Telecommand, frozen=True, kw_only=True):
    """List products in the order in which they would go down."""

    NAME = "LIST_PRODUCTS"
    READ_ONLY = True
    RESULT = ProductList
    states: Annotated[tuple[ProductState, ...], Meta(max_length=4)] = (
        ProductState.QUEUED,
        ProductState.HELD,
    )
    limit: Limit = 50
    skip: Annotated[int, Meta(ge=0, le=1_000_000)] = 0


class HoldProduct(Telecommand, frozen=True, kw_only=True):
    """Keep a product from going down until it is released."""

    NAME = "HOLD_PRODUCT"
    product: Identifier


class ReleaseProduct(Telecommand, frozen=True, kw_only=True):
    """Let a product go down: a held one, or once more a delivered one."""

    NAME = "RELEASE_PRODUCT"
    product: Identifier


class PrioritiseProduct(Telecommand, frozen=True, kw_only=True):
    """Send a product before all of lower priority, whatever its class."""

    NAME = "PRIORITISE_PRODUCT"
    product: Identifier
    priority: Annotated[int, Meta(ge=0, le=9)]


class DeleteProduct(Telecommand, frozen=True, kw_only=True):
    """Delete a product's file on board, delivered or not."""

    NAME = "DELETE_PRODUCT"
    HAZARDOUS = True
    product: Identifier


class OpenContact(Telecommand, frozen=True, kw_only=True):
    """Open a contact window; products go down until its bytes or its time are used up."""

    NAME = "OPEN_CONTACT"
    bytes: Annotated[int, Meta(ge=1, le=2**50, extra={"unit": "byte"})]
    seconds: Annotated[float, Meta(gt=0, le=86_400, extra={"unit": "s"})]


class CloseContact(Telecommand, frozen=True, kw_only=True):
    """Close the contact window."""

    NAME = "CLOSE_CONTACT"


class ModelResult(Record, frozen=True, kw_only=True):
    """Model packages after the telecommand."""

    active: str
    staged: str | None
    previous: str | None


class StageModel(Telecommand, frozen=True, kw_only=True):
    """Check an uploaded model package and keep it ready; the active one goes on."""

    NAME = "STAGE_MODEL"
    RESULT = ModelResult
    package: Annotated[RelativePath, Meta(description="folder below the model inbox")]
    sha256: Annotated[
        str,
        Meta(pattern=r"^[0-9a-f]{64}\Z", description="of the package's file SHA256SUMS"),
    ]


class ActivateModel(Telecommand, frozen=True, kw_only=True):
    """Self-test the staged model and fly it from the next job on; the old one is kept."""

    NAME = "ACTIVATE_MODEL"
    HAZARDOUS = True
    RESULT = ModelResult
    model: Annotated[str, Meta(min_length=1, max_length=128, description="id of the staged one")]


class RollBackModel(Telecommand, frozen=True, kw_only=True):
    """Go back to the model before the active one."""

    NAME = "ROLL_BACK_MODEL"
    HAZARDOUS = True
    RESULT = ModelResult


class LatestPackets(Record, frozen=True, kw_only=True):
    """How many packets were sent again."""

    sent: Count


class ReportLatest(Telecommand, frozen=True, kw_only=True):
    """Send the latest packet of each topic once more."""

    NAME = "REPORT_LATEST"
    READ_ONLY = True
    RESULT = LatestPackets
    topics: Annotated[tuple[Topic, ...], Meta(max_length=5, description="none: all")] = ()


class Restart(Telecommand, frozen=True, kw_only=True):
    """Stop in order and start again; the running job is requeued."""

    NAME = "RESTART"
    HAZARDOUS = True


class ShutDown(Telecommand, frozen=True, kw_only=True):
    """Stop in order and stay down; the running job is requeued."""

    NAME = "SHUT_DOWN"
    HAZARDOUS = True


TELECOMMANDS: Final[Mapping[str, type[Telecommand]]] = MappingProxyType(
    {
        kind.NAME: kind
        for kind in (
            Ping, ProcessScene, CancelJob, ListJobs, SetMode, SelfTest, GetParameter,
            SetParameter, SetHousekeepingRate, Schedule, Unschedule, ListSchedule, ListProducts,
            HoldProduct, ReleaseProduct, PrioritiseProduct, DeleteProduct, OpenContact,
            CloseContact, StageModel, ActivateModel, RollBackModel, ReportLatest, Restart, ShutDown,
        )
    }
)  # fmt: skip


class TelecommandBody(Record, frozen=True, kw_only=True):
    """Second frame of a telecommand."""

    id: Annotated[Identifier, Meta(description="chosen by the sender, unique for ever")]
    name: Annotated[str, Meta(min_length=1, max_length=64)]
    args: dict[str, Any] = {}
    sent_at: UtcNanoseconds


class TelecommandHeader(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """First frame of a telecommand: an array of four."""

    version: int
    key_id: Identifier
    sequence: Annotated[int, Meta(ge=1, le=2**62)]
    mac: Annotated[bytes, Meta(min_length=32, max_length=32)]


# --- Telemetry -------------------------------------------------------------------------------


class Verification(Record, frozen=True, kw_only=True):
    """A stage of a telecommand: answered to its sender, and published under ``ver``."""

    id: str
    name: str
    stage: Stage
    at: UtcNanoseconds
    key_id: str = ""
    code: Code | None = None
    cause: str = ""
    cure: str = ""
    step: Annotated[int, Meta(ge=0, description="of PROGRESS: so much is done")] = 0
    of: Annotated[int, Meta(ge=0, description="of PROGRESS: so much there is")] = 0
    data: dict[str, Any] = {}


class Event(Record, frozen=True, kw_only=True):
    """Something happened.  ``event`` is a name out of :data:`EVENTS`."""

    event: str
    severity: Severity
    message: str
    fields: dict[str, Any] = {}
    squelched: Annotated[int, Meta(ge=0, description="events of this name left out before")] = 0


class JobCounts(Record, frozen=True, kw_only=True):
    """Jobs by state."""

    queued: Annotated[int, Meta(ge=0, extra={"warning_high": 400, "critical_high": 500})] = 0
    running: Count = 0
    completed: Count = 0
    failed: Count = 0
    cancelled: Count = 0
    timed_out: Count = 0


class ProductCounts(Record, frozen=True, kw_only=True):
    """Products by state, and the bytes that wait for downlink."""

    queued: Count = 0
    held: Count = 0
    delivered: Count = 0
    deleted: Count = 0
    queued_bytes: Annotated[int, Meta(ge=0, extra={"unit": "byte", "warning_high": 16e9})] = 0


class TelecommandCounts(Record, frozen=True, kw_only=True):
    """Since the service started."""

    accepted: Count = 0
    rejected: Count = 0
    rejected_by_code: dict[str, int] = {}


class ContactState(Record, frozen=True, kw_only=True):
    """The contact window."""

    open: bool = False
    bytes_left: ByteCount = 0
    seconds_left: Annotated[float, Meta(ge=0, extra={"unit": "s"})] = 0.0


class Housekeeping(Record, frozen=True, kw_only=True):
    """The service's state of health.  None: no sensor tells."""

    mode: Mode
    uptime_s: Annotated[float, Meta(ge=0, extra={"unit": "s"})]
    boots: Annotated[int, Meta(ge=1, description="starts since the state file was made")]
    unclean_boots: Annotated[int, Meta(ge=0, description="of them after an unclean end")]
    reset_cause: Annotated[str, Meta(description="why the service started this time")]
    jobs: JobCounts
    products: ProductCounts
    telecommands: TelecommandCounts
    scheduled: Count
    contact: ContactState
    packets_dropped: Annotated[int, Meta(ge=0, description="telemetry that found no room")]
    events_squelched: Count
    card_temperature_c: Annotated[
        float | None, Meta(extra={"unit": "°C", "warning_high": 80.0, "critical_high": 85.0})
    ]
    card_power_w: Annotated[float | None, Meta(extra={"unit": "W", "warning_high": 15.0})]
    card_energy_j: Annotated[
        float | None, Meta(description="since the engine was opened", extra={"unit": "J"})
    ]
    cpu_temperature_c: Annotated[
        float | None, Meta(extra={"unit": "°C", "warning_high": 85.0, "critical_high": 95.0})
    ]
    cpu_share: Annotated[float, Meta(ge=0, description="of all cores, by this service")]
    memory_bytes: Annotated[int, Meta(ge=0, extra={"unit": "byte", "warning_high": 2e9})]
    disk_free_bytes: Annotated[
        int, Meta(ge=0, extra={"unit": "byte", "warning_low": 2e9, "critical_low": 1e9})
    ]
    storage_used_bytes: Annotated[int, Meta(ge=0, extra={"unit": "byte"})]
    storage_quota_bytes: ByteCount
    active_model: str
    engine: str
    device: str
    device_state: Literal["ready", "busy", "failed", "closed"]
    heartbeats: Annotated[dict[str, float], Meta(description="seconds since each thread answered")]


class CloudFraction(Record, frozen=True, kw_only=True):
    """The outcome of a scene."""

    job: Identifier
    scene: str
    model: str
    engine: str
    ground_sample_distance: Annotated[int, Meta(extra={"unit": "m"})]
    height: Annotated[int, Meta(extra={"unit": "pixel"})]
    width: Annotated[int, Meta(extra={"unit": "pixel"})]
    valid_pixels: Count
    contaminated: Fraction
    fractions: Annotated[dict[str, float], Meta(description="share of the valid pixels by class")]
    rows: Annotated[int, Meta(description="of the tile map; 53 for a whole scene at 10 m")]
    columns: Count
    tile_map: Annotated[
        bytes,
        Meta(description="rows x columns, row by row: 250 x contaminated share, 255 no data"),
    ]
    seconds: Annotated[float, Meta(ge=0, extra={"unit": "s"})]
    inference_seconds: Annotated[float, Meta(ge=0, extra={"unit": "s"})]
    stages_ms: Annotated[
        dict[str, dict[str, float]],
        Meta(
            description="mean, p50, p95, p99, sigma, max a tile",
            extra={"unit": "ms", "names": (LATENCY_STAGES, LATENCY_STATISTICS)},
        ),
    ]
    energy_j: Annotated[float | None, Meta(extra={"unit": "J"})]


class Progress(Record, frozen=True, kw_only=True):
    """How far the running job is."""

    job: Identifier
    scene: str
    rows_done: Annotated[int, Meta(ge=0, extra={"unit": "pixel"})]
    rows: Annotated[int, Meta(ge=0, extra={"unit": "pixel"})]
    elapsed_s: Annotated[float, Meta(ge=0, extra={"unit": "s"})]


class Packet(Record, frozen=True, kw_only=True):
    """Second frame of telemetry; the first is the topic.  ``seq`` counts each topic from 1."""

    v: int
    boot: Annotated[int, Meta(description="the boot count: a sequence starts anew with each")]
    seq: Annotated[int, Meta(ge=1)]
    t: UtcNanoseconds
    kind: Annotated[str, Meta(description="name of the body's type")]
    body: msgspec.Raw


PACKETS: Final[Mapping[Topic, type[Record]]] = MappingProxyType(
    {
        "ver": Verification,
        "hk": Housekeeping,
        "evt": Event,
        "sci.cloud_fraction": CloudFraction,
        "sci.progress": Progress,
    }
)


class EventKind(msgspec.Struct, frozen=True):
    """An event that can occur, and what it means."""

    severity: Severity
    doc: str


EventName: TypeAlias = Literal[
    "SERVICE_STARTED",
    "SERVICE_STOPPING",
    "UNCLEAN_RESTART",
    "BOOT_LOOP",
    "MODE_CHANGED",
    "SELF_TEST_PASSED",
    "SELF_TEST_FAILED",
    "ENGINE_UNAVAILABLE",
    "ENGINE_CHANGED",
    "ENGINE_RECONNECTED",
    "TELECOMMAND_REJECTED",
    "AUTHENTICATION_FAILED",
    "SCHEDULE_MISSED",
    "PARAMETER_CHANGED",
    "JOB_STARTED",
    "JOB_COMPLETED",
    "JOB_FAILED",
    "JOB_REQUEUED",
    "CONTACT_OPENED",
    "CONTACT_CLOSED",
    "PRODUCT_DELIVERED",
    "PRODUCT_REMOVED",
    "PRODUCT_LOST",
    "QUOTA_REACHED",
    "DISK_FULL",
    "LIMIT_EXCEEDED",
    "LIMIT_CLEARED",
    "TOO_HOT",
    "CLOCK_JUMPED",
    "PACKETS_DROPPED",
    "EVENTS_SQUELCHED",
    "MODEL_STAGED",
    "MODEL_ACTIVATED",
    "KEYS_REFUSED",
    "THREAD_STALLED",
    "INTERNAL_FAULT",
]

EVENTS: Final[Mapping[EventName, EventKind]] = MappingProxyType(
    {
        "SERVICE_STARTED": EventKind(Severity.ACTIVITY, "the service is ready for telecommands"),
        "SERVICE_STOPPING": EventKind(Severity.ACTIVITY, "the service stops in order"),
        "UNCLEAN_RESTART": EventKind(Severity.WARNING_HIGH, "the last run ended without order"),
        "BOOT_LOOP": EventKind(Severity.CRITICAL, "three unclean boots in ten minutes: SAFE"),
        "MODE_CHANGED": EventKind(Severity.ACTIVITY, "the mode changed"),
        "SELF_TEST_PASSED": EventKind(Severity.DIAGNOSTIC, "golden tiles came out right"),
        "SELF_TEST_FAILED": EventKind(Severity.CRITICAL, "golden tiles came out wrong"),
        "ENGINE_UNAVAILABLE": EventKind(Severity.CRITICAL, "no engine can be opened"),
        "ENGINE_CHANGED": EventKind(
            Severity.WARNING_HIGH, "an engine was given up for the next one of the chain"
        ),
        "ENGINE_RECONNECTED": EventKind(
            Severity.WARNING_LOW, "an engine failed, was opened anew, and goes on"
        ),
        "TELECOMMAND_REJECTED": EventKind(Severity.WARNING_LOW, "a telecommand was rejected"),
        "AUTHENTICATION_FAILED": EventKind(
            Severity.WARNING_HIGH, "a telecommand that nobody authorised signed"
        ),
        "SCHEDULE_MISSED": EventKind(
            Severity.WARNING_HIGH, "a scheduled time passed while the service was down"
        ),
        "PARAMETER_CHANGED": EventKind(Severity.ACTIVITY, "a parameter has a new value"),
        "JOB_STARTED": EventKind(Severity.ACTIVITY, "a job runs"),
        "JOB_COMPLETED": EventKind(Severity.ACTIVITY, "a job's products wait for downlink"),
        "JOB_FAILED": EventKind(Severity.WARNING_HIGH, "a job ended without products"),
        "JOB_REQUEUED": EventKind(Severity.WARNING_LOW, "a job was cut short and waits again"),
        "CONTACT_OPENED": EventKind(Severity.ACTIVITY, "a contact window opened"),
        "CONTACT_CLOSED": EventKind(Severity.ACTIVITY, "a contact window closed"),
        "PRODUCT_DELIVERED": EventKind(Severity.ACTIVITY, "the receiver confirmed a product"),
        "PRODUCT_REMOVED": EventKind(Severity.WARNING_LOW, "a product was removed to make room"),
        "PRODUCT_LOST": EventKind(Severity.WARNING_HIGH, "a product's file is gone or damaged"),
        "QUOTA_REACHED": EventKind(Severity.WARNING_HIGH, "products fill their quota: jobs wait"),
        "DISK_FULL": EventKind(Severity.CRITICAL, "the disk is full: SAFE"),
        "LIMIT_EXCEEDED": EventKind(Severity.WARNING_HIGH, "a value left its limits"),
        "LIMIT_CLEARED": EventKind(Severity.ACTIVITY, "a value is back within its limits"),
        "TOO_HOT": EventKind(Severity.CRITICAL, "a critical temperature: SAFE"),
        "CLOCK_JUMPED": EventKind(Severity.WARNING_LOW, "UTC moved against the monotonic clock"),
        "PACKETS_DROPPED": EventKind(Severity.WARNING_LOW, "telemetry found no room"),
        "EVENTS_SQUELCHED": EventKind(Severity.WARNING_LOW, "a source of events was squelched"),
        "MODEL_STAGED": EventKind(Severity.ACTIVITY, "a model package is ready"),
        "MODEL_ACTIVATED": EventKind(Severity.ACTIVITY, "another model flies"),
        "KEYS_REFUSED": EventKind(Severity.WARNING_HIGH, "a key file cannot be used"),
        "THREAD_STALLED": EventKind(Severity.CRITICAL, "a thread answers no more"),
        "INTERNAL_FAULT": EventKind(Severity.CRITICAL, "a fault of the service's own"),
    }
)


# --- Parameters ------------------------------------------------------------------------------


class Parameter(msgspec.Struct, frozen=True):
    """A persisted setting that telecommands read and write.

    ``choices`` for text; ``low`` and ``high`` (inclusive) for numbers.
    """

    default: Value
    doc: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()


PARAMETERS: Final[Mapping[str, Parameter]] = MappingProxyType(
    {
        "housekeeping.period_s": Parameter(
            10.0, "time between housekeeping packets", "s", 0.1, 3600
        ),
        "progress.period_s": Parameter(0.5, "least time between progress packets", "s", 0.1, 60),
        "commanding.rate_per_second": Parameter(
            200, "telecommands a second of one key; twice as many at once", "1/s", 1, 10_000
        ),
        "processing.fusion": Parameter(
            "or", "of overlapping tiles, unless the telecommand says", choices=("or", "blend")
        ),
        "processing.attempts": Parameter(2, "starts of a job before it fails", "", 1, 10),
        "processing.waiting_jobs": Parameter(500, "jobs that may wait", "", 1, 10_000),
        "processing.self_test": Parameter(True, "golden tiles before each scene"),
        "downlink.chunk_bytes": Parameter(
            1 << 20, "bytes of a chunk", "byte", 4096, 8 << 20
        ),
        "storage.quota_bytes": Parameter(
            20 * 10**9, "bytes that products may take on board", "byte", 10**6, 10**13
        ),
        "storage.reserve_bytes": Parameter(
            10**9, "bytes of the disk that stay free; below it the disk counts as full", "byte",
            10**6, 10**12,
        ),
        "fdir.warm_c": Parameter(80.0, "temperature at which work pauses", "°C", 0, 120),
        "fdir.hot_c": Parameter(85.0, "temperature that leads to SAFE", "°C", 0, 120),
        "fdir.hysteresis_c": Parameter(5.0, "so far below before it counts as cool", "°C", 0, 50),
    }
)  # fmt: skip


# --- Downlink --------------------------------------------------------------------------------


class NextProduct(Record, frozen=True, kw_only=True, tag="next", tag_field="type"):
    """Receiver: which product is next?  ``skip`` names products that it cannot take now."""

    v: int = VERSION
    skip: Annotated[tuple[str, ...], Meta(max_length=1000)] = ()


class ChunkRequest(Record, frozen=True, kw_only=True, tag="chunks", tag_field="type"):
    """Receiver: send ``credit`` chunks from ``offset``; all before ``offset`` is safely stored."""

    v: int = VERSION
    product: Identifier
    offset: ByteCount
    credit: Annotated[int, Meta(ge=1, le=256)]


class ProductReceived(Record, frozen=True, kw_only=True, tag="received", tag_field="type"):
    """Receiver: the whole product is stored, and this is its SHA-256."""

    v: int = VERSION
    product: Identifier
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


DownlinkRequest: TypeAlias = NextProduct | ChunkRequest | ProductReceived


class ProductOffer(Record, frozen=True, kw_only=True, tag="product", tag_field="type"):
    """Service: the next product.  ``chunk_bytes`` is the length of all chunks but the last."""

    v: int = VERSION
    product: Identifier
    job: Identifier
    kind: ProductKind
    downlink_class: DownlinkClass
    name: str
    size: ByteCount
    sha256: str
    chunk_bytes: ByteCount
    confirmed: ByteCount


class NothingNow(Record, frozen=True, kw_only=True, tag="nothing", tag_field="type"):
    """Service: no product goes down now; ask again later."""

    v: int = VERSION
    code: Annotated[Literal["EMPTY", "NO_CONTACT"], Meta(description="queue empty, or no contact")]


class Chunk(Record, frozen=True, kw_only=True, tag="chunk", tag_field="type"):
    """Service: a chunk; its bytes are the message's second frame."""

    v: int = VERSION
    product: Identifier
    offset: ByteCount
    size: ByteCount


class ProductDelivered(Record, frozen=True, kw_only=True, tag="delivered", tag_field="type"):
    """Service: the product is recorded as delivered and will not be offered again."""

    v: int = VERSION
    product: Identifier


class DownlinkRefused(Record, frozen=True, kw_only=True, tag="refused", tag_field="type"):
    """Service: the request cannot be met."""

    v: int = VERSION
    product: str
    code: Code
    cause: str


DownlinkReply: TypeAlias = ProductOffer | NothingNow | Chunk | ProductDelivered | DownlinkRefused
