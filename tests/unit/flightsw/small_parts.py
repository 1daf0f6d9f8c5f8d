"""Real, small parts for tests: a scene in memory and an engine of plain arithmetic.

Limits: :class:`ArrayScene` decodes nothing, so it says nothing about files;
:class:`ArithmeticEngine` knows nothing about clouds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from flightsw.engines.engine import CardReadings, EngineInfo, Quantisation, Tiles
from flightsw.scene.scene import SceneMetadata, Strip
from flightsw.scene.tiling import STRIDE

BANDS = ("B02", "B03", "B04", "B08")


def scene_metadata(height: int, width: int, **changes: object) -> SceneMetadata:
    """Metadata of a plain L2A scene of baseline 05.10, with ``changes``."""
    fields: dict[str, object] = {
        "name": "S2A_MSIL2A_20250601T101031_N0510_R022_T32TQM_20250601T140000",
        "tile_id": "T32TQM",
        "level": "L2A",
        "baseline": "05.10",
        "bands": BANDS,
        "offsets": dict.fromkeys(BANDS, -1000),
        "quantification": 10_000.0,
        "height": height,
        "width": width,
        "ground_sample_distance": 10,
    }
    return SceneMetadata(**(fields | changes))  # type: ignore[arg-type]


@dataclass(frozen=True)
class ArrayScene:
    """A scene held in memory, cut into strips of the heights given; the last height repeats.

    Its panels have the widths given, and the last panel the rest; ``strips_together`` strips of a
    panel come before those of the next.  Each strip counts as its own decode.
    """

    digital_numbers: NDArray[np.uint16]
    strip_heights: Sequence[int] = (64,)
    panel_widths: Sequence[int] = ()
    strips_together: int = 1
    changes: dict[str, object] = field(default_factory=dict)

    @property
    def metadata(self) -> SceneMetadata:
        """Metadata that fits the array."""
        _, height, width = self.digital_numbers.shape
        return scene_metadata(height, width, **self.changes)

    @contextmanager
    def strips(self, workers: int) -> Iterator[Iterator[Strip]]:
        """Yield the strips; ``workers`` is not used."""
        del workers
        yield self._cut()

    def _cut(self) -> Iterator[Strip]:
        _, height, width = self.digital_numbers.shape
        heights, tops = deque(self.strip_heights), [0]
        while tops[-1] < height:
            tops.append(tops[-1] + (heights.popleft() if len(heights) > 1 else heights[0]))
        edges = [0, *(edge for edge in accumulate(self.panel_widths) if edge < width), width]
        strips, together = [*pairwise(tops)], self.strips_together
        areas = [
            (*rows, *columns)
            for first in range(0, len(strips), together)
            for columns in pairwise(edges)
            for rows in strips[first : first + together]
        ]
        for number, (top, bottom, left, right) in enumerate(areas, start=1):
            yield Strip(
                top, self.digital_numbers[:, top:bottom, left:right], len(areas) - number, left
            )


class ArithmeticEngine:
    """Logits by integer arithmetic on the tile: each depends on the pixel and on the whole tile.

    ``delay`` answers that many pushes later, as a double-buffering card does.
    Tiles that disagree in their overlap make fusion visible.
    """

    def __init__(
        self,
        *,
        batch: int = 1,
        classes: int = 2,
        delay: int = 0,
        bands: tuple[str, ...] = BANDS,
        stride: int = STRIDE,
        temperature: float = 1.0,
    ) -> None:
        names = ("clear", "contaminated") if classes == 2 else ("clear", "thick", "thin", "shadow")
        self.info = EngineInfo(
            name="arithmetic",
            tag="arithmetic",
            device="none",
            precision="int8",
            batch=batch,
            tile_size=224,
            stride=stride,
            bands=bands,
            classes=names,
            input=Quantisation(0.004, -128),
            output=Quantisation(0.05, 0),
            temperature=temperature,
            model_id="arithmetic",
        )
        self._delay = delay
        self._owed: deque[NDArray[np.int8]] = deque()
        self.tiles_seen = 0

    def infer(self, tiles: Tiles) -> NDArray[np.int8]:
        """Answer a batch immediately."""
        values = tiles.astype(np.int32)
        level = values.mean(axis=(1, 2), keepdims=True).round().astype(np.int32)
        kinds = len(self.info.classes)
        logits = np.stack(
            [
                (values[..., kind % 4] * (kind + 1) + level[..., 0] * 3) % 64
                for kind in range(kinds)
            ],
            axis=-1,
        )
        self.tiles_seen += len(tiles)
        return (logits - 32).astype(np.int8)

    def push(self, tiles: Tiles) -> NDArray[np.int8] | None:
        """Answer an earlier batch, or none yet."""
        self._owed.append(self.infer(tiles))
        return self._owed.popleft() if len(self._owed) > self._delay else None

    def flush(self) -> Iterator[NDArray[np.int8]]:
        """Answer the outstanding batches."""
        while self._owed:
            yield self._owed.popleft()

    def readings(self) -> CardReadings | None:
        """No sensor."""
        return None

    def close(self) -> None:
        """Nothing is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
