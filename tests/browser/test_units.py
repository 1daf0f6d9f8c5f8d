"""Two services in one dashboard, in a real browser.

The services are stand-ins with the real interface; with FLIGHTSW_LONG_TESTS also two daemons, whose
starts take 15 s of a core.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.rig.bridge_process import BridgeProcess
from deploy.rig.flight_unit import FlightUnit
from deploy.rig.forked import flight_unit
from telecommands.auth import SECRET_BYTES, TelecommandKey
from telecommands.dashboard.address import address_of
from telecommands.dashboard.bridge import DashboardSettings, find_openmct
from telecommands.dashboard.unit_settings import UnitSettings
from telecommands.dictionary import CloudFraction, ContactState
from telecommands.ground.connection import GroundKeys
from telecommands.ground.station import Station, StationEndpoints
from tests.browser.steps import browse, newest_sent, photograph
from tests.unit.telecommands.dashboard.running import running
from tests.unit.telecommands.flight_stand_in import FlightStandIn, housekeeping

A, B = "sat-a", "sat-b"
_CLOUD = CloudFraction(
    job="job-1", scene="S2A_MSIL2A_20230506T103031_N0510_R065_T32TQM_20230506T154331.SAFE",
    model="m", engine="dimc", ground_sample_distance=10, height=1, width=1, valid_pixels=1,
    contaminated=0.237, fractions={}, rows=1, columns=1, tile_map=b"\x3c", seconds=1.0,
    inference_seconds=0.5, stages_ms={}, energy_j=None,
)  # fmt: skip


@dataclass(frozen=True)
class Fleet:
    """A bridge to two units; ``stop`` ends the service of the second."""

    address: str
    operators_address: str
    stop: Callable[[], object]


@contextmanager
def _stand_ins(folder: Path) -> Iterator[Fleet]:
    key = TelecommandKey("operator", bytes(SECRET_BYTES))
    with ExitStack() as stand_ins, ExitStack() as second:
        flights = {
            A: stand_ins.enter_context(FlightStandIn(key, unit=A)),
            B: second.enter_context(FlightStandIn(key, unit=B)),
        }
        contact = ContactState(open=True, bytes_left=10**8, seconds_left=412.0)
        flights[A].telemetry.publish("hk", housekeeping(contact=contact))
        flights[A].telemetry.publish("sci.cloud_fraction", _CLOUD)
        flights[B].telemetry.publish("hk", housekeeping(card_temperature_c=86.0))
        units = []
        for name, flight in flights.items():
            links = StationEndpoints(**json.loads(flight.endpoints(folder).read_text()))
            keys = GroundKeys(telecommand=key, unit=name)
            station = Station(links, keys, folder / f"{name}.sequence")
            archive = folder / f"{name}.sqlite"
            units.append(
                UnitSettings(
                    name=name, archive=archive, station=lambda one=station: one, operator=key
                )
            )
        settings = DashboardSettings(log=folder / "log.sqlite", openmct=find_openmct(None), port=0)
        with running(settings, *units) as client:
            yield Fleet(client.base, address_of(client.port, client.token), second.close)


@contextmanager
def _daemons(folder: Path) -> Iterator[Fleet]:
    with _daemon(folder / A, A) as a, _daemon(folder / B, B) as b:
        bridge = BridgeProcess(a, folder, b)
        bridge.start()
        yield Fleet(bridge.address, bridge.operators_address, b.kill)
        bridge.stop()


@contextmanager
def _daemon(folder: Path, name: str) -> Iterator[FlightUnit]:
    with flight_unit(folder, unit=name) as unit:
        unit.start()
        unit.execute("SET_HOUSEKEEPING_RATE", period_s=0.2)
        yield unit


_LONG = pytest.mark.skipif(
    "FLIGHTSW_LONG_TESTS" not in os.environ, reason="takes long: set FLIGHTSW_LONG_TESTS"
)


@pytest.fixture(scope="module", params=[_stand_ins, pytest.param(_daemons, marks=_LONG)])
def fleet(
    request: pytest.FixtureRequest, chromium: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    with request.param(tmp_path_factory.mktemp("fleet")) as fleet:
        yield fleet


@pytest.fixture(scope="module")
def page(chromium: Any, fleet: Fleet) -> Iterator[Any]:
    context = chromium.new_context(viewport={"width": 1600, "height": 900})
    context.set_default_timeout(20_000)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(fleet.operators_address)
    yield page
    context.close()
    assert errors == []


def _cell(page: Any, unit: str, column: str, text: str) -> None:
    row = page.locator(f".units tr[data-unit={unit}]")
    row.locator(f"[data-column={column}]", has_text=text).wait_for()


def _commanding(unit: str) -> str:
    return f"flightsw.{unit}:payload/flightsw.{unit}:commanding"


def test_two_services_are_roots_of_their_own_and_rows_of_one_table(page: Any) -> None:
    tree = page.get_by_role("tree", name="Main Tree")
    for unit in (A, B):
        tree.get_by_role("treeitem", name=unit).wait_for()
        _cell(page, unit, "mode", "OPERATIONAL")
        _cell(page, unit, "link", "up")
    page.locator("[data-indicator='flightsw.link']", has_text="Link up 2 of 2").wait_for()
    photograph(page, "units")
    page.get_by_role("link", name=B).click()
    page.get_by_label("lad row").filter(has_text="Mode").filter(has_text="OPERATIONAL").wait_for()
    page.locator(".l-browse-bar__object-name", has_text=f"{B}: Overview").wait_for()


def test_a_telecommand_from_the_page_of_a_unit_runs_on_this_unit(page: Any, fleet: Fleet) -> None:
    browse(page, fleet, _commanding(B))
    page.locator(".commanding__who", has_text=f"to {B} are signed").wait_for()
    page.get_by_label("Telecommand", exact=True).select_option("SET_MODE")
    form = page.get_by_role("form", name="SET_MODE", exact=True)
    form.get_by_label("mode").select_option("STANDBY")
    form.get_by_role("button", name="Send SET_MODE").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text(f"Send SET_MODE to {B}?").wait_for()
    dialog.get_by_role("button", name="Send SET_MODE").click()
    newest_sent(page, "SET_MODE").locator("[data-stage=COMPLETED]").wait_for()
    browse(page, fleet, _commanding(A))
    page.locator(".commanding__who", has_text=f"to {A} are signed").wait_for()
    assert page.locator(".sent__telecommand").count() == 0  # those of the other unit
    browse(page, fleet, "units:table")
    _cell(page, B, "mode", "STANDBY")
    _cell(page, A, "mode", "OPERATIONAL")


def test_a_token_given_to_the_open_page_is_for_all_its_units(chromium: Any, fleet: Fleet) -> None:
    context = chromium.new_context(viewport={"width": 1600, "height": 900})
    page = context.new_page()
    browse(page, fleet, _commanding(A))
    page.locator(".is-obstacle", has_text="groundsim dashboard --address").wait_for()
    page.goto(fleet.operators_address)
    for unit in (A, B):
        browse(page, fleet, _commanding(unit))
        page.locator(".commanding__who", has_text=f"to {unit} are signed").wait_for()
    context.close()


def test_one_service_down_shows_only_that(page: Any, fleet: Fleet) -> None:
    browse(page, fleet, "units:table")
    fleet.stop()
    _cell(page, B, "link", "down")
    _cell(page, A, "link", "up")
    page.locator("[data-indicator='flightsw.link']", has_text="Link up 1 of 2").wait_for()
    browse(page, fleet, _commanding(A))
    page.get_by_label("Telecommand", exact=True).select_option("PING")
    page.get_by_role("form", name="PING", exact=True).get_by_role("button").click()
    newest_sent(page, "PING").locator("[data-stage=COMPLETED]").wait_for()
