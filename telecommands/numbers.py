"""Stable numbers of what the dictionary names, for links that carry numbers in place of names.

A number is never changed, and never given to another name, not even after its name is gone: ground
databases hold it.  ``tests/unit/telecommands/numbers.json`` keeps them all; new names are appended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

TELECOMMANDS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "PING": 1,
        "PROCESS_SCENE": 2,
        "CANCEL_JOB": 3,
        "LIST_JOBS": 4,
        "LIST_SCENES": 5,
        "SET_MODE": 6,
        "SELF_TEST": 7,
        "GET_PARAMETER": 8,
        "SET_PARAMETER": 9,
        "SET_HOUSEKEEPING_RATE": 10,
        "ARM": 11,
        "SCHEDULE": 12,
        "UNSCHEDULE": 13,
        "LIST_SCHEDULE": 14,
        "LIST_PRODUCTS": 15,
        "HOLD_PRODUCT": 16,
        "RELEASE_PRODUCT": 17,
        "PRIORITISE_PRODUCT": 18,
        "DELETE_PRODUCT": 19,
        "OPEN_CONTACT": 20,
        "CLOSE_CONTACT": 21,
        "BEGIN_UPLINK": 29,
        "UPLINK_CHUNK": 30,
        "END_UPLINK": 31,
        "DELETE_UPLINK": 32,
        "LIST_UPLINKS": 33,
        "STAGE_MODEL": 22,
        "ACTIVATE_MODEL": 23,
        "ROLL_BACK_MODEL": 24,
        "REPORT_LATEST": 25,
        "ROTATE_KEY": 26,
        "RESTART": 27,
        "SHUT_DOWN": 28,
    }
)
"""Functions of service 8."""

PACKETS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "ver": 1,
        "hk": 2,
        "evt": 3,
        "sci.cloud_fraction": 4,
        "sci.progress": 5,
    }
)
"""Structures of service 3, by topic."""

EVENTS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "SERVICE_STARTED": 1,
        "SERVICE_STOPPING": 2,
        "UNCLEAN_RESTART": 3,
        "BOOT_LOOP": 4,
        "MODE_CHANGED": 5,
        "SELF_TEST_PASSED": 6,
        "SELF_TEST_FAILED": 7,
        "ENGINE_UNAVAILABLE": 8,
        "ENGINE_CHANGED": 9,
        "ENGINE_RECONNECTED": 10,
        "ANSWER_CORRECTED": 11,
        "TELECOMMAND_REJECTED": 12,
        "AUTHENTICATION_FAILED": 13,
        "SCHEDULE_MISSED": 14,
        "PARAMETER_CHANGED": 15,
        "JOB_STARTED": 16,
        "CLOUD_ESTIMATED": 17,
        "JOB_COMPLETED": 18,
        "SCENE_DOUBTFUL": 19,
        "OUTSIDE_EXPERIENCE": 53,
        "JOB_FAILED": 20,
        "JOB_REQUEUED": 21,
        "INTEGRITY_UNKNOWN": 22,
        "CONTACT_OPENED": 23,
        "CONTACT_CLOSED": 24,
        "PRODUCT_DELIVERED": 25,
        "PRODUCT_REMOVED": 26,
        "PRODUCT_LOST": 27,
        "QUOTA_REACHED": 28,
        "DISK_FULL": 29,
        "LIMIT_EXCEEDED": 30,
        "LIMIT_CLEARED": 31,
        "SENSOR_SILENT": 47,
        "SENSOR_BACK": 48,
        "TOO_HOT": 32,
        "PACING_BEGUN": 54,
        "PACING_ENDED": 55,
        "CLOCK_JUMPED": 33,
        "PACKETS_DROPPED": 34,
        "EVENTS_SQUELCHED": 35,
        "UPLINK_RECEIVED": 49,
        "UPLINK_DAMAGED": 50,
        "MODEL_STAGED": 36,
        "MODEL_ACTIVATED": 37,
        "KEYS_REFUSED": 38,
        "KEY_ROTATED": 39,
        "CONNECTIONS_REFUSED": 51,
        "THREAD_STALLED": 40,
        "THREAD_ENDED": 41,
        "FAULTS_INJECTED": 42,
        "DECODERS_UNCONFINED": 52,
        "STATE_DAMAGED": 43,
        "STATE_RESTORED": 44,
        "STATE_LOST": 45,
        "INTERNAL_FAULT": 46,
    }
)
"""Definitions of service 5."""

PARAMETERS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "housekeeping.period_s": 1,
        "progress.period_s": 2,
        "commanding.rate_per_second": 3,
        "commanding.arm_s": 4,
        "commanding.sent_at_window_s": 5,
        "processing.fusion": 6,
        "processing.least_integrity": 7,
        "processing.attempts": 8,
        "processing.waiting_jobs": 9,
        "processing.self_test": 10,
        "downlink.chunk_bytes": 11,
        "storage.quota_bytes": 12,
        "storage.reserve_bytes": 13,
        "uplink.quota_bytes": 17,
        "fdir.slow_c": 18,
        "fdir.warm_c": 14,
        "fdir.hot_c": 15,
        "fdir.hysteresis_c": 16,
    }
)
"""Parameters of service 20."""

ENUMERATIONS: Final[Mapping[str, Mapping[str, int]]] = MappingProxyType(
    {
        "Code": MappingProxyType(
            {
                "MALFORMED": 1,
                "OVERSIZED": 2,
                "WRONG_VERSION": 3,
                "WRONG_UNIT": 4,
                "UNKNOWN_KEY": 5,
                "BAD_MAC": 6,
                "NOT_PERMITTED": 7,
                "REPLAYED": 8,
                "OUT_OF_WINDOW": 9,
                "RATE_LIMITED": 10,
                "WRONG_TIME": 11,
                "NOT_ARMED": 12,
                "UNKNOWN_TELECOMMAND": 13,
                "BAD_ARGUMENTS": 14,
                "NOT_IN_THIS_MODE": 15,
                "OUTSIDE_SCENE_ROOT": 16,
                "UNKNOWN_JOB": 17,
                "JOB_ENDED": 18,
                "UNKNOWN_PRODUCT": 19,
                "PRODUCT_STATE": 20,
                "UNKNOWN_PARAMETER": 21,
                "UNKNOWN_SCHEDULE_ENTRY": 22,
                "TIME_PASSED": 23,
                "QUEUE_FULL": 24,
                "NOT_TAKEN": 25,
                "NO_CONTACT": 26,
                "NO_MODEL": 27,
                "NO_UPLINK": 57,
                "UPLINK_GAP": 58,
                "UPLINK_QUOTA": 59,
                "UPLINK_DAMAGED": 60,
                "STATE_UNAVAILABLE": 28,
                "SHUTTING_DOWN": 29,
                "STOPPED_ABOVE": 30,
                "ATTEMPTS_EXHAUSTED": 31,
                "SERVICE_CRASHED": 32,
                "DEADLINE_PASSED": 33,
                "CANCELLED": 34,
                "STATE_LOST": 35,
                "MISSED": 36,
                "SELF_TEST_FAILED": 37,
                "INTERNAL": 38,
                "USAGE": 39,
                "SCENE_NOT_FOUND": 40,
                "MISSING_BAND": 41,
                "BAND_SIZE_MISMATCH": 42,
                "DECODER_FAILED": 61,
                "CORRUPT_IMAGE": 43,
                "BAD_METADATA": 44,
                "INTEGRITY_TOO_LOW": 45,
                "AREA_OUTSIDE": 46,
                "EMPTY_SCENE": 47,
                "PACKAGE_INVALID": 48,
                "PACKAGE_TAMPERED": 49,
                "PACKAGE_UNSIGNED": 50,
                "ENGINE_UNAVAILABLE": 51,
                "INFERENCE_FAILED": 52,
                "OUTPUT_NOT_WRITABLE": 53,
                "DISK_FULL": 54,
                "MEMORY_EXHAUSTED": 55,
                "INTERRUPTED": 56,
            }
        ),
        "Mode": MappingProxyType(
            {
                "BOOT": 1,
                "STANDBY": 2,
                "OPERATIONAL": 3,
                "SAFE": 4,
            }
        ),
        "Stage": MappingProxyType(
            {
                "ACCEPTED": 1,
                "REJECTED": 2,
                "STARTED": 3,
                "PROGRESS": 4,
                "COMPLETED": 5,
                "FAILED": 6,
                "TIMED_OUT": 7,
                "CANCELLED": 8,
            }
        ),
        "Severity": MappingProxyType(
            {
                "DIAGNOSTIC": 1,
                "ACTIVITY": 2,
                "WARNING_LOW": 3,
                "WARNING_HIGH": 4,
                "CRITICAL": 5,
            }
        ),
        "JobState": MappingProxyType(
            {
                "QUEUED": 1,
                "RUNNING": 2,
                "COMPLETED": 3,
                "FAILED": 4,
                "CANCELLED": 5,
                "TIMED_OUT": 6,
            }
        ),
        "ProductState": MappingProxyType(
            {
                "QUEUED": 1,
                "HELD": 2,
                "DELIVERED": 3,
                "DELETED": 4,
            }
        ),
        "DownlinkClass": MappingProxyType(
            {
                "SUMMARY": 1,
                "MASK": 2,
                "IMAGERY": 3,
            }
        ),
        "ProductKind": MappingProxyType(
            {
                "mask": 1,
                "geotiff": 2,
                "cog": 3,
                "classes": 4,
                "probability": 5,
                "fill": 6,
                "quicklook": 7,
                "stac": 8,
                "report": 9,
            }
        ),
        "EngineChoice": MappingProxyType(
            {
                "auto": 1,
                "dimc": 2,
                "tensorrt": 3,
                "torch-cuda": 4,
                "torch-cpu": 5,
            }
        ),
        "Integrity": MappingProxyType(
            {
                "doubtful": 1,
                "unknown": 2,
                "verified": 3,
            }
        ),
        "Fusion": MappingProxyType(
            {
                "or": 1,
                "blend": 2,
            }
        ),
        "Decode": MappingProxyType(
            {
                "exact": 1,
                "fast": 2,
            }
        ),
        "IfMissed": MappingProxyType(
            {
                "report": 1,
                "run": 2,
            }
        ),
        "DeviceState": MappingProxyType(
            {
                "ready": 1,
                "busy": 2,
                "failed": 3,
                "closed": 4,
            }
        ),
        "PausedBy": MappingProxyType(
            {
                "nothing": 1,
                "power": 2,
                "temperature": 3,
            }
        ),
        "NothingNow": MappingProxyType(
            {
                "EMPTY": 1,
                "NO_CONTACT": 2,
            }
        ),
        "Role": MappingProxyType(
            {
                "watch": 1,
                "command": 2,
                "receive": 3,
                "hazardous": 4,
            }
        ),
    }
)
"""Members of the enumerations, by a name that is the type's if it has one; 0 and 255 are free."""


def numbers_of(members: Iterable[str]) -> Mapping[str, int]:
    """Numbers of the members of a field's enumeration, in their order.

    They are those of the smallest enumeration that has all of them.  Raises :class:`KeyError` if
    none has.
    """
    wanted = tuple(members)
    holding = [one for one in ENUMERATIONS.values() if one.keys() >= set(wanted)]
    if not holding:
        raise KeyError(f"no enumeration has {', '.join(wanted)}")
    numbers = min(holding, key=len)
    return {member: numbers[member] for member in wanted}
