"""Minutes of 50 values at 10 Hz: how the page answers, what it and the bridge grow by."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import psutil
from tqdm import tqdm

from deploy.benchmark.dashboard.page import recorder

if TYPE_CHECKING:
    from playwright.sync_api import Browser, CDPSession, Page

SAMPLES: Final = 10
_SETTLED: Final = 0.2
"""Share of the time that is left out of the growth: two of ten minutes, until plots are full."""

_CLICK_S: Final = 3.0


@dataclass(frozen=True)
class Sample:
    """Megabytes, DOM nodes, listeners; ``seconds`` since the beginning."""

    seconds: float
    heap_mb: float
    nodes: float
    listeners: float
    renderer_mb: float
    bridge_mb: float


def measure_endurance(
    browser: Browser, page: Page, bridge: psutil.Process, seconds: float
) -> dict[str, Any]:
    """``page`` shows the values that come; it is clicked, and looked at ten times."""
    probe = _Probe(browser, page, bridge)
    before, began = probe.cpu_seconds(), time.monotonic()
    samples = [probe.sample(0.0)]
    recorder(page, "record", True)
    for _ in tqdm(range(SAMPLES), unit="sample", disable=None):
        _click(page, began + seconds * len(samples) / SAMPLES)
        recorder(page, "record", False)
        samples.append(probe.sample(time.monotonic() - began))
        recorder(page, "record", True)
    recorder(page, "record", False)
    elapsed = time.monotonic() - began
    shares = [(now - then) / elapsed for now, then in zip(probe.cpu_seconds(), before, strict=True)]
    return {
        "seconds": elapsed,
        "samples": [asdict(sample) for sample in samples],
        "growth_per_minute": growth_per_minute(samples, _SETTLED * seconds),
        "renderer_core_share": shares[0],
        "bridge_core_share": shares[1],
        **_responsiveness(recorder(page, "recorded")),
    }


def growth_per_minute(samples: list[Sample], settled_s: float) -> dict[str, float]:
    """Of each figure, by a straight line through the samples from ``settled_s`` on."""
    fitted = [asdict(sample) for sample in samples if sample.seconds >= settled_s]
    minutes = [one["seconds"] / 60 for one in fitted]
    names = [name for name in fitted[0] if name != "seconds"]
    return {name: float(np.polyfit(minutes, [one[name] for one in fitted], 1)[0]) for name in names}


def _click(page: Page, until: float) -> None:
    """Open and close a plot's legend, as an operator's hand does, until that moment."""
    box = page.locator(".c-plot-legend__view-control").first.bounding_box()
    assert box is not None
    for is_open in cycle((True, False)):
        left = until - time.monotonic()
        if left < _CLICK_S and is_open:  # it is closed again
            page.wait_for_timeout(1000 * max(0.0, left))
            return
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.wait_for_timeout(500 * _CLICK_S)


def _responsiveness(told: dict[str, list[float]]) -> dict[str, Any]:
    """Milliseconds."""
    return {
        "frame_gaps_ms": _distribution(told["frames"]),
        "frames": len(told["frames"]),
        "long_tasks": len(told["longTasks"]),
        "long_task_worst_ms": max(told["longTasks"], default=0.0),
        "clicks": len(told["clicks"]),
        "clicks_ms": _distribution(told["clicks"]),
    }


def _distribution(values: list[float]) -> dict[str, float]:
    found = np.percentile(values, (50, 95, 99, 100))
    return dict(zip(("p50", "p95", "p99", "max"), map(float, found), strict=True))


class _Probe:
    """Reads the browser's and the bridge's own figures."""

    def __init__(self, browser: Browser, page: Page, bridge: psutil.Process) -> None:
        self._page: CDPSession = page.context.new_cdp_session(page)
        self._renderer = _renderer_of(browser)
        self._bridge = bridge

    def sample(self, seconds: float) -> Sample:
        """After a full garbage collection."""
        self._page.send("HeapProfiler.collectGarbage")
        counters = self._page.send("Memory.getDOMCounters")
        return Sample(
            seconds=seconds,
            heap_mb=self._page.send("Runtime.getHeapUsage")["usedSize"] / 1e6,
            nodes=counters["nodes"],
            listeners=counters["jsEventListeners"],
            renderer_mb=self._renderer.memory_info().rss / 1e6,
            bridge_mb=self._bridge.memory_info().rss / 1e6,
        )

    def cpu_seconds(self) -> tuple[float, float]:
        """Of the renderer and of the bridge."""
        renderer, bridge = self._renderer.cpu_times(), self._bridge.cpu_times()
        return renderer.user + renderer.system, bridge.user + bridge.system


def _renderer_of(browser: Browser) -> psutil.Process:
    """The process of the only page: Chromium keeps others ready, which are smaller."""
    processes = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    renderers = [psutil.Process(one["id"]) for one in processes if one["type"] == "renderer"]
    return max(renderers, key=lambda one: one.memory_info().rss)
