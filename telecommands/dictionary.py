"""The space-to-ground interface, declared once: telecommands, packets, events, parameters, codes.

The flight side, the ground side, the generated pages and the dashboard all read it here.  ``Meta``
gives each field its range and meaning; ``extra`` gives its unit, the limits of a housekeeping value
(defaults, if a parameter sets them), of a map the ``names`` that are always present or those
``known`` that may be, level by level, and of an argument the telecommand that lists its values
(``listed_by``).
Fields without a description mean what :data:`MEANINGS` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias, get_args

import msgspec
from msgspec import Meta

VERSION: Final = 2
"""Of headers, packets and downlink messages; every other version is rejected."""

MAX_HEADER_BYTES: Final = 256
MAX_BODY_BYTES: Final = 64 * 1024
MAX_DEPTH: Final = 16
"""Limits of a received telecommand: bytes of its two frames, nesting depth of its arguments."""

TELECOMMAND_PORT: Final = 5701
TELEMETRY_PORT: Final = 5702
DOWNLINK_PORT: Final = 5703

LONGEST_UPLINK_CHUNK: Final = 48 * 1024
"""Bytes of a chunk of a model package; the telecommand around it has room in MAX_BODY_BYTES."""

TILE_MAP_STEPS: Final = 250
"""Values of :attr:`CloudFraction.tile_map`: 0 is clear, 250 is fully contaminated."""
TILE_MAP_NO_DATA: Final = 255

LATENCY_STAGES: Final = ("preparation", "accelerator", "fusion")
LATENCY_STATISTICS: Final = ("mean", "p50", "p95", "p99", "sigma", "max")
"""What :attr:`CloudFraction.stages_ms` gives for each stage that processed a tile."""

CLASS_NAMES: Final = ("clear", "contaminated", "thick cloud", "thin cloud", "cloud shadow")
"""What :attr:`CloudFraction.fractions` may name: the mask's two classes, then the network's own."""


class Code(str, Enum):
    """Why a telecommand was rejected, or a job or telecommand failed."""

    doc: str

    def __new__(cls, value: str, doc: str = "") -> Code:  # noqa: D102
        member = str.__new__(cls, value)
        member._value_ = value
        member.doc = doc
        return member

    # The telecommand itself.
    MALFORMED = "MALFORMED", "the message is not two msgpack frames in the format of this page"
    OVERSIZED = "OVERSIZED", "a frame is too long, or its arguments are nested too deep"
    WRONG_VERSION = "WRONG_VERSION", "the header's version differs from the service's"
    WRONG_UNIT = "WRONG_UNIT", "the telecommand is addressed to another unit"
    UNKNOWN_KEY = "UNKNOWN_KEY", "no telecommand key with this id is authorised"
    BAD_MAC = "BAD_MAC", "the authentication code (mac) does not match the telecommand"
    NOT_PERMITTED = "NOT_PERMITTED", "the key does not have the role that this needs"
    REPLAYED = "REPLAYED", "the sequence number has already been used"
    OUT_OF_WINDOW = "OUT_OF_WINDOW", "the sequence number is too far from the highest one received"
    RATE_LIMITED = (
        "RATE_LIMITED",
        "the key sent telecommands faster than commanding.rate_per_second",
    )
    WRONG_TIME = (
        "WRONG_TIME",
        "sent_at differs from the unit's clock by more than commanding.sent_at_window_s",
    )
    NOT_ARMED = (
        "NOT_ARMED",
        "the telecommand is hazardous, and no valid ARM of this key names it with these arguments",
    )
    UNKNOWN_TELECOMMAND = "UNKNOWN_TELECOMMAND", "the telecommand does not exist"
    BAD_ARGUMENTS = "BAD_ARGUMENTS", "an argument is missing, unknown, mistyped or out of range"
    NOT_IN_THIS_MODE = "NOT_IN_THIS_MODE", "the telecommand is not allowed in the current mode"
    # What the telecommand asks for.
    OUTSIDE_SCENE_ROOT = "OUTSIDE_SCENE_ROOT", "the path leaves the folder that it must stay in"
    UNKNOWN_JOB = "UNKNOWN_JOB", "the job does not exist"
    JOB_ENDED = "JOB_ENDED", "the job has already ended"
    UNKNOWN_PRODUCT = "UNKNOWN_PRODUCT", "the product does not exist"
    PRODUCT_STATE = "PRODUCT_STATE", "the telecommand is not allowed in the product's state"
    UNKNOWN_PARAMETER = "UNKNOWN_PARAMETER", "the parameter does not exist"
    UNKNOWN_SCHEDULE_ENTRY = "UNKNOWN_SCHEDULE_ENTRY", "the schedule entry does not exist"
    TIME_PASSED = "TIME_PASSED", "the given time is in the past"
    QUEUE_FULL = "QUEUE_FULL", "the queue of jobs, schedule entries or requests is full"
    NOT_TAKEN = (
        "NOT_TAKEN",
        "this client has not received these bytes of the product and so cannot confirm them",
    )
    NO_CONTACT = "NO_CONTACT", "no contact window is open, or its byte budget is spent"
    NO_MODEL = "NO_MODEL", "the model is not staged, or there is no previous model"
    NO_UPLINK = "NO_UPLINK", "no uplink of this name is open"
    UPLINK_GAP = "UPLINK_GAP", "bytes are missing before the chunk, or the file is not complete"
    UPLINK_QUOTA = (
        "UPLINK_QUOTA",
        "the model inbox would hold more than uplink.quota_bytes, or too many uplinks are open",
    )
    UPLINK_DAMAGED = (
        "UPLINK_DAMAGED",
        "the uplinked file does not match its SHA-256, or is not an archive of plain files",
    )
    STATE_UNAVAILABLE = "STATE_UNAVAILABLE", "the state file cannot be written at the moment"
    SHUTTING_DOWN = "SHUTTING_DOWN", "the service is shutting down"
    # How work ended.
    STOPPED_ABOVE = (
        "STOPPED_ABOVE",
        "the first look showed more cloud than stop_above: the scene was not processed further",
    )
    ATTEMPTS_EXHAUSTED = (
        "ATTEMPTS_EXHAUSTED",
        "the service died during each attempt of the job, most recently by a kill or a power cut",
    )
    SERVICE_CRASHED = (
        "SERVICE_CRASHED",
        (
            "the service died during each attempt of the job while no other scene was being"
            " decoded, most recently by a crash with a signal"
        ),
    )
    DEADLINE_PASSED = "DEADLINE_PASSED", "the job did not finish before its deadline"
    CANCELLED = "CANCELLED", "a telecommand cancelled the job"
    STATE_LOST = "STATE_LOST", "the record was damaged, so that it cannot be trusted any more"
    MISSED = "MISSED", "the scheduled time passed while the service was down"
    SELF_TEST_FAILED = "SELF_TEST_FAILED", "golden tiles gave wrong results"
    INTERNAL = "INTERNAL", "internal error; see the service log"
    # Scene processing (flightsw/errors.py).
    USAGE = "USAGE", "an argument does not suit the scene or the model"
    SCENE_NOT_FOUND = "SCENE_NOT_FOUND", "the path holds no supported scene product"
    MISSING_BAND = "MISSING_BAND", "a band file is missing"
    BAND_SIZE_MISMATCH = "BAND_SIZE_MISMATCH", "the bands of the product differ in size"
    DECODER_FAILED = (
        "DECODER_FAILED",
        "the process that reads the scene crashed, or gave an answer that cannot be right",
    )
    CORRUPT_IMAGE = "CORRUPT_IMAGE", "an image cannot be decoded, or contradicts its metadata"
    BAD_METADATA = "BAD_METADATA", "metadata is missing, unreadable, contradictory or implausible"
    INTEGRITY_TOO_LOW = (
        "INTEGRITY_TOO_LOW",
        "the integrity of the scene's files is below parameter processing.least_integrity",
    )
    AREA_OUTSIDE = "AREA_OUTSIDE", "the area of interest lies outside the scene"
    EMPTY_SCENE = "EMPTY_SCENE", "the scene has no valid pixel"
    PACKAGE_INVALID = "PACKAGE_INVALID", "a file of the model package is missing or contradictory"
    PACKAGE_TAMPERED = (
        "PACKAGE_TAMPERED",
        "a file of the model package differs from its released checksum",
    )
    PACKAGE_UNSIGNED = "PACKAGE_UNSIGNED", "no trusted release key signed the model package"
    ENGINE_UNAVAILABLE = "ENGINE_UNAVAILABLE", "a library, device or file of the engine is missing"
    INFERENCE_FAILED = "INFERENCE_FAILED", "the accelerator failed, hung or gave a wrong result"
    OUTPUT_NOT_WRITABLE = "OUTPUT_NOT_WRITABLE", "the product folder cannot be written"
    DISK_FULL = "DISK_FULL", "the disk has no space left for the products"
    MEMORY_EXHAUSTED = "MEMORY_EXHAUSTED", "the service ran out of memory"
    INTERRUPTED = "INTERRUPTED", "the service stopped before the work was done"


class Mode(str, Enum):
    """Operating mode of the service."""

    BOOT = "BOOT"
    STANDBY = "STANDBY"
    OPERATIONAL = "OPERATIONAL"
    SAFE = "SAFE"


class Stage(str, Enum):
    """Progress of a telecommand.  REJECTED and the last four stages close it."""

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
        """Whether it is the last stage of its telecommand."""
        return self not in (Stage.ACCEPTED, Stage.STARTED, Stage.PROGRESS)


class Severity(str, Enum):
    """Severity of an event, lowest first."""

    DIAGNOSTIC = "DIAGNOSTIC"
    ACTIVITY = "ACTIVITY"
    WARNING_LOW = "WARNING_LOW"
    WARNING_HIGH = "WARNING_HIGH"
    CRITICAL = "CRITICAL"


class JobState(str, Enum):
    """State of a job.  The last four are final."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"

    @property
    def ended(self) -> bool:
        """Whether the state is final."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


class ProductState(str, Enum):
    """State of a product on board.  DELIVERED: the receiver confirmed its SHA-256."""

    QUEUED = "QUEUED"
    HELD = "HELD"
    DELIVERED = "DELIVERED"
    DELETED = "DELETED"


class DownlinkClass(str, Enum):
    """Class of a product.  Downlink order: summaries, masks, imagery."""

    SUMMARY = "SUMMARY"
    MASK = "MASK"
    IMAGERY = "IMAGERY"


class Role(str, Enum):
    """What a client may do; ``flightsw keys authorise`` gives each client its roles."""

    doc: str

    def __new__(cls, value: str, doc: str = "") -> Role:  # noqa: D102
        member = str.__new__(cls, value)
        member._value_ = value
        member.doc = doc
        return member

    WATCH = "watch", "receive telemetry"
    COMMAND = "command", "send telecommands, with a telecommand key"
    RECEIVE = "receive", "receive products, and confirm those that it received"
    HAZARDOUS = "hazardous", "send hazardous telecommands too"


# --- Meanings ---------------------------------------------------------------------------------

MEANINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        # Time and place.
        "at": "time of the stage",
        "sent_at": "time of sending",
        "created_at": "time of creation",
        "started_at": "start of the last attempt",
        "ended_at": "end of the last attempt",
        "deadline": "time after which the job ends as TIMED_OUT",
        "t": "time of the packet or answer",
        "uptime_s": "time since the service started",
        "period_s": "period of housekeeping packets",
        "seconds": "processing time of the scene",
        "inference_seconds": "processing time from the engine's first tile to its last answer",
        "elapsed_s": "processing time so far",
        "seconds_left": "time until the window closes",
        "v": "version of this interface",
        "unit": "name of the unit",
        # Telecommands.
        "id": "id of the telecommand; empty if it could not be read",
        "name": "name of the telecommand; empty if it could not be read",
        "args": "arguments of the telecommand",
        "key_id": "key that signed the telecommand",
        "cause": "why, as a sentence",
        "cure": "corrective action",
        "data": "further facts: the result, the job, the highest sequence number",
        "accepted": "accepted telecommands",
        "rejected": "rejected telecommands",
        "entry": "id of the schedule entry",
        "entries": "the schedule entries",
        "if_missed": "what happens if the time passes while the service is down",
        "scheduled": "number of schedule entries",
        "parameters": "the parameters",
        "value": "current value",
        "default": "default value",
        "sent": "packets sent",
        # Events and packets.
        "event": "name of the event",
        "message": "what happened, as a sentence",
        "fields": "further facts about the event",
        "events_squelched": "suppressed events since the service started",
        "seq": "number of the packet within its topic and boot, from 1",
        "body": "the record of the topic",
        # Jobs and scenes.
        "job": "id of the job",
        "jobs": "the listed jobs",
        "scene": "path below the scene root",
        "priority": "9 is first",
        "attempts": "attempts so far",
        "valid_pixels": "pixels with data",
        "contaminated": "fraction of the valid pixels",
        "ground_sample_distance": "resolution of the mask",
        "height": "rows of the mask",
        "width": "columns of the mask",
        "columns": "columns of the tile map",
        "rows_done": "rows processed",
        "rows": "rows of the scene",
        "running": "running jobs",
        "completed": "completed jobs",
        "failed": "failed jobs",
        "cancelled": "cancelled jobs",
        "timed_out": "jobs that passed their deadline",
        # Products and downlink.
        "product": "id of the product",
        "products": "the listed products",
        "kind": "kind of product",
        "size": "size of the product",
        "sha256": "SHA-256 of the product, in hexadecimal",
        "offset": "position in the product",
        "chunk_bytes": "length of the longest chunk",
        "confirmed": "bytes that the service knows to be stored",
        "queued": "products queued for downlink",
        "held": "held products",
        "delivered": "delivered products",
        "deleted": "deleted products",
        "open": "whether a contact window is open",
        "bytes_left": "rest of the byte budget",
        "storage_used_bytes": "storage that the products take",
        "storage_quota_bytes": "storage that the products may take",
        # Models and engines.
        "model": "id of the model",
        "active": "id of the active model",
        "active_model": "id of the active model",
        "staged": "id of the staged model",
        "previous": "id of the model to roll back to",
        "engine": "name of the engine",
        "device": "device that the engine runs on",
        "device_state": "state of the device",
        "energy_j": "energy that the device used for the scene",
        "passed": "whether all golden tiles gave correct results",
        "tiles": "golden tiles that ran",
    }
)
"""Of fields without a description of their own: the name means the same in every record."""


# --- Field types -----------------------------------------------------------------------------

UtcNanoseconds: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1, extra={"unit": "ns"})]
Identifier: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.:-]+\Z")
]
UnitName: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=20, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*\Z")
]
TelecommandName: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=64, description="name of the telecommand")
]
RelativePath: TypeAlias = Annotated[str, Meta(min_length=1, max_length=512)]
Fraction: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Count: TypeAlias = Annotated[int, Meta(ge=0)]
ByteCount: TypeAlias = Annotated[int, Meta(ge=0, extra={"unit": "byte"})]
Limit: TypeAlias = Annotated[int, Meta(ge=1, le=500, description="longest list to return")]
Skip: TypeAlias = Annotated[
    int, Meta(ge=0, le=1_000_000, description="entries to leave out at the start")
]
ProductKind: TypeAlias = Literal[
    "mask", "geotiff", "cog", "classes", "probability", "fill", "quicklook", "stac", "report"
]
EngineName: TypeAlias = Literal["dimc", "tensorrt", "torch-cuda", "torch-cpu"]
Integrity: TypeAlias = Literal["doubtful", "unknown", "verified"]
INTEGRITIES: Final[tuple[Integrity, ...]] = get_args(Integrity)
"""How far a scene's files are known to be intact, from the least to the most."""
EngineChoice: TypeAlias = Literal["auto", EngineName]
Fusion: TypeAlias = Literal["or", "blend"]
PauseCause: TypeAlias = Literal["power", "temperature"]
Decode: TypeAlias = Literal["exact", "fast"]
Topic: TypeAlias = Literal["ver", "hk", "evt", "sci.cloud_fraction", "sci.progress"]


