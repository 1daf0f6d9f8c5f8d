"""Alarms, timeline, log, themes and a phone's layout, in a real browser with the real bridge."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from telecommands.auth import SECRET_BYTES, TelecommandKey
from telecommands.dashboard.address import address_of
from telecommands.dashboard.bridge import DashboardSettings, find_openmct
from telecommands.dashboard.unit_settings import UnitSettings
from telecommands.dictionary import Severity, Stage, Verification
from telecommands.ground.connection import GroundKeys
from telecommands.ground.station import Station, StationEndpoints
from tests.browser.steps import (
    COMMANDING,
    Screenshot,
    browse,
    newest_sent,
    open_form,
    photograph,
)
from tests.unit.telecommands.dashboard.running import Client, running, until
from tests.unit.telecommands.flight_stand_in import UNIT, FlightStandIn, event, housekeeping

ALARMS = "faults.taxonomy:faultManagement.view"
TIMELINE = "displays:root/displays:timeline"
LOG = "log:operator"
SCENE = "S2A_MSIL2A_20230506T103031_N0510_R065_T32TQM_20230506T154331.SAFE"

_PHONE = {
    "viewport": {"width": 390, "height": 844},
    "user_agent": "Mozilla/5.0 (Linux; Android 14; Pixel 8) Chrome/126.0 Mobile Safari/537.36",
    "is_mobile": True,
    "has_touch": True,
}


@dataclass(frozen=True)
class Mission:
    """A bridge, and a stand-in for the flight service that it is connected to."""

    flight: FlightStandIn
    client: Client

    @property
    def address(self) -> str:
        return self.client.base

    def happen(self, name: str, severity: Severity, message: str, **fields: object) -> None:
        """An event on board."""
        occurred = event(name, severity=severity, message=message)
        self.flight.telemetry.publish("evt", msgspec.structs.replace(occurred, fields=fields))


@pytest.fixture(scope="module")
def mission(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mission]:
    key = TelecommandKey("operator", bytes(SECRET_BYTES))
    folder = tmp_path_factory.mktemp("mission")
    with FlightStandIn(key) as flight:
        endpoints = StationEndpoints(**json.loads(flight.endpoints(folder).read_text()))
        station = Station(
            endpoints, GroundKeys(telecommand=key, unit=UNIT), folder / "operator.sequence"
        )
        settings = DashboardSettings(log=folder / "log.sqlite", openmct=find_openmct(None), port=0)
        only = UnitSettings(
            archive=folder / "archive.sqlite", station=lambda: station, operator=key
        )
        with running(settings, only) as client:
            yield Mission(flight, client)


def _opened(chromium: Any, mission: Mission, **options: Any) -> Any:
    context = chromium.new_context(**options)
    context.set_default_timeout(20_000)
    page = context.new_page()
    page.goto(address_of(mission.client.port, mission.client.token))
    return page


@pytest.fixture(scope="module")
def page(chromium: Any, mission: Mission) -> Iterator[Any]:
    page = _opened(chromium, mission, viewport={"width": 1600, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.context.close()
    assert errors == []


@pytest.fixture
def phone(chromium: Any, mission: Mission) -> Iterator[Any]:
    page = _opened(chromium, mission, **_PHONE)
    yield page
    page.context.close()


def _reject(mission: Mission) -> None:
    mission.happen("TELECOMMAND_REJECTED", Severity.WARNING_LOW, "job nobody does not exist")


def _act(page: Any, alarm: Any, action: str) -> None:
    """An entry of the alarm's menu; its dialog is confirmed."""
    alarm.get_by_role("button", name="Disposition Actions").click()
    page.get_by_role("menuitem", name=action, exact=True).click()
    if action != "Unshelve":
        page.get_by_role("dialog").get_by_label("Save").click()


