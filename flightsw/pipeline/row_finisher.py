"""Answered tiles become finished rows and the scene's counts."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter_ns

import numpy as np

from flightsw.engines.engine import EngineInfo
from flightsw.pipeline.fusion import FusedRows, MaskFusion
from flightsw.pipeline.latency import LatencyRecord
from flightsw.pipeline.work import AnsweredBatch, Piece, RowEnd
from flightsw.products.contents import CONTAMINATED, NO_DATA, FinishedRows
from flightsw.tiling import Grid


class Tally:
    """Pixels and tiles of the rows that are finished."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        self._classes = classes
        self._pixels_by_index = np.zeros(len(classes), dtype=np.int64)
        self.contaminated_pixels = 0
        self.no_data_pixels = 0
        self.valid_pixels = 0
        self.tiles_without_data = 0

    def add(self, rows: FinishedRows) -> None:
        """Count rows that were not counted before."""
        no_data = int(np.count_nonzero(rows.mask == NO_DATA))
        self.no_data_pixels += no_data
        self.valid_pixels += rows.mask.size - no_data
        self.contaminated_pixels += int(np.count_nonzero(rows.mask == CONTAMINATED))
        if rows.classes is not None:
            counts = np.bincount(rows.classes.ravel(), minlength=NO_DATA + 1)
            self._pixels_by_index += counts[: len(self._classes)]

    def pixels_by_class(self) -> dict[str, int]:
        """Valid pixels: clear, contaminated, and the model's own classes beyond two."""
        pixels = {
            "clear": self.valid_pixels - self.contaminated_pixels,
            "contaminated": self.contaminated_pixels,
        }
        if len(self._classes) > 2:
            by_index = zip(self._classes[1:], self._pixels_by_index[1:], strict=True)
            pixels |= {name: int(count) for name, count in by_index}
        return pixels


class RowFinisher:
    """Fuses tiles, lays no data over the mask, and counts.  Used by one thread."""

    def __init__(
        self, grid: Grid, fusion: MaskFusion, engine: EngineInfo, latencies: LatencyRecord
    ) -> None:
        self._grid = grid
        self._fusion = fusion
        self._latencies = latencies
        self.tally = Tally(engine.classes)

    def take(self, batch: AnsweredBatch) -> None:
        """Fuse the tiles of a batch."""
        started = perf_counter_ns()
        for (row, column), logits in zip(batch.places, batch.logits, strict=True):
            self._fusion.add(row, column, logits)
        self._latencies.add("fusion", perf_counter_ns() - started, len(batch.places))

    def finish(self, end: RowEnd) -> Iterator[FinishedRows]:
        """Give out and count the rows that a grid row finishes, piece by piece."""
        fused, below = self._fusion.finish(end.row), 0
        self.tally.tiles_without_data += end.tiles_without_data
        for piece in end.pieces:
            rows = _finished(fused, slice(below, below + piece.rows), piece)
            self.tally.add(rows)
            yield rows
            below += piece.rows


def _finished(fused: FusedRows, span: slice, piece: Piece) -> FinishedRows:
    mask = fused.mask[span]
    classes = None if fused.classes is None else fused.classes[span]
    if piece.no_data is not None:
        mask[piece.no_data] = NO_DATA
        if classes is not None:
            classes[piece.no_data] = NO_DATA
    return FinishedRows(fused.top + span.start, piece.digital_numbers, mask, classes)