LARGEST_FLOAT32: Final = 3.4028234663852886e38
LARGEST_BUFFER_M: Final = 2000
"""Rows within the buffer are held in memory, on both sides of those that are written."""


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A map on the wire whose keys are the declared fields and no others."""


# --- Telecommands ----------------------------------------------------------------------------


class Telecommand(Record, frozen=True, kw_only=True):
    """Arguments of one telecommand, with its properties as class variables.

    ``READ_ONLY``: changes nothing, may be repeated, runs in every mode.  ``IN_SAFE``: runs in SAFE
    and BOOT too.  ``HAZARDOUS``: the ground asks the operator for confirmation, and the service
    runs it only if it was armed (ARM); :func:`is_hazardous` counts arguments too.
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
    """Check the link: answers with the time, the mode and the uptime."""

    NAME = "PING"
    READ_ONLY = True
    RESULT = Pong


class SceneResult(Record, frozen=True, kw_only=True):
    """Result of a processed scene; its products are queued for downlink."""

    job: Identifier
    scene: str
    contaminated: Annotated[Fraction, Meta(description="fraction of the valid pixels")]
    valid_pixels: Count
    seconds: Annotated[float, Meta(ge=0, extra={"unit": "s"})]
    model: str
    products: Annotated[tuple[str, ...], Meta(description="product ids")]


