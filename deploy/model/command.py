"""What the commands of this folder do alike."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from flightsw.errors import FlightError

_UNREADABLE: Final = 3  # as of a scene that is not found


@contextmanager
def one_line_errors(command: str) -> Iterator[None]:
    """Print what is wrong with the input in one line, and end with its exit status."""
    try:
        yield
    except FlightError as error:
        print(f"{command}: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
    except OSError as error:
        if error.filename is None:
            raise
        print(f"{command}: {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(_UNREADABLE)


def write_json(path: Path, content: object) -> None:
    """Write an indented JSON file, for people and programs to read."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
