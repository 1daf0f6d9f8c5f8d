"""How long a fresh visitor waits for the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from deploy.benchmark.dashboard.page import recorded_page, recorder, watched

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_VISITS: Final = 7


def measure_first_paint(browser: Browser, address: str) -> dict[str, Any]:
    """Milliseconds to the first contentful paint and to the overview with its values."""
    paints, overviews = [], []
    for _ in range(_VISITS):
        with recorded_page(browser, ["recorder.watch('Uptime', 0);"]) as page:
            page.goto(address)
            overviews.append(1000 * watched(page)["now"])
            paints.append(float(recorder(page, "firstPaint")))
    return {
        "visits": _VISITS,
        "first_paint_ms": {"median": float(np.median(paints)), "max": max(paints)},
        "overview_ms": {"median": float(np.median(overviews)), "max": max(overviews)},
    }