class ProcessScene(Telecommand, frozen=True, kw_only=True):
    """Compute the cloud mask of a scene.  ACCEPTED: the job is stored; ``data`` gives its id."""

    NAME = "PROCESS_SCENE"
    IN_SAFE = False
    RESULT = SceneResult

    scene: Annotated[
        RelativePath,
        Meta(description="path below the scene root", extra={"listed_by": "LIST_SCENES"}),
    ]
    products: Annotated[
        tuple[ProductKind, ...], Meta(min_length=1, max_length=9, description="products to write")
    ] = ("geotiff", "report")
    priority: Annotated[int, Meta(ge=0, le=9, description="9 runs first")] = 5
    fusion: Annotated[
        Fusion | None,
        Meta(description="how overlapping tiles are combined; null: parameter processing.fusion"),
    ] = None
    threshold_percent: Annotated[
        Annotated[int, Meta(ge=1, le=100)] | None,
        Meta(
            description="cloud probability at or above which a pixel is contaminated; null: the"
            " settings'",
            extra={"unit": "%"},
        ),
    ] = None
    buffer_m: Annotated[
        Annotated[float, Meta(ge=0, le=LARGEST_BUFFER_M)] | None,
        Meta(
            description="distance around contaminated pixels that is also contaminated; null: the"
            " settings'",
            extra={"unit": "m"},
        ),
    ] = None
    ground_sample_distance: Annotated[
        Literal[10, 20, 40] | None,
        Meta(description="resolution of the mask; null: that of the settings", extra={"unit": "m"}),
    ] = None
    decode: Annotated[
        Decode | None,
        Meta(
            description="exact, or fast: without the bit-planes that the network does not see;"
            " null: the settings'"
        ),
    ] = None
    stop_above: Annotated[
        Fraction | None,
        Meta(
            description="contaminated fraction above which processing stops: if a first look shows"
            " that the scene is certainly above it, the job is COMPLETED with STOPPED_ABOVE,"
            " an estimated cloud fraction and a quick-look; null: each scene is processed"
        ),
    ] = None
    offset: Annotated[
        Annotated[float, Meta(ge=-10_000, le=0)] | None,
        Meta(
            description="DN offset of all bands, overrides the product's offset; in reflectance if"
            " scale is given; null: use the product's offset"
        ),
    ] = None
    scale: Annotated[
        Annotated[float, Meta(gt=0, le=1)] | None,
        Meta(
            description="scale of a GeoTIFF (reflectance = value x scale + offset), overrides its"
            " tags; null: use its tags"
        ),
    ] = None
    nodata: Annotated[
        Annotated[float, Meta(ge=-LARGEST_FLOAT32, le=LARGEST_FLOAT32)] | None,
        Meta(
            description="pixel value that marks no data in a GeoTIFF; null: the value in its tags,"
            " and NaN"
        ),
    ] = None
    bands: Annotated[
        tuple[Annotated[str, Meta(max_length=32)], ...],
        Meta(
            max_length=64,
            description="names of a GeoTIFF's bands in the file's order; empty: use its"
            " descriptions",
        ),
    ] = ()
    tile: Annotated[
        str, Meta(max_length=64, description="tile of a product with several, such as T32TQM")
    ] = ""
    area: Annotated[
        str,
        Meta(
            max_length=32_768,
            description="GeoJSON polygons (RFC 7946): process only this area; empty: the whole"
            " scene",
        ),
    ] = ""
    bounds: Annotated[
        tuple[Annotated[float, Meta(ge=-360, le=360)], ...],
        Meta(
            max_length=4,
            description="west, south, east, north, in place of area: process only the rectangle of"
            " pixels around them; empty: the whole scene",
            extra={"unit": "deg"},
        ),
    ] = ()
    engine: Annotated[
        EngineChoice,
        Meta(description="use this engine only; auto: the engine chain of the settings"),
    ] = "auto"
    deadline: Annotated[
        UtcNanoseconds | None, Meta(description="the job ends as TIMED_OUT after this time")
    ] = None


class CancelJob(Telecommand, frozen=True, kw_only=True):
    """Cancel a job: immediately if it is queued, within one image strip if it is running.

    COMPLETED when the job has ended as CANCELLED; FAILED with JOB_ENDED if it ended otherwise.
    """

    NAME = "CANCEL_JOB"
    job: Identifier


class JobRecord(Record, frozen=True, kw_only=True):
    """A queued, running or ended job."""

    job: Identifier
    scene: str
    state: JobState
    priority: int
    attempts: Count
    created_at: UtcNanoseconds
    started_at: UtcNanoseconds | None
    ended_at: UtcNanoseconds | None
    deadline: UtcNanoseconds | None
    code: Annotated[
        Code | None, Meta(description="why it did not end as COMPLETED, or STOPPED_ABOVE")
    ]
    cause: str


class JobList(Record, frozen=True, kw_only=True):
    """Jobs, newest first."""

    jobs: tuple[JobRecord, ...]
    total: Annotated[int, Meta(description="all jobs in these states, listed or not")]


