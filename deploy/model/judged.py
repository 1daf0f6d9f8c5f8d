"""Tiles to judge a network by: a teacher's answers, or a person's labels."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from deploy.model.arrays import read_arrays
from deploy.model.dataset import BANDS, chosen, order_of, reflectance
from deploy.model.networks import Network
from flightsw.errors import UsageError
from flightsw.pipeline.surroundings import surround
from flightsw.scene.tiling import Grid

CLOUD: Final = 1
SHADOW: Final = 2

_LABELLED: Final = "labelled"


@dataclass(frozen=True)
class JudgedTile:
    """Reflectance ``(C, H, W)`` of the bands ``names``, and what is known of each pixel.

    ``reference`` uint8 ``(H, W)``: 0 clear, 1 cloud, 2 shadow; people did not
    label the shadow, so ``knows_shadow`` is false for their tiles.
    """

    name: str
    region: str
    part: str
    bands: NDArray[np.float32]
    valid: NDArray[np.bool_]
    reference: NDArray[np.uint8]
    knows_shadow: bool
    names: tuple[str, ...] = BANDS

    def of(self, bands: tuple[str, ...]) -> NDArray[np.float32]:
        """Reflectance of ``bands``, float32 ``(C, H, W)``; raises :class:`UsageError`."""
        return chosen(self.name, self.names, self.bands, bands)


def read_judged_tiles(folder: Path, part: str | None = None) -> list[JudgedTile]:
    """Read each ``.npz`` with a teacher's ``probabilities`` or a person's ``label``.

    ``part`` (``held_out``, say) keeps only that part of the teacher's tiles.
    Raises :class:`UsageError` if no tile is left, or a file is not one.
    """
    tiles = [_read(path) for path in sorted(folder.glob("*.npz"))]
    kept = [tile for tile in tiles if part is None or tile.part in (part, _LABELLED)]
    if not kept:
        cause = f"has no .npz file of the part {part}" if tiles else "has no .npz file"
        raise UsageError(folder, cause, "Write them with deploy.model.label")
    return kept


def class_probabilities(network: Network, bands: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run an image of any size in overlapping windows, and average their probabilities.

    ``bands`` are those of the network, in its order.
    Returns ``(classes, H, W)``.  The windows are those of a scene in flight, the surroundings of
    an image smaller than a window included.
    """
    _, height, width = bands.shape
    side = network.tile_size
    grid = Grid(height, width, side, stride(side))
    total: NDArray[np.float32] | None = None
    for row, column in np.ndindex(grid.rows, grid.columns):
        rows, columns = grid.needed_rows(row), grid.columns_of(column)
        place = np.s_[:, rows.start : rows.stop, columns.start : columns.stop]
        window = np.zeros((side, side, len(bands)), np.float32)
        window[: len(rows), : len(columns)] = bands[place].transpose(1, 2, 0)
        surround(window, len(rows), len(columns), None)
        answer = _softmax(network.logits(np.ascontiguousarray(window.transpose(2, 0, 1))[None])[0])
        if total is None:
            total = np.zeros((len(answer), height, width), np.float32)
        total[place] += answer[:, : len(rows), : len(columns)]
    assert total is not None
    return np.asarray(total / total.sum(axis=0))


def stride(tile_size: int) -> int:
    """Rows from one tile to the next: 210 of 224, as in the reference mission."""
    return tile_size * 15 // 16


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(axis=0))
    return np.asarray(powers / powers.sum(axis=0))


def _read(path: Path) -> JudgedTile:
    arrays = read_arrays(path, "bands")
    if "probabilities" in arrays:
        return JudgedTile(
            name=str(arrays["name"]),
            region=str(arrays["region"]),
            part=str(arrays["part"]),
            bands=arrays["bands"].astype(np.float32),
            valid=arrays["valid"],
            reference=arrays["probabilities"].argmax(axis=0).astype(np.uint8),
            knows_shadow=True,
            names=order_of(arrays),
        )
    if "label" not in arrays:
        cause = "has neither the probabilities of a teacher nor the label of a person"
        raise UsageError(path, cause, "Write it with deploy.model.label, or add label (H, W)")
    bands, label = arrays["bands"], arrays["label"]
    order = _index_entry(path).get("order", BANDS)
    four = bands[[order.index(band) for band in BANDS]]
    return JudgedTile(
        name=path.stem,
        region=path.stem,
        part=_LABELLED,
        bands=reflectance(four, 0),
        valid=(four != 0).any(axis=0),
        reference=label.astype(np.uint8),
        knows_shadow=False,
    )


def _index_entry(path: Path) -> dict[str, Any]:
    """What ``index.json``, in the folder or above it, says of a file."""
    for folder in path.parents[:2]:
        index = folder / "index.json"
        if index.is_file():
            entry: dict[str, Any] = json.loads(index.read_text()).get(path.stem, {})
            return entry
    return {}
