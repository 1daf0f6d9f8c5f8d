"""Every way a ground command can fail, with code and exit status.

::

    GroundError
    ├── UsageError            2  the command line, or what it points at, is wrong
    │   └── NotConfirmed         a hazardous telecommand that the operator did not confirm
    ├── ProductError          1
    │   ├── ProductExists        a product of that name exists
    │   ├── OutputNotWritable    folder missing, read-only, or not a folder
    │   └── DiskFull             no space left for the product
    ├── LinkError             1
    │   ├── NoAnswer          4  nothing listens, the keys are refused, or no answer in time
    │   ├── UnusableKey          a key file is missing, unsafe or malformed
    │   └── SequenceUnusable     the file that counts telecommands cannot be used
    ├── WrongMode             1  the service is not in the awaited mode in time
    ├── TransferFailed        1  a product cannot be received
    ├── ArchiveError          1  the dashboard's archive cannot be used
    ├── LogConflict           1  another page wrote the operators' log meanwhile
    ├── LogFull               1  the operators' log has no room
    ├── NotAMask              1  a file is not a mask of uint8 classes
    ├── ShapeMismatch         1  mask and truth do not cover the same pixels
    └── Interrupted         130  the operator asked to stop
"""

# The tree above says what each is, and their names say that they are errors.
# ruff: noqa: D101, N818

from __future__ import annotations

import errno
from typing import Final

from telecommands.failure import Failure

# EFBIG: a limit on the size of a file (RLIMIT_FSIZE, or the file system's own).
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class GroundError(Failure):
    code = "GROUND_ERROR"


class UsageError(GroundError):
    code = "USAGE"
    exit_status = 2


class NotConfirmed(UsageError):
    code = "NOT_CONFIRMED"


class ProductError(GroundError):
    code = "PRODUCT"


class ProductExists(ProductError):
    code = "PRODUCT_EXISTS"


class OutputNotWritable(ProductError):
    code = "OUTPUT_NOT_WRITABLE"


class DiskFull(ProductError):
    code = "DISK_FULL"


class LinkError(GroundError):
    code = "LINK"


class NoAnswer(LinkError):
    code = "NO_ANSWER"
    exit_status = 4


class UnusableKey(LinkError):
    code = "UNUSABLE_KEY"


class SequenceUnusable(LinkError):
    code = "SEQUENCE_UNUSABLE"


class WrongMode(GroundError):
    code = "WRONG_MODE"


class TransferFailed(GroundError):
    code = "TRANSFER_FAILED"


class ArchiveError(GroundError):
    code = "ARCHIVE"


class LogConflict(GroundError):
    code = "CONFLICT"


class LogFull(GroundError):
    code = "LOG_FULL"


class NotAMask(GroundError):
    code = "NOT_A_MASK"


class ShapeMismatch(GroundError):
    code = "SHAPE_MISMATCH"


class Interrupted(GroundError):
    code = "INTERRUPTED"
    exit_status = 130


def product_error(path: object, error: OSError) -> ProductError:
    """The error for a product that the system could not write."""
    if error.errno in _FULL:
        return DiskFull(
            path, "has no space left for the product", "Free space, or give another folder"
        )
    return OutputNotWritable(
        path, f"cannot be written ({error.strerror or error})", "Give a folder that can be written"
    )