class ListJobs(Telecommand, frozen=True, kw_only=True):
    """List jobs, newest first."""

    NAME = "LIST_JOBS"
    READ_ONLY = True
    RESULT = JobList
    states: Annotated[
        tuple[JobState, ...], Meta(max_length=6, description="states to list; empty: all")
    ] = ()
    limit: Limit = 50
    skip: Skip = 0


class SceneRecord(Record, frozen=True, kw_only=True):
    """A scene below the scene root, recognised by its name; it was not opened."""

    scene: Annotated[str, Meta(description="path below the scene root, for PROCESS_SCENE")]
    size: Annotated[
        ByteCount | None, Meta(description="size of its files; null: too many to be measured")
    ]
    modified_at: Annotated[UtcNanoseconds, Meta(description="time of its last change")]


class SceneList(Record, frozen=True, kw_only=True):
    """Scenes, newest first."""

    scenes: Annotated[tuple[SceneRecord, ...], Meta(description="the listed scenes")]
    total: Annotated[int, Meta(ge=0, description="all scenes, listed or not")]
    remark: Annotated[
        str, Meta(description="why the list is empty or incomplete; otherwise empty")
    ] = ""


class ListScenes(Telecommand, frozen=True, kw_only=True):
    """List the scenes below the scene root, newest first, with their sizes."""

    NAME = "LIST_SCENES"
    READ_ONLY = True
    RESULT = SceneList
    limit: Limit = 50
    skip: Skip = 0


class SetMode(Telecommand, frozen=True, kw_only=True):
    """Change the mode.  Leaving OPERATIONAL puts the running job back into the queue."""

    NAME = "SET_MODE"
    HAZARDOUS = True
    mode: Annotated[Literal["STANDBY", "OPERATIONAL", "SAFE"], Meta(description="new mode")]


class SelfTestResult(Record, frozen=True, kw_only=True):
    """Result of the golden tiles on the engine in use."""

    passed: bool
    device: str
    model: str
    tiles: Count
    findings: Annotated[tuple[str, ...], Meta(description="what was wrong, per tile")]


class SelfTest(Telecommand, frozen=True, kw_only=True):
    """Run the golden tiles of the model package, after the running job has ended."""

    NAME = "SELF_TEST"
    RESULT = SelfTestResult


Value: TypeAlias = bool | int | float | Annotated[str, Meta(max_length=256)]


class ParameterValue(Record, frozen=True, kw_only=True):
    """A parameter with its value and its default."""

    name: Annotated[str, Meta(description="name of the parameter")]
    value: Value
    default: Value


class ParameterValues(Record, frozen=True, kw_only=True):
    """Parameters, in the order of this interface."""

    parameters: tuple[ParameterValue, ...]


class GetParameter(Telecommand, frozen=True, kw_only=True):
    """Read one parameter or all parameters."""

    NAME = "GET_PARAMETER"
    READ_ONLY = True
    RESULT = ParameterValues
    name: Annotated[str, Meta(max_length=64, description="parameter; empty: all")] = ""


class SetParameter(Telecommand, frozen=True, kw_only=True):
    """Set a parameter permanently, or restore its default."""

    NAME = "SET_PARAMETER"
    RESULT = ParameterValues
    name: Annotated[str, Meta(min_length=1, max_length=64, description="name of the parameter")]
    value: Annotated[Value | None, Meta(description="null restores the default")]


class SetHousekeepingRate(Telecommand, frozen=True, kw_only=True):
    """Set the period of housekeeping packets (parameter housekeeping.period_s)."""

    NAME = "SET_HOUSEKEEPING_RATE"
    period_s: Annotated[float, Meta(ge=0.1, le=3600, extra={"unit": "s"})]


class TelecommandCall(Record, frozen=True, kw_only=True):
    """The telecommand to run."""

    name: TelecommandName
    args: dict[str, Any] = {}


class Schedule(Telecommand, frozen=True, kw_only=True):
    """Run a telecommand at a given time.  ``data`` of COMPLETED gives the id that it will have."""

    NAME = "SCHEDULE"
    at: Annotated[UtcNanoseconds, Meta(description="time to run the telecommand")]
    telecommand: TelecommandCall
    if_missed: Annotated[
        Literal["report", "run"],
        Meta(description="what to do if the time passes while the service is down"),
    ] = "report"


class ScheduleEntry(Record, frozen=True, kw_only=True):
    """A scheduled telecommand."""

    entry: Identifier
    at: Annotated[UtcNanoseconds, Meta(description="time to run the telecommand")]
    telecommand: TelecommandCall
    if_missed: Literal["report", "run"]
    key_id: Annotated[str, Meta(description="key that scheduled it")] = ""


class ScheduleResult(Record, frozen=True, kw_only=True):
    """Answer to SCHEDULE: id of the entry, and of the telecommand when it runs."""

    entry: Identifier


Schedule.RESULT = ScheduleResult


class ArmResult(Record, frozen=True, kw_only=True):
    """Answer to ARM."""

    arm: Annotated[
        Identifier, Meta(description="id to send in the field arm of the armed telecommand")
    ]
    seconds: Annotated[
        float, Meta(description="the telecommand must arrive within this time", extra={"unit": "s"})
    ]


class Arm(Telecommand, frozen=True, kw_only=True):
    """Arm a hazardous telecommand: the same key may then send it once, within the time limit.

    Give the name and the arguments of the telecommand; they are checked immediately.
    """

    NAME = "ARM"
    RESULT = ArmResult
    telecommand: TelecommandCall


class Unschedule(Telecommand, frozen=True, kw_only=True):
    """Remove a telecommand from the schedule."""

    NAME = "UNSCHEDULE"
    entry: Identifier


class ScheduleList(Record, frozen=True, kw_only=True):
    """Schedule entries, earliest first."""

    entries: tuple[ScheduleEntry, ...]


class ListSchedule(Telecommand, frozen=True, kw_only=True):
    """List the scheduled telecommands, earliest first."""

    NAME = "LIST_SCHEDULE"
    READ_ONLY = True
    RESULT = ScheduleList
    limit: Limit = 50
    skip: Skip = 0


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
    priority: Annotated[int, Meta(description="0 unless set by PRIORITISE_PRODUCT")]
    clear: Annotated[Fraction, Meta(description="clear fraction of the valid pixels of the scene")]
    created_at: UtcNanoseconds
    confirmed: Annotated[ByteCount, Meta(description="bytes that the receiver has confirmed")]


class ProductList(Record, frozen=True, kw_only=True):
    """Products waiting for downlink in downlink order, then the other products, newest first."""

    products: tuple[ProductRecord, ...]
    total: Annotated[int, Meta(ge=0, description="all products in these states, listed or not")]


class ListProducts(Telecommand, frozen=True, kw_only=True):
    """List products, those waiting for downlink first and in downlink order."""

    NAME = "LIST_PRODUCTS"
    READ_ONLY = True
    RESULT = ProductList
    states: Annotated[
        tuple[ProductState, ...], Meta(max_length=4, description="states to list; empty: all")
    ] = (ProductState.QUEUED, ProductState.HELD)
    limit: Limit = 50
    skip: Skip = 0


class HoldProduct(Telecommand, frozen=True, kw_only=True):
    """Exclude a product from downlink until it is released."""

    NAME = "HOLD_PRODUCT"
    product: Identifier


class ReleaseProduct(Telecommand, frozen=True, kw_only=True):
    """Queue a held product for downlink, or a delivered product for another downlink."""

    NAME = "RELEASE_PRODUCT"
    product: Identifier


class PrioritiseProduct(Telecommand, frozen=True, kw_only=True):
    """Downlink a product before all products of lower priority, regardless of class."""

    NAME = "PRIORITISE_PRODUCT"
    product: Identifier
    priority: Annotated[int, Meta(ge=0, le=9, description="9 is downlinked first")]