def test_an_alarm_is_shelved_and_acknowledged_and_stays_so_after_a_reload(
    page: Any, mission: Mission, screenshot: Screenshot
) -> None:
    _reject(mission)
    mission.flight.telemetry.publish("hk", housekeeping(card_temperature_c=86.0))
    browse(page, mission, ALARMS)
    alarm = page.get_by_role("listitem").filter(has_text="TELECOMMAND_REJECTED")
    alarm.filter(has_text="job nobody does not exist").wait_for()
    hot = page.get_by_role("listitem").filter(has_text="Card temperature, °C")
    hot.get_by_label("Live Value").filter(has_text="86").wait_for()
    screenshot("alarms")
    _act(page, alarm, "Shelve")
    alarm.wait_for(state="detached")
    page.reload()
    hot.wait_for()
    assert alarm.count() == 0
    shown = page.get_by_title("View Filter").locator("select")
    shown.select_option("shelved")
    _act(page, alarm, "Unshelve")
    shown.select_option("standard view")
    _act(page, alarm, "Acknowledge")
    alarm.wait_for(state="detached")
    page.reload()
    page.locator("[data-indicator='flightsw.alarms']", has_text="Alarms 1").wait_for()
    hot.wait_for()
    assert alarm.count() == 0


def test_an_alarm_is_acknowledged_only_with_the_token(chromium: Any, mission: Mission) -> None:
    _reject(mission)
    page = chromium.new_page()
    browse(page, mission, ALARMS)
    alarm = page.get_by_role("listitem").filter(has_text="TELECOMMAND_REJECTED")
    _act(page, alarm, "Acknowledge")
    page.get_by_text("This page has no token").first.wait_for()
    assert alarm.count() == 1
    page.close()


def test_the_form_of_process_scene_offers_the_scenes_on_board_and_ticks_its_defaults(
    page: Any, mission: Mission, screenshot: Screenshot
) -> None:
    record = {"scene": SCENE, "size": 816_000_000, "modified_at": time.time_ns()}
    mission.flight.results["LIST_SCENES"] = {"scenes": [record], "total": 1, "remark": ""}
    form = open_form(page, mission, "PROCESS_SCENE")
    offered = form.get_by_label("scene on board")
    offered.get_by_text(f"{SCENE} (816 MB)").wait_for(state="attached")
    offered.select_option(SCENE)
    assert form.get_by_label("scene", exact=True).input_value() == SCENE
    newest_sent(page, "LIST_SCENES").locator("[data-stage=COMPLETED]").wait_for()
    ticked = form.locator("[data-argument=products] input:checked")
    assert ticked.evaluate_all("all => all.map(one => one.value)") == ["geotiff", "report"]
    assert form.get_by_label("engine").input_value() == "auto"
    screenshot("process-scene")
    for box in ("geotiff", "report"):
        form.get_by_label(box, exact=True).uncheck()
    form.get_by_role("button", name="Send PROCESS_SCENE").click()
    form.locator(".telecommand__cause", has_text="tick at least 1").wait_for()
    assert page.locator(".sent__telecommand[data-name=PROCESS_SCENE]").count() == 0
    remark = "the scene root /scenes holds no scene; upload one"
    mission.flight.results["LIST_SCENES"] = {"scenes": [], "total": 0, "remark": remark}
    form.get_by_role("button", name="List again").click()
    form.get_by_text(remark).wait_for()
    assert offered.is_hidden()


def test_contacts_schedule_and_jobs_are_on_the_timeline(
    page: Any, mission: Mission, screenshot: Screenshot
) -> None:
    browse(page, mission, TIMELINE)
    mission.happen("CONTACT_OPENED", Severity.ACTIVITY, "open", seconds=1800.0, bytes=10**8)
    mission.happen("JOB_STARTED", Severity.ACTIVITY, "started", job="job-1", scene=SCENE)
    mission.happen("JOB_COMPLETED", Severity.ACTIVITY, "completed", job="job-1")
    mission.flight.telemetry.publish("hk", housekeeping(scheduled=1, card_temperature_c=86.0))
    until(lambda: any(one.name == "LIST_SCHEDULE" for one in mission.flight.ran))
    asked = next(one for one in mission.flight.ran if one.name == "LIST_SCHEDULE")
    entry = {"entry": "e-1", "at": time.time_ns() + 900 * 10**9, "if_missed": "report",
             "telecommand": {"name": "SELF_TEST"}}  # fmt: skip
    mission.flight.telemetry.publish(
        "ver",
        Verification(id=asked.id, name=asked.name, stage=Stage.COMPLETED, at=time.time_ns(),
                     data={"entries": [entry]}),
    )  # fmt: skip
    for activity in ("SELF_TEST PLANNED", "Contact, 1800 s RUNNING", "COMPLETED"):
        page.get_by_text(activity).first.wait_for()
    screenshot("timeline")


