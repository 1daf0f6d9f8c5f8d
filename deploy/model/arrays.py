"""Arrays from ``.npz`` files that anyone may have made."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flightsw.errors import UsageError


def read_arrays(path: Path, *needed: str) -> dict[str, NDArray[Any]]:
    """Read all arrays of a file by name; no pickled objects.

    Raises :class:`UsageError` if the file cannot be read or lacks one of ``needed``.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except OSError as error:
        cure = "Give a file that can be read"
        raise UsageError(path, f"cannot be read ({error.strerror})", cure) from error
    except (ValueError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        cure = "Write it with numpy.savez, without objects"
        raise UsageError(path, "is not a sound .npz file", cure) from error
    if missing := sorted(set(needed).difference(arrays)):
        cause = f"lacks {', '.join(missing)}; it has {', '.join(sorted(arrays)) or 'nothing'}"
        raise UsageError(path, cause, "Write it with these arrays, or name other files")
    return arrays