class DeleteProduct(Telecommand, frozen=True, kw_only=True):
    """Delete the file of a product on board, delivered or not."""

    NAME = "DELETE_PRODUCT"
    HAZARDOUS = True
    product: Identifier


class OpenContact(Telecommand, frozen=True, kw_only=True):
    """Open a contact window: products are downlinked until its bytes or its time are spent."""

    NAME = "OPEN_CONTACT"
    bytes: Annotated[
        int, Meta(ge=1, le=2**50, description="byte budget of the window", extra={"unit": "byte"})
    ]
    seconds: Annotated[
        float, Meta(gt=0, le=86_400, description="length of the window", extra={"unit": "s"})
    ]


class CloseContact(Telecommand, frozen=True, kw_only=True):
    """Close the contact window."""

    NAME = "CLOSE_CONTACT"


class ModelResult(Record, frozen=True, kw_only=True):
    """Model packages on board after the telecommand."""

    active: str
    staged: str | None
    previous: str | None


class StageModel(Telecommand, frozen=True, kw_only=True):
    """Verify an uploaded model package and stage it; the active model stays active."""

    NAME = "STAGE_MODEL"
    RESULT = ModelResult
    package: Annotated[
        RelativePath, Meta(description="folder of the package below the model inbox")
    ]
    sha256: Annotated[
        str,
        Meta(pattern=r"^[0-9a-f]{64}\Z", description="SHA-256 of the package's file SHA256SUMS"),
    ]


UplinkName: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*\Z",
        description="folder of the package in the model inbox",
    ),
]
Sha256: TypeAlias = Annotated[
    str, Meta(pattern=r"^[0-9a-f]{64}\Z", description="SHA-256 of the file, in hexadecimal")
]
UplinkSize: TypeAlias = Annotated[
    int, Meta(ge=1, le=2**40, description="size of the file", extra={"unit": "byte"})
]
UplinkReceived: TypeAlias = Annotated[
    ByteCount, Meta(description="bytes that are stored on board, from the start")
]


class UplinkRecord(Record, frozen=True, kw_only=True):
    """A package in the model inbox, or on its way into it."""

    name: UplinkName
    size: Annotated[
        ByteCount, Meta(description="size of the uplinked file; 0: it was put there otherwise")
    ]
    sha256: Annotated[str, Meta(description="SHA-256 of that file; empty if size is 0")]
    received: UplinkReceived
    complete: Annotated[bool, Meta(description="whether STAGE_MODEL can read the package")]


class BeginUplink(Telecommand, frozen=True, kw_only=True):
    """Begin or resume the uplink of a model package: an archive (tar, ustar) of its files.

    The answer says how much is stored; the chunks continue there, also after a restart.  An uplink
    of the same name with another size or SHA-256 is discarded.
    """

    NAME = "BEGIN_UPLINK"
    RESULT = UplinkRecord
    name: UplinkName
    size: UplinkSize
    sha256: Sha256


class UplinkChunk(Telecommand, frozen=True, kw_only=True):
    """Store the next bytes of an uplink.  Bytes that are stored already change nothing.

    A chunk that would leave a gap is rejected with UPLINK_GAP; ``received`` in its ``data`` is the
    offset to continue at.
    """

    NAME = "UPLINK_CHUNK"
    RESULT = UplinkRecord
    name: UplinkName
    offset: Annotated[ByteCount, Meta(description="position of the chunk in the file")]
    data: Annotated[
        bytes,
        Meta(min_length=1, max_length=LONGEST_UPLINK_CHUNK, description="bytes of the file"),
    ]


class EndUplink(Telecommand, frozen=True, kw_only=True):
    """Check the SHA-256 of an uplink and unpack it into the model inbox, whole or not at all.

    STAGE_MODEL can read the package then.  A file with another SHA-256 is deleted.
    """

    NAME = "END_UPLINK"
    RESULT = UplinkRecord
    name: UplinkName


class DeleteUplink(Telecommand, frozen=True, kw_only=True):
    """Delete a package, or what was received of it, from the model inbox."""

    NAME = "DELETE_UPLINK"
    name: UplinkName


class UplinkList(Record, frozen=True, kw_only=True):
    """Packages in the model inbox and uplinks that are not complete, by name."""

    uplinks: Annotated[tuple[UplinkRecord, ...], Meta(description="the packages")]
    used_bytes: Annotated[ByteCount, Meta(description="bytes that count against the quota")]
    quota_bytes: Annotated[ByteCount, Meta(description="parameter uplink.quota_bytes")]


class ListUplinks(Telecommand, frozen=True, kw_only=True):
    """List packages in the model inbox and the progress of open uplinks, at most 100 in all."""

    NAME = "LIST_UPLINKS"
    READ_ONLY = True
    RESULT = UplinkList


class ActivateModel(Telecommand, frozen=True, kw_only=True):
    """Self-test the staged model and use it from the next job on; the old model is kept."""

    NAME = "ACTIVATE_MODEL"
    HAZARDOUS = True
    RESULT = ModelResult
    model: Annotated[str, Meta(min_length=1, max_length=128, description="id of the staged model")]


class RollBackModel(Telecommand, frozen=True, kw_only=True):
    """Activate the previous model again."""

    NAME = "ROLL_BACK_MODEL"
    HAZARDOUS = True
    RESULT = ModelResult


class LatestPackets(Record, frozen=True, kw_only=True):
    """Number of packets that were sent again."""

    sent: Count


class ReportLatest(Telecommand, frozen=True, kw_only=True):
    """Send the latest packet of each topic again."""

    NAME = "REPORT_LATEST"
    READ_ONLY = True
    RESULT = LatestPackets
    topics: Annotated[
        tuple[Topic, ...], Meta(max_length=5, description="topics to send; empty: all")
    ] = ()


class RotatedKey(Record, frozen=True, kw_only=True):
    """The key that is valid from now on."""

    fingerprint: Annotated[str, Meta(description="of the new public CURVE key")]
    old_until: Annotated[UtcNanoseconds, Meta(description="end of the key that signed")]


class RotateKey(Telecommand, frozen=True, kw_only=True):
    """Replace the key that signs this telecommand; both keys are valid until ``old_until``.

    Roles and expiry do not change.  The first sequence number of the new telecommand key may be 1.
    The new secret is encrypted with the signing key: it is XORed with the HMAC-SHA256, keyed with
    the signing key, of the text "flightsw key transport" followed by the nonce.
    """

    NAME = "ROTATE_KEY"
    RESULT = RotatedKey
    public: Annotated[
        str,
        Meta(
            pattern=r"^[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}\Z",
            description="new public CURVE key, in Z85",
        ),
    ]
    nonce: Annotated[
        str, Meta(pattern=r"^[0-9a-f]{32}\Z", description="16 random bytes, in hexadecimal")
    ]
    secret: Annotated[
        str,
        Meta(
            pattern=r"^[0-9a-f]{64}\Z",
            description="new telecommand key of 32 bytes, encrypted, in hexadecimal",
        ),
    ]
    old_until: Annotated[
        UtcNanoseconds, Meta(description="time until which the signing key stays valid")
    ]


class Restart(Telecommand, frozen=True, kw_only=True):
    """Shut the service down cleanly and start it again; the running job is requeued."""

    NAME = "RESTART"
    HAZARDOUS = True


class ShutDown(Telecommand, frozen=True, kw_only=True):
    """Shut the service down cleanly and leave it stopped; the running job is requeued."""

    NAME = "SHUT_DOWN"
    HAZARDOUS = True


