"""Timing, power and temperature of the reference card, as rules without a clock.

All instants are nanoseconds of one monotonic clock, given by the caller.
Figures: the reference benchmark of the D-IMC card (2,809 tiles of 224 x 224
in INT8, one tile over four cores).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flightsw.config import TwinSettings

CORES: Final = 4
IDLE_WATTS: Final = 4.4
INFERENCE_WATTS: Final = 10.1
START_CELSIUS: Final = 39.0
EQUILIBRIUM_CELSIUS: Final = 51.0
"""Settled temperature under full load; at idle it settles at :data:`START_CELSIUS`."""
THERMAL_SECONDS: Final = 120.0
"""Time constant. Assumed: the reference calls the card settled after ten minutes, five of these."""
TO_CARD_NS: Final = 60_000
"""Of a tile of four bands; see :func:`to_card_ns`."""
FROM_CARD_NS: Final = 50_000

_REFERENCE_TILE_BYTES: Final = 224 * 224 * 4
_REFERENCE_MEAN_MS: Final = 0.94
_REFERENCE_SIGMA_MS: Final = 0.21
# The reference's P50, P95, P99 and maximum, joined by straight lines. The minimum and the
# knot at 0.83 are not reported: they are what gives its mean (0.940) and sigma (0.210).
_PROBABILITIES: Final = (0.0, 0.50, 0.83, 0.95, 0.99, 1.0)
_LATENCIES_MS: Final = (0.72, 0.89, 1.01, 1.38, 1.72, 2.04)
_LEAST_SHARE_OF_MEAN: Final = 0.1
_BLOCK: Final = 1024
_PAUSES_KEPT: Final = 4096  # more than the frames of a scene


def to_card_ns(tile: Sequence[int]) -> int:
    """Time of a tile's transfer to the card, in proportion to its INT8 values.

    ``tile`` is its shape without padding: rows, columns, bands.
    """
    return round(TO_CARD_NS * math.prod(tile) / _REFERENCE_TILE_BYTES)


class LatencyDraw:
    """Latencies of frames: the reference's distribution, scaled to the settings, seeded.

    A frame of n tiles takes the sum of n draws.  ``latency_ms`` holds for all
    four cores, so an instance on fewer takes longer in proportion.
    """

    def __init__(self, settings: TwinSettings, tiles: int, cores: int) -> None:
        self._settings = settings
        self._tiles = tiles
        self._share = CORES / cores
        self._random = np.random.default_rng(settings.seed)
        self._drawn: Iterator[int] = iter(())

    def next_ns(self) -> int:
        """Latency of the next frame."""
        for latency_ns in self._drawn:
            return latency_ns
        self._drawn = iter(self._draw())
        return next(self._drawn)

    def _draw(self) -> list[int]:
        """Many frames together: a single draw would delay the frame by 20 microseconds."""
        tiles_ms = tile_latency_ms(self._settings, self._random.random((_BLOCK, self._tiles)))
        frames: list[int] = np.rint(tiles_ms.sum(axis=1) * self._share * 1e6).astype(int).tolist()
        return frames


def tile_latency_ms(
    settings: TwinSettings, probability: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Quantiles (ms) of a tile's latency on four cores, for probabilities from 0 to 1."""
    reference = np.interp(probability, _PROBABILITIES, _LATENCIES_MS)
    deviations = (reference - _REFERENCE_MEAN_MS) / _REFERENCE_SIGMA_MS
    latency = settings.latency_ms + settings.sigma_ms * deviations
    return np.maximum(latency, settings.latency_ms * _LEAST_SHARE_OF_MEAN)


@dataclass(frozen=True)
class FrameTimes:
    """When a frame computed, from ``start_ns`` to ``end_ns``, and when the host has its answer."""

    start_ns: int
    end_ns: int
    ready_ns: int


class CardTimeline:
    """The order of frames on one instance's cores, without a gap as long as work is queued.

    A transfer overlaps with the computing of the frame before, and costs its
    time only if the card would otherwise wait.
    """

    def __init__(self, to_card_ns: int = TO_CARD_NS, from_card_ns: int = FROM_CARD_NS) -> None:
        self._to_card_ns = to_card_ns
        self._from_card_ns = from_card_ns
        self._free_ns = 0

    def place(self, submitted_ns: int, latency_ns: int, computed_ns: int) -> FrameTimes:
        """Times of the next frame; it ends no earlier than its answer was really computed."""
        start_ns = max(submitted_ns + self._to_card_ns, self._free_ns)
        end_ns = max(start_ns + latency_ns, computed_ns)
        self._free_ns = end_ns
        return FrameTimes(start_ns, end_ns, end_ns + self._from_card_ns)


