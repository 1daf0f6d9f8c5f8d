"""Every way a job can fail, in one place: code, exit status, and what each error must say.

::

    FlightError
    ├── UsageError            2  the command line or a settings file is wrong
    ├── SceneError            3
    │   ├── SceneNotFound        the path does not exist, or does not hold a known kind of product
    │   ├── MissingBand          a band file is absent
    │   ├── BandSizeMismatch     bands of one product differ in size
    │   ├── CorruptImage         an image cannot be decoded, or is not what its metadata says
    │   ├── BadMetadata          metadata is absent, unreadable, contradictory or implausible
    │   ├── IntegrityTooLow      too little shows that the scene's files are intact
    │   ├── AreaOutside          the area of interest lies outside the scene
    │   ├── DecoderFailed        the process that reads the scene crashed, or answers nonsense
    │   └── EmptyScene           the scene has no valid pixel
    ├── ModelError            4
    │   ├── PackageInvalid       a file of the model package is absent, unreadable or contradictory
    │   └── PackageTampered      a file of the model package is not the one that was released
    ├── EngineError           5
    │   ├── EngineUnavailable    a library, device or file is absent
    │   └── InferenceFailed      the accelerator failed, hung or gave a wrong answer
    │       └── AnswerWrong         a golden tile's answer was wrong
    ├── ProductError          6
    │   ├── OutputNotWritable    the folder is missing, read-only, or not a folder
    │   └── DiskFull             there is no space left for the products
    ├── StateError            7
    │   ├── StateUnusable        the state file is corrupt, of a newer version, or not a state file
    │   ├── StateInUse           another service uses the same state
    │   ├── StateUnavailable     the state cannot be written at present
    │   └── StateContradiction   a step that contradicts the recorded state: an internal error
    ├── MemoryExhausted       9  the machine, or the limit set to this process, has no memory left
    ├── LinkError             8  a link cannot be opened: port in use, keys missing or unsafe
    └── Interrupted         130  the operator or the service asked to stop
        ├── JobCancelled         a telecommand cancelled the job
        └── DeadlinePassed       the job did not end before its deadline
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from telecommands.failure import Failure


class FlightError(Failure):
    code = "FLIGHT_ERROR"


class UsageError(FlightError):
    code = "USAGE"
    exit_status = 2


class SceneError(FlightError):
    code = "SCENE"
    exit_status = 3


class SceneNotFound(SceneError):
    code = "SCENE_NOT_FOUND"


class MissingBand(SceneError):
    code = "MISSING_BAND"


class BandSizeMismatch(SceneError):
    code = "BAND_SIZE_MISMATCH"


class CorruptImage(SceneError):
    code = "CORRUPT_IMAGE"


class BadMetadata(SceneError):
    code = "BAD_METADATA"


class IntegrityTooLow(SceneError):
    code = "INTEGRITY_TOO_LOW"


class AreaOutside(SceneError):
    code = "AREA_OUTSIDE"


class DecoderFailed(SceneError):
    code = "DECODER_FAILED"


class EmptyScene(SceneError):
    code = "EMPTY_SCENE"


class ModelError(FlightError):
    code = "MODEL"
    exit_status = 4


class PackageInvalid(ModelError):
    code = "PACKAGE_INVALID"

    @classmethod
    def wrong(cls, file: object, key: str, expected: object, found: object) -> PackageInvalid:
        """``file`` holds a value that is not what it must be."""
        return cls(
            file,
            f"has {key} {found}, which must be {expected}",
            "Compile the model again, or install an intact package",
            key=key,
            expected=str(expected),
            found=str(found),
        )


class PackageTampered(ModelError):
    code = "PACKAGE_TAMPERED"


class PackageUnsigned(ModelError):
    code = "PACKAGE_UNSIGNED"


class EngineError(FlightError):
    code = "ENGINE"
    exit_status = 5


class EngineUnavailable(EngineError):
    code = "ENGINE_UNAVAILABLE"


class InferenceFailed(EngineError):
    code = "INFERENCE_FAILED"


class AnswerWrong(InferenceFailed):
    """A golden tile's answer was wrong, so no answer since the last correct one can be trusted."""


class ProductError(FlightError):
    code = "PRODUCT"
    exit_status = 6


class OutputNotWritable(ProductError):
    code = "OUTPUT_NOT_WRITABLE"


class DiskFull(ProductError):
    code = "DISK_FULL"


class MemoryExhausted(FlightError):
    code = "MEMORY_EXHAUSTED"
    exit_status = 9


class StateError(FlightError):
    code = "STATE"
    exit_status = 7


class StateUnusable(StateError):
    code = "STATE_UNUSABLE"


class StateInUse(StateError):
    code = "STATE_IN_USE"


class StateUnavailable(StateError):
    code = "STATE_UNAVAILABLE"


class StateContradiction(StateError):
    code = "STATE_CONTRADICTION"


class LinkError(FlightError):
    code = "LINK"
    exit_status = 8


class Interrupted(FlightError):
    code = "INTERRUPTED"
    exit_status = 130


class JobCancelled(Interrupted):
    code = "CANCELLED"


class DeadlinePassed(Interrupted):
    code = "DEADLINE_PASSED"


def rebuilt(
    name: str, subject: str, cause: str, cure: str, fields: Mapping[str, Any]
) -> FlightError | None:
    """The error of the class of this name, as another process reported it; None: no such class."""
    kinds: list[type[FlightError]] = [FlightError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    found = next((kind for kind in kinds if kind.__name__ == name), None)
    return None if found is None else found(subject, cause, cure, **fields)