TELECOMMANDS: Final[Mapping[str, type[Telecommand]]] = MappingProxyType(
    {
        kind.NAME: kind
        for kind in (
            Ping, ProcessScene, CancelJob, ListJobs, ListScenes, SetMode, SelfTest, GetParameter,
            SetParameter, SetHousekeepingRate, Arm, Schedule, Unschedule, ListSchedule,
            ListProducts, HoldProduct, ReleaseProduct, PrioritiseProduct, DeleteProduct,
            OpenContact, CloseContact, BeginUplink, UplinkChunk, EndUplink, DeleteUplink,
            ListUplinks, StageModel, ActivateModel, RollBackModel, ReportLatest,
            RotateKey,
            Restart, ShutDown,
        )
    }
)  # fmt: skip


class TelecommandBody(Record, frozen=True, kw_only=True):
    """Second frame of a telecommand."""

    id: Annotated[
        Identifier, Meta(description="chosen by the sender; unique for its key, never reused")
    ]
    name: TelecommandName
    args: dict[str, Any] = {}
    sent_at: UtcNanoseconds
    arm: Annotated[
        Identifier | None,
        Meta(description="for a hazardous telecommand: the id (arm) from the answer to ARM"),
    ] = None


class TelecommandHeader(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """First frame of a telecommand: an array of five values."""

    version: Annotated[int, Meta(description="version of this interface: 2")]
    unit: Annotated[UnitName, Meta(description="name of the unit that the telecommand is for")]
    key_id: Annotated[
        Identifier,
        Meta(description="name of the telecommand key: the file name without .telecommand_key"),
    ]
    sequence: Annotated[
        int, Meta(ge=1, le=2**62, description="number of the telecommand among those of its key")
    ]
    mac: Annotated[
        bytes, Meta(min_length=32, max_length=32, description="authentication code, HMAC-SHA256")
    ]


# --- Telemetry -------------------------------------------------------------------------------


class Verification(Record, frozen=True, kw_only=True):
    """A stage of a telecommand: sent to its sender, and published under the topic ``ver``.

    The published record omits data of more than 8 KiB and gives its size in ``bytes_left_out``.
    """

    id: str
    name: str
    stage: Stage
    at: UtcNanoseconds
    key_id: str = ""
    code: Code | None = None
    cause: str = ""
    cure: str = ""
    step: Annotated[int, Meta(ge=0, description="PROGRESS: pixel rows done")] = 0
    of: Annotated[int, Meta(ge=0, description="PROGRESS: pixel rows in total")] = 0
    data: dict[str, Any] = {}


class Event(Record, frozen=True, kw_only=True):
    """Something that happened on board; the list of events says what each name means."""

    event: str
    severity: Severity
    message: str
    fields: dict[str, Any] = {}
    squelched: Annotated[
        int, Meta(ge=0, description="suppressed events of this name since the last one")
    ] = 0


class JobCounts(Record, frozen=True, kw_only=True):
    """Number of jobs in each state."""

    queued: Annotated[int, Meta(ge=0, extra={"warning_high": 400, "critical_high": 500})] = 0
    running: Count = 0
    completed: Count = 0
    failed: Count = 0
    cancelled: Count = 0
    timed_out: Count = 0


class ProductCounts(Record, frozen=True, kw_only=True):
    """Number of products in each state, and the bytes queued for downlink."""

    queued: Count = 0
    held: Count = 0
    delivered: Count = 0
    deleted: Count = 0
    queued_bytes: Annotated[int, Meta(ge=0, extra={"unit": "byte", "warning_high": 16e9})] = 0


class TelecommandCounts(Record, frozen=True, kw_only=True):
    """Number of telecommands since the service started."""

    accepted: Count = 0
    rejected: Count = 0
    rejected_by_code: Annotated[
        dict[str, int],
        Meta(
            description="rejected telecommands by code",
            extra={"known": (tuple(code.value for code in Code),)},
        ),
    ] = {}


class ContactState(Record, frozen=True, kw_only=True):
    """State of the contact window."""

    open: bool = False
    bytes_left: ByteCount = 0
    seconds_left: Annotated[float, Meta(ge=0, extra={"unit": "s"})] = 0.0


class Housekeeping(Record, frozen=True, kw_only=True):
    """State of health of the service.  null: no sensor reports the value."""

    mode: Mode
    uptime_s: Annotated[float, Meta(ge=0, extra={"unit": "s"})]
    boots: Annotated[int, Meta(ge=1, description="starts since the state file was created")]
    unclean_boots: Annotated[int, Meta(ge=0, description="boots that followed an unclean shutdown")]
    reset_cause: Annotated[str, Meta(description="reason of the current start")]
    jobs: JobCounts
    products: ProductCounts
    telecommands: TelecommandCounts
    clock_trusted: Annotated[
        bool, Meta(description="whether the file of the setting service.clock_file exists")
    ]
    sent_at_checked: Annotated[
        bool,
        Meta(description="whether the sent_at of telecommands is checked against the clock now"),
    ]
    scheduled: Count
    contact: ContactState
    packets_dropped: Annotated[
        int, Meta(ge=0, description="telemetry packets dropped: send queue full")
    ]
    events_squelched: Count
    card_temperature_c: Annotated[
        float | None, Meta(extra={"unit": "°C", "warning_high": 80.0, "critical_high": 85.0})
    ]
    card_power_w: Annotated[
        float | None, Meta(extra={"unit": "W", "warning_high": 15.0, "hysteresis": 1.0})
    ]
    card_energy_j: Annotated[
        float | None, Meta(description="energy since the engine was opened", extra={"unit": "J"})
    ]
    mean_power_w: Annotated[
        float | None,
        Meta(
            description="ten-second mean of the power that the budget limits; null: no budget is"
            " set, no sensor measures power, or ten seconds have not passed",
            extra={"unit": "W"},
        ),
    ] = None
    paused_s: Annotated[
        float,
        Meta(
            ge=0,
            description="total time that work was paused, to meet the power budget or to cool the"
            " card, since the service started",
            extra={"unit": "s"},
        ),
    ] = 0.0
    paused_by: Annotated[
        Literal["nothing", "power", "temperature"],
        Meta(description="why work was paused in the last 30 s"),
    ] = "nothing"
    cpu_temperature_c: Annotated[
        float | None,
        Meta(extra={"unit": "°C", "warning_high": 85.0, "critical_high": 95.0, "hysteresis": 5.0}),
    ]
    cpu_share: Annotated[
        float, Meta(ge=0, description="CPU use of this service, fraction of all cores")
    ]
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
    heartbeats: Annotated[
        dict[str, float],
        Meta(
            description="seconds since the last sign of life, by thread",
            extra={"known": (("commanding", "telemetry", "downlink", "processing"),)},
        ),
    ]


class CloudFraction(Record, frozen=True, kw_only=True):
    """Result of a processed scene."""

    job: Identifier
    scene: str
    integrity: Annotated[
        Integrity,
        Meta(
            description="of the scene's files. verified: each has its checksum; unknown: there are"
            " no checksums; doubtful: the list of checksums is damaged or incomplete"
        ),
    ] = "unknown"
    decode: Annotated[
        Decode, Meta(description="fast: without the bit-planes that the network does not see")
    ] = "exact"
    largest_error_dn: Annotated[
        int, Meta(description="largest error of a digital number of a fast decode")
    ] = 0
    at_least: Annotated[
        Fraction | None,
        Meta(
            description="for STOPPED_ABOVE: lower bound of the mask's contaminated fraction"
            " (contaminated is then the estimate from the first look at 80 m); null: contaminated"
            " was measured on the mask"
        ),
    ] = None
    model: str
    engine: str
    ground_sample_distance: Annotated[int, Meta(extra={"unit": "m"})]
    height: Annotated[int, Meta(extra={"unit": "pixel"})]
    width: Annotated[int, Meta(extra={"unit": "pixel"})]
    valid_pixels: Count
    contaminated: Fraction
    fractions: Annotated[
        dict[str, float],
        Meta(description="fraction of the valid pixels, by class", extra={"known": (CLASS_NAMES,)}),
    ]
    rows: Annotated[int, Meta(description="rows of the tile map; 53 for a full scene at 10 m")]
    columns: Count
    tile_map: Annotated[
        bytes,
        Meta(
            description="rows x columns bytes, row by row: 250 x contaminated fraction, 255 no data"
        ),
    ]
    seconds: Annotated[float, Meta(ge=0, extra={"unit": "s"})]
    inference_seconds: Annotated[float, Meta(ge=0, extra={"unit": "s"})]
    stages_ms: Annotated[
        dict[str, dict[str, float]],
        Meta(
            description="latency per tile, by stage: mean, p50, p95, p99, sigma, max",
            extra={"unit": "ms", "names": (LATENCY_STAGES, LATENCY_STATISTICS)},
        ),
    ]
    energy_j: Annotated[float | None, Meta(extra={"unit": "J"})]
    paused_s: Annotated[
        float,
        Meta(
            ge=0,
            description="total time that work was paused, to meet the power budget or to cool the"
            " card",
            extra={"unit": "s"},
        ),
    ] = 0.0
    experience_distance: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(
            description="distance between the scene's histograms and those of normal scenes stored"
            " in the model package; above 1: outside the model's experience; null: unknown (the"
            " package has none, or too few valid pixels)"
        ),
    ] = None
    outside_experience: Annotated[
        bool | None,
        Meta(
            description="true: the scene is unlike those that the model was measured on, so its"
            " mask may be wrong; null: not known"
        ),
    ] = None


