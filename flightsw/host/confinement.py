"""Paths that come from outside stay inside the folder they belong to."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Final

from telecommands.dictionary import Code
from telecommands.refusal import Refusal

_LONGEST_NAME: Final = 255  # bytes: NAME_MAX of Linux


def confined(root: Path, relative: str) -> Path:
    """The place that ``relative`` names below ``root``, with all links followed.

    It need not exist.  Raises :class:`Refusal` with ``OUTSIDE_SCENE_ROOT`` for an absolute path,
    one with ``..`` or a NUL, one that names the root itself, and one whose links leave it; with
    ``BAD_ARGUMENTS`` for a part that is longer than a file name can be.
    Anyone who may write below the root is trusted: a path could change before it is used.
    """
    path = PurePosixPath(relative)
    if path.is_absolute() or ".." in path.parts:
        raise _refused(relative, "leads out of the folder it is confined to")
    if not path.parts:
        raise _refused(relative, "names nothing below the folder it is confined to")
    if (
        longest := max(len(part.encode("utf-8", "surrogatepass")) for part in path.parts)
    ) > _LONGEST_NAME:
        cause = f"a name in the path has {longest} bytes, more than {_LONGEST_NAME}"
        raise Refusal(Code.BAD_ARGUMENTS, cause, "Correct the path")
    resolved_root = Path(os.path.realpath(root))
    try:
        place = Path(os.path.realpath(resolved_root / path))
    except ValueError as error:  # a NUL, or characters that no file name can hold
        raise _refused(relative, "cannot be the name of a file") from error
    if resolved_root not in place.parents:
        raise _refused(relative, "is a link out of the folder it is confined to")
    return place


def _refused(relative: str, cause: str) -> Refusal:
    return Refusal(
        Code.OUTSIDE_SCENE_ROOT, f"{relative!r} {cause}", "Give a path below that folder"
    )
