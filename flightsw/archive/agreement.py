"""A scene in two runs: on how many pixels their masks agree."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from flightsw.archive.outcome import RECORD, Outcome, read_outcome
from flightsw.comparison.figures import OF_VALID, findings
from flightsw.errors import FlightError
from flightsw.products.mask_file import open_mask

_ROWS: Final = 512


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of contaminated pixels in this run and the other one, and pixels by finding.

    ``pixels`` are valid in both masks, ``only_this`` and ``only_other`` contaminated in one mask;
    all are 0 if a mask is absent or the masks differ in size.
    """

    this: float
    other: float
    pixels: int = 0
    only_this: int = 0
    only_other: int = 0

    @property
    def agreement(self) -> float | None:
        """Share of the pixels on which both agree, None if none was compared."""
        if not self.pixels:
            return None
        return 1 - (self.only_this + self.only_other) / self.pixels


def compare_outcomes(run: Path, outcome: Outcome, other_run: Path) -> Agreement | None:
    """The scene of ``outcome`` in both runs; None if one of them has no mask of it."""
    try:
        other = read_outcome(other_run / outcome.folder / RECORD)
    except (FlightError, OSError):  # not computed in that run
        return None
    if outcome.contaminated is None or other.contaminated is None:
        return None
    found = Agreement(this=outcome.contaminated, other=other.contaminated)
    try:
        with (
            open_mask(run / outcome.folder) as mask,
            open_mask(other_run / other.folder) as other_mask,
        ):
            if mask.shape != other_mask.shape:
                return found
            totals = np.zeros(len(OF_VALID), np.int64)
            for top in range(0, mask.shape[0], _ROWS):
                rows = slice(top, top + _ROWS)
                pixels = findings(mask[rows], other_mask[rows])
                totals += [np.count_nonzero(pixels == finding) for finding in OF_VALID]
    except (FlightError, OSError):  # the products were deleted, or hold no mask
        return found
    return msgspec.structs.replace(
        found,
        pixels=int(totals.sum()),
        only_other=int(totals[1]),
        only_this=int(totals[2]),
    )
