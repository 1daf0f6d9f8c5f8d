"""How long the page stays without new values after the service, or the bridge, is back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from deploy.benchmark.dashboard.page import recorder, watched
from deploy.benchmark.dashboard.publisher import Publisher
from deploy.benchmark.dashboard.telemetry import PERIOD_S
from deploy.rig.bridge_process import BridgeProcess

if TYPE_CHECKING:
    from playwright.sync_api import Page

_SERVICE_DOWN_S: Final = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0)
_BRIDGE_DOWN_S: Final = (0.5, 1.0, 2.0, 3.0, 5.0)
_SETTLE_S: Final = 0.5


def measure_reconnection(page: Page, publisher: Publisher, bridge: BridgeProcess) -> dict[str, Any]:
    """Both are killed and started again, after different times; ``page`` shows their values."""
    service = [_service_back(page, publisher, down) for down in _SERVICE_DOWN_S]
    bridges = [_bridge_back(page, bridge, down) for down in _BRIDGE_DOWN_S]
    return {"service": _told(service), "bridge": _told(bridges)}


def _service_back(page: Page, publisher: Publisher, down_s: float) -> float:
    """Seconds from the first packet of the new boot to its number in the page."""
    publisher.kill()
    time.sleep(down_s)
    recorder(page, "watch", "Boots", publisher.boot + 1)
    back = publisher.start()
    return watched(page)["at"] - back


def _bridge_back(page: Page, bridge: BridgeProcess, down_s: float) -> float:
    """Seconds from the bridge's first answer to a newer value in the page."""
    bridge.kill()
    time.sleep(down_s)
    recorder(page, "watch", "Uptime", recorder(page, "shown", "Uptime") + PERIOD_S / 2)
    bridge.start()
    back = time.time()
    seconds = watched(page)["at"] - back
    time.sleep(_SETTLE_S)
    return max(0.0, seconds)


def _told(seconds: list[float]) -> dict[str, Any]:
    return {"times": len(seconds), "median_s": float(np.median(seconds)), "max_s": max(seconds)}
