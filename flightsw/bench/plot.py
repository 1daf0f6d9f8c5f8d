"""The latencies as a picture: how often each occurs, and their course over the run."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from flightsw.bench.results import EngineResult
from flightsw.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH: Final = 1400
HEIGHT: Final = 900
"""Pixels of the picture."""

_DOTS_PER_INCH: Final = 100
_BINS: Final = 120
_REFERENCE_MEAN_MS: Final = 0.94


def draw_latencies(engines: Sequence[EngineResult]) -> bytes:
    """A PNG of :data:`WIDTH` x :data:`HEIGHT`: the accelerator's latency of each tile, in ms.

    Raises :class:`UsageError` if matplotlib is not installed.
    """
    try:
        # Optional, and slow to load; without pyplot it needs no display and keeps no state.
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(
            "bench.png",
            f"was not drawn: matplotlib is not installed ({error})",
            "Run pip install flightsw[bench]",
        ) from error
    size = (WIDTH / _DOTS_PER_INCH, HEIGHT / _DOTS_PER_INCH)
    figure = Figure(figsize=size, dpi=_DOTS_PER_INCH, layout="constrained")
    histogram, timeline = figure.subplots(2, 1)
    latencies = {
        engine.title: np.array(engine.samples_ns["accelerator"]) / 1e6
        for engine in engines
        if engine.samples_ns
    }
    _draw_histogram(histogram, latencies)
    _draw_timeline(timeline, latencies)
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()


def _draw_histogram(axes: Axes, latencies: dict[str, NDArray[np.float64]]) -> None:
    axes.set_title("Accelerator latency, tile by tile")
    axes.set_xlabel("ms a tile (logarithmic)")
    axes.set_ylabel("tiles")
    if latencies:
        every = np.concatenate(list(latencies.values()))
        edges = np.geomspace(max(every.min(), 1e-3), max(every.max(), 2e-3), _BINS)
        for title, values in latencies.items():
            axes.hist(values, bins=edges.tolist(), histtype="step", label=title)
        axes.set_xscale("log")
    axes.axvline(_REFERENCE_MEAN_MS, linestyle=":", color="grey", label="reference D-IMC, mean")
    axes.legend()


def _draw_timeline(axes: Axes, latencies: dict[str, NDArray[np.float64]]) -> None:
    axes.set_title("The same over the run")
    axes.set_xlabel("tile")
    axes.set_ylabel("ms a tile (logarithmic)")
    axes.set_yscale("log")
    for title, values in latencies.items():
        axes.plot(values, linewidth=0.6, label=title)
    axes.axhline(_REFERENCE_MEAN_MS, linestyle=":", color="grey")
