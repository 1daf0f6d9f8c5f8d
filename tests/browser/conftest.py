"""A real browser before the real page, the real bridge and the real daemon."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.flight_unit import FlightUnit, flight_unit
from tests.browser.bridge_process import BridgeProcess
from tests.conftest import Simulated

_ROOT = Path(__file__).parents[2]
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="package")
def chromium() -> Iterator[Any]:
    """The distribution's Chromium, driven by Playwright."""
    playwright = pytest.importorskip("playwright.sync_api")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("no Chromium here (deploy/browser.sh installs it)")
    if not (_ROOT / "node_modules/openmct/dist/openmct.js").exists():
        pytest.skip("no Open MCT here (deploy/openmct.sh installs it)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(_FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def unit(tmp_path_factory: pytest.TempPathFactory, simulated: Simulated) -> Iterator[FlightUnit]:
    with flight_unit(tmp_path_factory.mktemp("unit")) as unit:
        unit.add_scene(simulated.scene)
        unit.start()
        unit.execute("SET_HOUSEKEEPING_RATE", period_s=0.2)
        yield unit
        assert unit.stop() == 0


@pytest.fixture(scope="package")
def bridge(
    chromium: Any, unit: FlightUnit, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BridgeProcess]:
    bridge = BridgeProcess(unit, tmp_path_factory.mktemp("bridge"), free_port())
    bridge.start()
    yield bridge
    bridge.stop()


@pytest.fixture(scope="module")
def page(chromium: Any, bridge: BridgeProcess) -> Iterator[Any]:
    """The dashboard as an operator finds it first; any error in the page fails the test run."""
    context = chromium.new_context(viewport={"width": 1600, "height": 900})
    context.set_default_timeout(20_000)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(bridge.operators_address)
    yield page
    context.close()
    assert errors == []


@pytest.fixture
def screenshot(page: Any) -> Any:
    """Keeps a picture for the manual, where FLIGHTSW_SCREENSHOTS asks for it."""

    def take(name: str) -> None:
        if os.environ.get("FLIGHTSW_SCREENSHOTS"):
            page.screenshot(path=_ROOT / "docs" / "images" / f"dashboard-{name}.png")

    return take


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        port: int = asked.getsockname()[1]
        return port
