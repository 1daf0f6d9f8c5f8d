"""Answered tiles become finished rows and the scene's counts."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter_ns

import numpy as np

from flightsw.engines.engine import EngineInfo
from flightsw.pipeline.area_rows import AreaRows
from flightsw.pipeline.dilation import RowDilation
from flightsw.pipeline.fusion import FusedRows, MaskFusion
from flightsw.pipeline.latency import LatencyRecord
from flightsw.pipeline.work import AnsweredBatch, GridRowDone, NoDataPatch
from flightsw.products.contents import CONTAMINATED, NO_DATA, FinishedRows
from flightsw.scene.tiling import Grid


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
    """Fuses tiles, marks no data, dilates, cuts to an area and counts.  Used by one thread.

    ``valid_pixels_shown`` counts those of the whole strips, ``tally`` what is left of them.
    """

    def __init__(
        self,
        grid: Grid,
        fusion: MaskFusion,
        engine: EngineInfo,
        latencies: LatencyRecord,
        dilation: RowDilation | None = None,
        cut: AreaRows | None = None,
    ) -> None:
        self._dilation = dilation
        self._cut = cut
        self._grid = grid
        self._fusion = fusion
        self._latencies = latencies
        self.tally = Tally(engine.classes)
        self.valid_pixels_shown = 0

    def take(self, batch: AnsweredBatch) -> None:
        """Fuse the tiles of a batch."""
        started = perf_counter_ns()
        for (row, column), logits in zip(batch.places, batch.logits, strict=True):
            self._fusion.add(row, column, logits)
        self._latencies.add("fusion", perf_counter_ns() - started, len(batch.places))

    def finish(self, end: GridRowDone) -> Iterator[FinishedRows]:
        """Count and yield the rows that a grid row finishes, piece by piece.

        Dilated rows come later: when the rows within the radius below them have come.
        """
        fused = self._fusion.finish(end.row)
        for patch in end.no_data:
            _mark_no_data(fused, patch)
        self.tally.tiles_without_data += end.tiles_without_data
        for rows in _pieces(fused, end):
            self.valid_pixels_shown += int(np.count_nonzero(rows.mask != NO_DATA))
            for finished in self._dilation.add(rows) if self._dilation else (rows,):
                for wanted in self._cut.of(finished) if self._cut else (finished,):
                    self.tally.add(wanted)
                    yield wanted


def _pieces(fused: FusedRows, end: GridRowDone) -> Iterator[FinishedRows]:
    if not end.digital_numbers:
        yield FinishedRows(fused.top, None, fused.mask, fused.classes, fused.probability)
    below = 0
    for piece in end.digital_numbers:
        span = slice(below, below + piece.shape[1])
        classes, probability = (
            None if plane is None else plane[span] for plane in (fused.classes, fused.probability)
        )
        yield FinishedRows(fused.top + below, piece, fused.mask[span], classes, probability)
        below = span.stop


def _mark_no_data(fused: FusedRows, patch: NoDataPatch) -> None:
    top, (rows, columns) = patch.top - fused.top, patch.missing.shape
    for plane in (fused.mask, fused.classes, fused.probability):
        if plane is not None:
            plane[top : top + rows, patch.left : patch.left + columns][patch.missing] = NO_DATA
