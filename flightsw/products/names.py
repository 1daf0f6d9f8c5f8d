"""Names of the products of a scene, and which of them a folder already holds."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from flightsw.config import NameStyle
from flightsw.errors import OutputNotWritable
from flightsw.scene.scene import SceneMetadata

_LONGEST_SCENE: Final = 90  # characters: the ground takes file names of 200 bytes
_LONGEST_TILE: Final = 40
_DIGEST: Final = 8
_TIME: Final = "%Y%m%dT%H%M%S"
_HAS_TIME: Final = re.compile(r"\d{8}[T_]\d{6}")
_SHOWN: Final = 3
_REFERENCE: Final = "dtacsnet"  # the reference processor's network, and the one that ships
_REFERENCE_MODELS: Final = "dtacs"  # what its releases and published weights begin with
_LONGEST_MODEL: Final = 20
_CURE: Final = "Allow overwriting (--overwrite, or overwrite=True), or give another folder"


def file_name_of(name: str, longest: int = _LONGEST_SCENE) -> str:
    """The name as letters, digits, ``.``, ``_`` and ``-``; a long one ends with its digest."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    if len(safe) <= longest:
        return safe
    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST]
    return f"{safe[: longest - _DIGEST - 1]}_{digest}"


class ProductNames:
    """``MODEL_TILE_SCENE_PCTpct_TAG_SUFFIX``, or ``MODEL_TILE_PCTpct_TAG_SUFFIX``.

    MODEL is ``dtacsnet`` for every package of that network, else the name of the package.  The
    second style, ``reference``, is that of the reference processor: dates of one tile with the
    same percentage and engine have the same names.
    """

    def __init__(self, scene: SceneMetadata, model_id: str, tag: str, style: NameStyle) -> None:
        self._scene = scene.name
        self._tag = tag
        self._by_scene = style == "scene"
        words = [_model_name(model_id), file_name_of(scene.tile_id, _LONGEST_TILE)]
        if self._by_scene:
            words += _labels(scene)
        self._stem = "_".join(words)

    def prefix(self, contaminated_share: float) -> str:
        """What all names begin with, for a share from 0 to 1."""
        return f"{self._stem}_{100 * contaminated_share:.0f}pct_{self._tag}"

    def earlier(self, folder: Path, suffixes: Iterable[str]) -> tuple[str, ...]:
        """Files of an earlier run of this scene and engine, of whatever percentage.

        None in the style ``reference``, in which nothing distinguishes two scenes of a tile.
        """
        if not self._by_scene:
            return ()
        ends = "|".join(map(re.escape, suffixes))
        name = re.compile(rf"{re.escape(self._stem)}_\d+pct_{re.escape(self._tag)}_(?:{ends})")
        return tuple(sorted(path.name for path in folder.iterdir() if name.fullmatch(path.name)))

    def refuse(self, folder: Path, existing: Iterable[str]) -> None:
        """Raise :class:`OutputNotWritable` if files exist that would be overwritten."""
        names = tuple(existing)
        if not names:
            return
        what = f"the products of {self._scene}" if self._by_scene else "products of these names"
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        cause = f"already holds {what} ({', '.join(names[:_SHOWN])}{more})"
        raise OutputNotWritable(folder, cause, _CURE)


def _model_name(model_id: str) -> str:
    """The name in ``NAME-VERSION+HASH``."""
    release = model_id.partition("+")[0]
    name = release.rpartition("-")[0] or release
    return _REFERENCE if name.startswith(_REFERENCE_MODELS) else file_name_of(name, _LONGEST_MODEL)


def _labels(scene: SceneMetadata) -> list[str]:
    """The scene's name, unless it is that of the tile, and its time, unless the name has one."""
    labels = [] if scene.name == scene.tile_id else [file_name_of(scene.name)]
    if scene.sensed_at and not _HAS_TIME.search(scene.name):
        labels.append(scene.sensed_at.strftime(_TIME))
    return labels
