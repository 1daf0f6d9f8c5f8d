"""A scene's map of cloud fractions by tile, from the archive."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from telecommands.dashboard.archive.reader import ArchiveReader
from telecommands.dashboard.points.data import milliseconds
from telecommands.dictionary import TILE_MAP_NO_DATA, TILE_MAP_STEPS, CloudFraction

_SEARCHED: Final = 20_000
_ALWAYS: Final = 2**63 - 1


def tile_map_of(reader: ArchiveReader, job: str) -> dict[str, Any] | None:
    """Rows of contaminated fractions (0 to 1, None: no data); None if no recent job matches."""
    label = msgspec.msgpack.Decoder(msgspec.defstruct("Label", [("job", str)]))
    found = reader.bodies("sci.cloud_fraction", 0, _ALWAYS, _SEARCHED, newest=True)
    for t, _, _, body in found:
        if label.decode(body).job != job:  # type: ignore[attr-defined]
            continue
        cloud = msgspec.msgpack.decode(body, type=CloudFraction)
        cells = [None if c == TILE_MAP_NO_DATA else c / TILE_MAP_STEPS for c in cloud.tile_map]
        width = cloud.columns
        return {
            "rows": cloud.rows,
            "columns": width,
            "fractions": [cells[row * width : (row + 1) * width] for row in range(cloud.rows)],
            "scene": cloud.scene,
            "timestamp": milliseconds(t),
        }
    return None
