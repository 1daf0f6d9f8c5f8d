"""The request ids of scheduled telecommands, which continue after a restart."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from telecommands.failure import reason_of
from telecommands.ground.errors import SequenceUnusable
from telecommands.whole_file import write_whole

_CURE: Final = (
    "Remove it; stages of telecommands that are already scheduled will then not be reported"
)


class ScheduledRequest(msgspec.Struct, frozen=True):
    """A telecommand in the service's schedule: its entry, its request id, the reports wanted."""

    entry: str
    request: bytes
    acks: int


class _Content(msgspec.Struct, frozen=True):
    unit: str
    scheduled: list[ScheduledRequest]


class ScheduleFile:
    """A file of one gateway, as small as the service's schedule.

    Raises :class:`~telecommands.ground.errors.SequenceUnusable`.
    """

    def __init__(self, path: Path, unit: str) -> None:
        self._path, self._unit = path, unit

    def read(self) -> list[ScheduledRequest]:
        """The telecommands that were scheduled; none if the file is absent or another unit's."""
        try:
            content = msgspec.json.decode(self._path.read_bytes(), type=_Content)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._unusable(error) from error
        except msgspec.DecodeError as error:
            raise SequenceUnusable(self._path, "does not hold request ids", _CURE) from error
        return content.scheduled if content.unit == self._unit else []

    def write(self, scheduled: Iterable[ScheduledRequest]) -> None:
        """Keep these; they are on the disk then."""
        content = msgspec.json.encode(_Content(self._unit, list(scheduled)))
        try:
            write_whole(self._path, content)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> SequenceUnusable:
        cause = f"cannot be used ({reason_of(error)})"
        cure = "Give a --counts file in a writable folder with free space"
        return SequenceUnusable(self._path, cause, cure)
