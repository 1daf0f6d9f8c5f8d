"""A real browser with the real page, bridge and flight service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.rig.bridge_process import BridgeProcess
from deploy.rig.chromium import find_chromium, launched_chromium
from deploy.rig.flight_unit import FlightUnit
from deploy.rig.forked import flight_unit
from tests.browser.steps import Screenshot, photograph
from tests.conftest import Simulated

_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="package")
def chromium() -> Iterator[Any]:
    """The distribution's Chromium, driven by Playwright."""
    pytest.importorskip("playwright.sync_api")
    if find_chromium() is None:
        pytest.skip("no Chromium here (deploy/browser.sh installs it)")
    if not (_ROOT / "node_modules/openmct/dist/openmct.js").exists():
        pytest.skip("no Open MCT here (deploy/openmct.sh installs it)")
    with launched_chromium() as browser:
        yield browser


@pytest.fixture(scope="package")
def unit(
    tmp_path_factory: pytest.TempPathFactory, simulated: Simulated, small_package: Path
) -> Iterator[FlightUnit]:
    twin = "[dimc.twin]\n"  # the card has temperature, power and energy
    with flight_unit(tmp_path_factory.mktemp("unit"), lines=twin, package=small_package) as unit:
        unit.add_scene(simulated.scene)
        unit.start()
        unit.execute("SET_HOUSEKEEPING_RATE", period_s=0.2)
        yield unit
        assert unit.stop() == 0


@pytest.fixture(scope="package")
def bridge(
    chromium: Any, unit: FlightUnit, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BridgeProcess]:
    bridge = BridgeProcess(unit, tmp_path_factory.mktemp("bridge"), options=["--fetch"])
    bridge.start()
    yield bridge
    bridge.stop()


@pytest.fixture(scope="module")
def page(chromium: Any, bridge: BridgeProcess) -> Iterator[Any]:
    """The dashboard as first opened; any error in the page fails the test run."""
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
def screenshot(page: Any) -> Screenshot:
    """Takes a screenshot for the manual if FLIGHTSW_SCREENSHOTS is set."""
    return lambda name: photograph(page, name)