class Progress(Record, frozen=True, kw_only=True):
    """Progress of the running job."""

    job: Identifier
    scene: str
    rows_done: Annotated[int, Meta(ge=0, extra={"unit": "pixel"})]
    rows: Annotated[int, Meta(ge=0, extra={"unit": "pixel"})]
    elapsed_s: Annotated[float, Meta(ge=0, extra={"unit": "s"})]


class Packet(Record, frozen=True, kw_only=True):
    """Second frame of telemetry; the first frame is the topic."""

    v: int
    unit: UnitName
    boot: Annotated[int, Meta(description="boot count; each boot restarts seq at 1")]
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
    """Severity and meaning of an event."""

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
    "ANSWER_CORRECTED",
    "TELECOMMAND_REJECTED",
    "AUTHENTICATION_FAILED",
    "SCHEDULE_MISSED",
    "PARAMETER_CHANGED",
    "JOB_STARTED",
    "CLOUD_ESTIMATED",
    "JOB_COMPLETED",
    "SCENE_DOUBTFUL",
    "OUTSIDE_EXPERIENCE",
    "JOB_FAILED",
    "JOB_REQUEUED",
    "INTEGRITY_UNKNOWN",
    "CONTACT_OPENED",
    "CONTACT_CLOSED",
    "PRODUCT_DELIVERED",
    "PRODUCT_REMOVED",
    "PRODUCT_LOST",
    "QUOTA_REACHED",
    "DISK_FULL",
    "LIMIT_EXCEEDED",
    "LIMIT_CLEARED",
    "SENSOR_SILENT",
    "SENSOR_BACK",
    "TOO_HOT",
    "PACING_BEGUN",
    "PACING_ENDED",
    "CLOCK_JUMPED",
    "PACKETS_DROPPED",
    "EVENTS_SQUELCHED",
    "UPLINK_RECEIVED",
    "UPLINK_DAMAGED",
    "MODEL_STAGED",
    "MODEL_ACTIVATED",
    "KEYS_REFUSED",
    "KEY_ROTATED",
    "CONNECTIONS_REFUSED",
    "THREAD_STALLED",
    "THREAD_ENDED",
    "FAULTS_INJECTED",
    "DECODERS_UNCONFINED",
    "STATE_DAMAGED",
    "STATE_RESTORED",
    "STATE_LOST",
    "INTERNAL_FAULT",
]

_EVENTS: Final[Mapping[Severity, Mapping[EventName, str]]] = {
    Severity.DIAGNOSTIC: {"SELF_TEST_PASSED": "golden tiles gave correct results"},
    Severity.ACTIVITY: {
        "SERVICE_STARTED": "the service is ready for telecommands",
        "SERVICE_STOPPING": "the service is shutting down cleanly",
        "MODE_CHANGED": "the mode changed",
        "PARAMETER_CHANGED": "a parameter has a new value",
        "JOB_STARTED": "a job started",
        "CLOUD_ESTIMATED": "a first look estimated the cloud of a scene (stop_above)",
        "JOB_COMPLETED": "a job completed; its products are queued for downlink",
        "CONTACT_OPENED": "a contact window opened",
        "CONTACT_CLOSED": "a contact window closed",
        "PRODUCT_DELIVERED": "the receiver confirmed a complete product",
        "LIMIT_CLEARED": "a value is back within its limits",
        "SENSOR_BACK": "a value that was not measured is measured again",
        "PACING_BEGUN": "work is being paused intermittently, to meet the power budget or to cool"
        " the card",
        "PACING_ENDED": "work has not been paused for 30 s",
        "KEY_ROTATED": "a client replaced its key; the old key stays valid until old_until",
        "UPLINK_RECEIVED": "a model package was received into the model inbox",
        "MODEL_STAGED": "a model package was verified and staged",
        "MODEL_ACTIVATED": "another model is now active",
    },
    Severity.WARNING_LOW: {
        "ENGINE_RECONNECTED": "an engine failed, was reopened and resumed",
        "ANSWER_CORRECTED": "an engine computed a tile wrongly; the tile was computed again",
        "TELECOMMAND_REJECTED": "a telecommand was rejected",
        "JOB_REQUEUED": "a job was interrupted and put back into the queue",
        "UPLINK_DAMAGED": "an uplinked file did not match its SHA-256, or was not an archive of"
        " plain files, and was deleted",
        "INTEGRITY_UNKNOWN": "the files of a processed scene could not all be verified against"
        " checksums",
        "PRODUCT_REMOVED": "a product was deleted to free space",
        "CLOCK_JUMPED": "the UTC clock jumped relative to the monotonic clock",
        "PACKETS_DROPPED": "telemetry packets were dropped: the send queue was full",
        "EVENTS_SQUELCHED": "events of one name were suppressed: too many in a short time",
        "CONNECTIONS_REFUSED": "a connection was closed: its client, or unknown clients together,"
        " have too many connections",
    },
    Severity.WARNING_HIGH: {
        "UNCLEAN_RESTART": "the previous run ended uncleanly (crash, kill or power cut)",
        "ENGINE_CHANGED": "an engine failed; the next engine of the chain took over",
        "AUTHENTICATION_FAILED": "a telecommand failed authentication",
        "SCHEDULE_MISSED": "the time of a schedule entry passed while the service was down",
        "JOB_FAILED": "a job ended without products",
        "PRODUCT_LOST": "the file of a product is missing or damaged",
        "QUOTA_REACHED": "the products fill the storage quota; jobs wait",
        "LIMIT_EXCEEDED": "a value is outside its limits",
        "SENSOR_SILENT": "a monitored value is not measured; its last limit state stays in force",
        "SCENE_DOUBTFUL": "the digital numbers of a scene contradict its metadata",
        "OUTSIDE_EXPERIENCE": "a scene is unlike those that the model was measured on",
        "STATE_RESTORED": "the state file was damaged and is restored, without loss",
        "KEYS_REFUSED": "a key file cannot be used",
        "FAULTS_INJECTED": "card faults are being injected (settings dimc.faults): laboratory use"
        " only",
        "DECODERS_UNCONFINED": "scene decoders are not fully confined; the message gives the"
        " reason",
    },
    Severity.CRITICAL: {
        "BOOT_LOOP": "three unclean boots within ten minutes: the service enters SAFE",
        "SELF_TEST_FAILED": "golden tiles gave wrong results",
        "ENGINE_UNAVAILABLE": "no engine could be opened",
        "DISK_FULL": "the disk is full: the service enters SAFE",
        "TOO_HOT": "a temperature is critical: the service enters SAFE",
        "THREAD_STALLED": "a thread stopped responding",
        "THREAD_ENDED": "a thread ended because of a fault; the service exits, and systemd restarts"
        " it",
        "STATE_DAMAGED": "the state file is damaged: the service restarts and restores it",
        "STATE_LOST": "a part of the state could not be restored: the service enters SAFE",
        "INTERNAL_FAULT": "an internal error occurred; see the service log",
    },
}
_KINDS: Final = {
    name: EventKind(severity, doc)
    for severity, docs in _EVENTS.items()
    for name, doc in docs.items()
}

