"""All figures of the dashboard."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psutil

from deploy.benchmark.archive import archive_of, measure_archive
from deploy.benchmark.dashboard import display
from deploy.benchmark.dashboard.archived import account_of
from deploy.benchmark.dashboard.endurance import measure_endurance
from deploy.benchmark.dashboard.first_paint import measure_first_paint
from deploy.benchmark.dashboard.page import recorded_page, recorder
from deploy.benchmark.dashboard.plot import measure_plot
from deploy.benchmark.dashboard.publisher import Published, Publisher
from deploy.benchmark.dashboard.reconnection import measure_reconnection
from deploy.benchmark.dashboard.telemetry import PERIOD_S, SHOWN, shown_points, telemetry_of
from deploy.rig.bridge_process import BridgeProcess
from deploy.rig.chromium import launched_chromium
from deploy.rig.flight_unit import flight_unit, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

_ARRIVAL_S: Final = 10.0


def measure_dashboard(work: Path, minutes: float, days: int) -> dict[str, Any]:
    """The page over ``minutes``, its start, its reconnection, and an archive of so many days."""
    keys = shown_points()
    assert len(keys) == SHOWN, keys
    archive = measure_archive(work / "archive", days)
    plot = measure_plot(work, archive_of(work / "archive", days))
    with (
        _running(work) as (publisher, bridge),
        launched_chromium() as browser,
    ):
        first_paint = measure_first_paint(browser, bridge.address)
        with recorded_page(browser, [display.script(keys)]) as page:
            page.goto(f"{bridge.address}/{display.path()}")
            recorder(page, "watch", "Uptime", 0)
            recorder(page, "watched")
            recorder(page, "receive", keys)
            process = psutil.Process(bridge.pid)
            endurance = measure_endurance(browser, page, process, 60 * minutes)
            values = _account(page, publisher, bridge, keys)
            publisher.start()
            reconnection = measure_reconnection(page, publisher, bridge)
    return {
        "archive": archive,
        "plot": plot,
        "first_paint": first_paint,
        "endurance": endurance,
        "values": values,
        "reconnection": reconnection,
    }


@contextmanager
def _running(work: Path) -> Iterator[tuple[Publisher, BridgeProcess]]:
    """A service's telemetry and a bridge that archives it; nothing is left running."""
    with tempfile.TemporaryDirectory(dir=work) as name, flight_unit(Path(name) / "unit") as unit:
        publisher, bridge = Publisher(unit), BridgeProcess(unit, Path(name))
        try:
            publisher.start()
            bridge.start()
            yield publisher, bridge
        finally:
            bridge.stop()
            publisher.kill()


def _account(
    page: Page, publisher: Publisher, bridge: BridgeProcess, keys: tuple[str, ...]
) -> dict[str, Any]:
    """End the sending, and see what became of it."""
    published = publisher.stop()
    wait_until(lambda: _is_archived(bridge, publisher.boot, published), _ARRIVAL_S)
    page.wait_for_timeout(1000 * 10 * PERIOD_S)  # the page shows what is archived in a few turns
    received = recorder(page, "received")
    wanted = sum(published.periods - one["first"] + 1 for one in received.values())
    got = sum(one["count"] - one["repeated"] for one in received.values())
    return {
        "keys": len(keys),
        "periods": published.periods,
        "dropped_by_the_service": published.dropped,
        "archive": asdict(account_of(bridge.archive, publisher.boot, published.periods)),
        "page": {
            "sent": wanted,
            "received": got,
            "missing": wanted - got,
            "repeated": sum(one["repeated"] for one in received.values()),
        },
    }


def _is_archived(bridge: BridgeProcess, boot: int, published: Published) -> bool:
    for topic in telemetry_of(1, boot):
        key = "hk.boots" if topic == "hk" else f"{topic}.contaminated"
        [latest] = bridge.ask(f"/api/history/{key}?strategy=latest")
        if latest["seq"] < published.periods:
            return False
    return True