def test_a_limit_that_a_parameter_changes_colours_the_value(page: Any, mission: Mission) -> None:
    browse(page, mission, "displays:root/displays:overview")
    value = page.get_by_label("lad row").filter(has_text="Card temperature").locator("td")
    mission.flight.telemetry.publish("hk", housekeeping(card_temperature_c=51.0))
    value.filter(has_text="51").and_(page.locator(":not(.is-limit--yellow)")).wait_for()
    for limit, colour in ((50.0, ".is-limit--yellow"), (80.0, ":not(.is-limit--yellow)")):
        text = f"fdir.warm_c is {limit}"
        changed = event("PARAMETER_CHANGED", message=text)
        fields = {"name": "fdir.warm_c", "value": limit}
        mission.flight.telemetry.publish("evt", msgspec.structs.replace(changed, fields=fields))
        page.get_by_role("cell", name=text).first.wait_for()
        mission.flight.telemetry.publish("hk", housekeeping(card_temperature_c=51.0))
        value.filter(has_text="51").and_(page.locator(colour)).wait_for()


def test_two_browsers_see_one_log_and_neither_loses_an_entry(
    chromium: Any, page: Any, mission: Mission
) -> None:
    other = _opened(chromium, mission, viewport={"width": 1600, "height": 900})
    for browser in (page, other):
        browse(browser, mission, LOG)
        browser.get_by_text("To start a new entry").wait_for()
    _enter(page, "Scene uploaded, waiting for the contact")
    other.get_by_text("Scene uploaded, waiting for the contact").first.wait_for()
    # It does not learn of the next entry before it writes its own: the bridge answers CONFLICT.
    other.route("**/api/log/*", lambda route: route.abort())
    with other.expect_request("**/api/log/*"):
        _enter(page, "Contact open")
    other.unroute("**/api/log/*")
    _enter(other, "Night shift begins")
    for browser in (page, other):
        for text in ("Scene uploaded, waiting", "Contact open", "Night shift begins"):
            browser.get_by_text(text).first.wait_for()
    other.context.close()


def _enter(page: Any, text: str) -> None:
    count = page.get_by_label("Notebook Entry Display").count()
    page.get_by_text("To start a new entry").click()
    page.get_by_label("Notebook Entry Input").last.fill(text)
    page.locator(".c-ne__save-button button").click()
    page.get_by_label("Notebook Entry Display").nth(count).wait_for()


def test_the_light_theme_is_a_choice_that_stays(
    page: Any, mission: Mission, screenshot: Screenshot
) -> None:
    browse(page, mission, "displays:root/displays:overview")
    switch = page.locator("[data-indicator='flightsw.theme']")
    page.locator("link[data-theme=espresso]").wait_for(state="attached")
    switch.click()
    page.reload()
    page.locator("link[data-theme=snow]").wait_for(state="attached")
    mission.flight.telemetry.publish("hk", housekeeping())
    assert page.locator("link[data-theme]").count() == 1
    page.get_by_label("lad row").filter(has_text="OPERATIONAL").wait_for()
    screenshot("snow")
    switch.click()
    page.locator("link[data-theme=espresso]").wait_for(state="attached")


def test_a_phone_shows_the_frames_below_each_other_and_commands(
    phone: Any, mission: Mission
) -> None:
    mission.flight.telemetry.publish("hk", housekeeping())
    phone.get_by_label("lad row").filter(has_text="OPERATIONAL").wait_for()
    phone.locator("[data-indicator='flightsw.link']").wait_for()
    frames = phone.locator(".c-fl-frame").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect()).map(({ left, right }) => [left, right])"
    )
    assert len(frames) >= 5
    assert all(0 <= left < right <= 390 for left, right in frames)
    assert min(right - left for left, right in frames) > 300
    photograph(phone, "phone")
    browse(phone, mission, COMMANDING)
    phone.get_by_role("form", name="PING", exact=True).get_by_role("button").click()
    newest_sent(phone, "PING").locator("[data-stage=COMPLETED]").wait_for()
