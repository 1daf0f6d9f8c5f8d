"""What a plot of a whole archive waits for, through the bridge."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

from deploy.benchmark.archive import KEY
from deploy.rig.bridge_process import BridgeProcess
from deploy.rig.flight_unit import flight_unit

_REQUESTS: Final = 20


def measure_plot(work: Path, archive: Path) -> dict[str, Any]:
    """Milliseconds of a plot's request for all that the archive holds, one after the other."""
    took = []
    with tempfile.TemporaryDirectory(dir=work) as name, flight_unit(Path(name) / "unit") as unit:
        bridge = BridgeProcess(unit, Path(name), archive=archive)
        try:
            bridge.start()
            extent = bridge.ask("/api/status")["archive"]
            span = f"start={extent['first']}&end={extent['last']}&size=1000&strategy=minmax"
            for _ in range(_REQUESTS):
                began = time.perf_counter()
                bridge.ask(f"/api/history/{KEY}?{span}")
                took.append(1000 * (time.perf_counter() - began))
        finally:
            bridge.stop()
    return {"requests": _REQUESTS, "median_ms": float(np.median(took)), "max_ms": max(took)}