class CardHistory:
    """Busy time, energy and temperature, summed over the frames of an instance since it opened.

    Power is :data:`IDLE_WATTS` or :data:`INFERENCE_WATTS`; the temperature
    approaches the equilibrium of either state exponentially.
    """

    def __init__(self, opened_ns: int) -> None:
        self._first_start_ns: int | None = None
        self._until_ns = opened_ns
        self._joules = 0.0
        self._celsius = START_CELSIUS
        self._pauses_ns: deque[int] = deque(maxlen=_PAUSES_KEPT)
        self.busy_ns = 0

    @property
    def span(self) -> tuple[int, int] | None:
        """Instants of the first frame's start and the last frame's end; None before a frame."""
        return None if self._first_start_ns is None else (self._first_start_ns, self._until_ns)

    @property
    def pauses_ns(self) -> tuple[int, ...]:
        """Between one frame's end and the next one's start, the latest 4,096; mostly 0."""
        return tuple(self._pauses_ns)

    def record(self, frame: FrameTimes) -> None:
        """Add a frame; frames come in order and do not overlap."""
        if self._first_start_ns is None:
            self._first_start_ns = frame.start_ns
        else:
            self._pauses_ns.append(frame.start_ns - self._until_ns)
        busy_ns = frame.end_ns - frame.start_ns
        self._joules = self.energy_joules(frame.start_ns) + INFERENCE_WATTS * busy_ns / 1e9
        self._celsius = _approach(
            self.temperature_celsius(frame.start_ns), EQUILIBRIUM_CELSIUS, busy_ns
        )
        self.busy_ns += busy_ns
        self._until_ns = frame.end_ns

    def energy_joules(self, now_ns: int) -> float:
        """Energy since the card was opened, with the idle time up to ``now_ns``."""
        return self._joules + IDLE_WATTS * self._idle_ns(now_ns) / 1e9

    def temperature_celsius(self, now_ns: int) -> float:
        """Core temperature at ``now_ns``."""
        return _approach(self._celsius, START_CELSIUS, self._idle_ns(now_ns))

    def power_watts(self, now_ns: int) -> float:
        """Power at ``now_ns``."""
        return IDLE_WATTS if self._idle_ns(now_ns) else INFERENCE_WATTS

    def _idle_ns(self, now_ns: int) -> int:
        return max(0, now_ns - self._until_ns)


class MeanHistory:
    """The card, from the histories of its instances.

    Each history describes a whole card, so the card is their mean: idle power
    counts once, and a busy instance adds its share of :data:`INFERENCE_WATTS`.
    """

    def __init__(self, histories: Sequence[CardHistory]) -> None:
        self._histories = histories

    @property
    def busy_ns(self) -> int:
        """Mean over the instances."""
        return round(fmean(history.busy_ns for history in self._histories))

    @property
    def span_ns(self) -> int:
        """From the first frame's start to the last frame's end, on any instance."""
        spans = [history.span for history in self._histories if history.span]
        if not spans:
            return 0
        return max(end for _, end in spans) - min(start for start, _ in spans)

    @property
    def pauses_ns(self) -> tuple[int, ...]:
        """Those of a single instance; empty for several, which compute at the same time."""
        return self._histories[0].pauses_ns if len(self._histories) == 1 else ()

    def energy_joules(self, now_ns: int) -> float:
        """Energy since the card was opened, with the idle time up to ``now_ns``."""
        return fmean(history.energy_joules(now_ns) for history in self._histories)

    def temperature_celsius(self, now_ns: int) -> float:
        """Core temperature at ``now_ns``; the mean, as the model is linear in the power."""
        return fmean(history.temperature_celsius(now_ns) for history in self._histories)

    def power_watts(self, now_ns: int) -> float:
        """Power at ``now_ns``."""
        return fmean(history.power_watts(now_ns) for history in self._histories)


def _approach(celsius: float, equilibrium: float, duration_ns: int) -> float:
    return equilibrium + (celsius - equilibrium) * math.exp(-duration_ns / 1e9 / THERMAL_SECONDS)