EVENTS: Final[Mapping[EventName, EventKind]] = MappingProxyType(
    {name: _KINDS[name] for name in get_args(EventName)}
)


# --- Parameters ------------------------------------------------------------------------------


class Parameter(msgspec.Struct, frozen=True):
    """A persistent setting that telecommands read and write.

    Text has ``choices``; numbers have ``low`` and ``high``, both inclusive.  ``hazardous``: setting
    it must be armed (ARM).
    """

    default: Value
    doc: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    hazardous: bool = False


PARAMETERS: Final[Mapping[str, Parameter]] = MappingProxyType(
    {
        "housekeeping.period_s": Parameter(
            10.0, "period of housekeeping packets", "s", 0.1, 3600
        ),
        "progress.period_s": Parameter(0.5, "shortest time between progress packets", "s", 0.1, 60),
        "commanding.rate_per_second": Parameter(
            200, "telecommand rate allowed per key; bursts of two seconds' worth", "1/s", 1, 10_000
        ),
        "commanding.arm_s": Parameter(
            30.0, "time from ARM to the armed telecommand, at most", "s", 1, 600, hazardous=True
        ),
        "commanding.sent_at_window_s": Parameter(
            300.0,
            "largest accepted difference between sent_at and the unit's clock; checked only while"
            " the clock is trusted; 0: no check", "s", 0, 86_400, hazardous=True,
        ),
        "processing.fusion": Parameter(
            "or", "how overlapping tiles are combined, unless the telecommand sets it",
            choices=("or", "blend"),
        ),
        "processing.least_integrity": Parameter(
            "unknown", "lowest integrity of a scene's files at which the scene is processed",
            choices=INTEGRITIES,
        ),
        "processing.attempts": Parameter(2, "attempts before a job fails", "", 1, 10),
        "processing.waiting_jobs": Parameter(500, "longest queue of jobs", "", 1, 10_000),
        "processing.self_test": Parameter(True, "run golden tiles before each scene"),
        "downlink.chunk_bytes": Parameter(
            1 << 20, "longest chunk; a slow link gets shorter ones", "byte", 4096, 8 << 20
        ),
        "storage.quota_bytes": Parameter(
            20 * 10**9, "storage for products on board", "byte", 10**6, 10**13, hazardous=True
        ),
        "storage.reserve_bytes": Parameter(
            10**9, "disk space kept free; with less, the disk counts as full", "byte",
            10**6, 10**12, hazardous=True,
        ),
        "uplink.quota_bytes": Parameter(
            200 * 10**6,
            "bytes that the model inbox may hold; a package needs twice its size until it is"
            " unpacked", "byte", 10**6, 10**9, hazardous=True,
        ),
        "fdir.slow_c": Parameter(
            75.0, "temperature above which the card pauses between batches, longer as it"
            " approaches fdir.warm_c; a value at or above fdir.warm_c disables these pauses",
            "°C", 0, 120, hazardous=True,
        ),
        "fdir.warm_c": Parameter(
            80.0, "temperature that pauses processing", "°C", 0, 120, hazardous=True
        ),
        "fdir.hot_c": Parameter(
            85.0, "temperature that triggers SAFE", "°C", 0, 120, hazardous=True
        ),
        "fdir.hysteresis_c": Parameter(
            5.0, "margin below a limit before it clears", "°C", 0, 50, hazardous=True
        ),
    }
)  # fmt: skip


# --- Downlink --------------------------------------------------------------------------------


class NextProduct(Record, frozen=True, kw_only=True, tag="next", tag_field="type"):
    """Receiver: which product is next?"""

    v: int = VERSION
    skip: Annotated[
        tuple[str, ...], Meta(max_length=1000, description="products that it cannot receive now")
    ] = ()


class ChunkRequest(Record, frozen=True, kw_only=True, tag="chunks", tag_field="type"):
    """Receiver: send ``credit`` chunks from ``offset``; all bytes before ``offset`` are stored."""

    v: int = VERSION
    product: Identifier
    offset: ByteCount
    credit: Annotated[int, Meta(ge=1, le=256, description="chunks to send")]


class ProductReceived(Record, frozen=True, kw_only=True, tag="received", tag_field="type"):
    """Receiver: the product is stored completely and has this SHA-256."""

    v: int = VERSION
    product: Identifier
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


DownlinkRequest: TypeAlias = NextProduct | ChunkRequest | ProductReceived


class ProductOffer(Record, frozen=True, kw_only=True, tag="product", tag_field="type"):
    """Service: the next product.  A chunk has ``chunk_bytes`` bytes or fewer."""

    v: int = VERSION
    unit: UnitName
    product: Identifier
    job: Identifier
    kind: ProductKind
    downlink_class: DownlinkClass
    name: Annotated[str, Meta(description="file name")]
    size: ByteCount
    sha256: str
    chunk_bytes: ByteCount
    confirmed: ByteCount


class NothingNow(Record, frozen=True, kw_only=True, tag="nothing", tag_field="type"):
    """Service: there is nothing to downlink now; ask again later."""

    v: int = VERSION
    code: Annotated[
        Literal["EMPTY", "NO_CONTACT"],
        Meta(description="no product is queued, or no contact window is open"),
    ]


class Chunk(Record, frozen=True, kw_only=True, tag="chunk", tag_field="type"):
    """Service: a chunk; its bytes are the second frame of the message."""

    v: int = VERSION
    product: Identifier
    offset: ByteCount
    size: Annotated[int, Meta(ge=0, description="length of the chunk", extra={"unit": "byte"})]


class ProductDelivered(Record, frozen=True, kw_only=True, tag="delivered", tag_field="type"):
    """Service: the product is recorded as delivered and will not be offered again."""

    v: int = VERSION
    product: Identifier


class DownlinkRefused(Record, frozen=True, kw_only=True, tag="refused", tag_field="type"):
    """Service: the request is refused."""

    v: int = VERSION
    product: str
    code: Code
    cause: str


DownlinkReply: TypeAlias = ProductOffer | NothingNow | Chunk | ProductDelivered | DownlinkRefused
