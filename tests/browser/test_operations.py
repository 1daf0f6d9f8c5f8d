"""Alarms, timeline, log, themes and a phone's layout, in a real browser, from end to end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.rig.bridge_process import BridgeProcess
from deploy.rig.flight_unit import FlightUnit
from tests.browser.steps import (
    COMMANDING,
    Screenshot,
    browse,
    newest_sent,
    open_form,
    photograph,
)
from tests.conftest import Simulated

ALARMS = "faults.taxonomy:faultManagement.view"
TIMELINE = "displays:root/displays:timeline"
LOG = "log:operator"

_PHONE = {
    "viewport": {"width": 390, "height": 844},
    "user_agent": "Mozilla/5.0 (Linux; Android 14; Pixel 8) Chrome/126.0 Mobile Safari/537.36",
    "is_mobile": True,
    "has_touch": True,
}


def _act(page: Any, alarm: Any, action: str) -> None:
    """An entry of the alarm's menu; its dialog is confirmed."""
    alarm.get_by_role("button", name="Disposition Actions").click()
    page.get_by_role("menuitem", name=action, exact=True).click()
    if action != "Unshelve":
        page.get_by_role("dialog").get_by_role("button", name=action).click()


def test_an_alarm_is_shelved_and_acknowledged_and_stays_so_after_a_reload(
    page: Any, bridge: BridgeProcess, unit: FlightUnit, screenshot: Screenshot
) -> None:
    with unit.client() as client:
        client.execute("CANCEL_JOB", {"job": "nobody"}, 20, check=False)
    browse(page, bridge, ALARMS)
    alarm = page.get_by_role("listitem").filter(has_text="TELECOMMAND_REJECTED")
    alarm.filter(has_text="job nobody does not exist").wait_for()
    screenshot("alarms")
    _act(page, alarm, "Shelve")
    alarm.wait_for(state="detached")
    page.reload()
    shown = page.get_by_title("View Filter").locator("select")
    shown.select_option("shelved")
    _act(page, alarm, "Unshelve")
    shown.select_option("standard view")
    _act(page, alarm, "Acknowledge")
    alarm.wait_for(state="detached")
    page.locator("[data-indicator='flightsw.alarms']", has_text="Alarms 0").wait_for()
    page.reload()
    page.locator("[data-indicator='flightsw.alarms']", has_text="Alarms 0").wait_for()
    assert alarm.count() == 0


def test_an_alarm_is_acknowledged_only_with_the_token(
    chromium: Any, bridge: BridgeProcess, unit: FlightUnit
) -> None:
    with unit.client() as client:
        client.execute("CANCEL_JOB", {"job": "nobody"}, 20, check=False)
    page = chromium.new_page()
    browse(page, bridge, ALARMS)
    alarm = page.get_by_role("listitem").filter(has_text="TELECOMMAND_REJECTED")
    _act(page, alarm, "Acknowledge")
    page.get_by_text("This page has no token").first.wait_for()
    assert alarm.count() == 1
    page.close()


def test_the_form_of_process_scene_offers_the_scenes_on_board_and_ticks_its_defaults(
    page: Any, bridge: BridgeProcess, simulated: Simulated, screenshot: Screenshot
) -> None:
    form = open_form(page, bridge, "PROCESS_SCENE")
    offered = form.get_by_label("scene on board")
    offered.select_option(simulated.scene.name)
    assert form.get_by_label("scene", exact=True).input_value() == simulated.scene.name
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


def test_contacts_and_schedule_are_on_the_timeline(
    page: Any, bridge: BridgeProcess, unit: FlightUnit, screenshot: Screenshot
) -> None:
    browse(page, bridge, TIMELINE)
    unit.execute("OPEN_CONTACT", bytes=10**8, seconds=600)
    at = time.time_ns() + 900 * 10**9
    entry = unit.execute("SCHEDULE", at=at, telecommand={"name": "SELF_TEST"}).data["entry"]
    for activity in ("SELF_TEST PLANNED", "Contact, 600 s RUNNING"):
        page.get_by_text(activity).first.wait_for()
    screenshot("timeline")
    unit.execute("UNSCHEDULE", entry=entry)
    page.get_by_text("SELF_TEST REMOVED").first.wait_for()


def test_an_entry_of_the_log_is_found_after_a_reload(page: Any, bridge: BridgeProcess) -> None:
    browse(page, bridge, LOG)
    page.get_by_text("To start a new entry").click()
    page.get_by_label("Notebook Entry Input").last.fill("Scene uploaded, waiting for the contact")
    page.locator(".c-ne__save-button button").click()
    page.get_by_label("Notebook Entry Display").wait_for()
    page.reload()
    page.get_by_text("Scene uploaded, waiting for the contact").first.wait_for()


def test_the_light_theme_is_a_choice_that_stays(
    page: Any, bridge: BridgeProcess, screenshot: Screenshot
) -> None:
    browse(page, bridge, "displays:root/displays:overview")
    switch = page.locator("[data-indicator='flightsw.theme']")
    page.locator("link[data-theme=espresso]").wait_for(state="attached")
    switch.click()
    page.reload()
    page.locator("link[data-theme=snow]").wait_for(state="attached")
    assert page.locator("link[data-theme]").count() == 1
    page.get_by_label("lad row").filter(has_text="OPERATIONAL").wait_for()
    screenshot("snow")
    switch.click()
    page.locator("link[data-theme=espresso]").wait_for(state="attached")


@pytest.fixture
def phone(chromium: Any, bridge: BridgeProcess) -> Iterator[Any]:
    context = chromium.new_context(**_PHONE)
    context.set_default_timeout(20_000)
    page = context.new_page()
    page.goto(bridge.operators_address)
    yield page
    context.close()


def test_a_phone_shows_the_frames_below_each_other_and_commands(
    phone: Any, bridge: BridgeProcess
) -> None:
    phone.get_by_label("lad row").filter(has_text="OPERATIONAL").wait_for()
    phone.locator("[data-indicator='flightsw.link']").wait_for()
    frames = phone.locator(".c-fl-frame").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect()).map(({ left, right }) => [left, right])"
    )
    assert len(frames) >= 5
    assert all(0 <= left < right <= 390 for left, right in frames)
    assert min(right - left for left, right in frames) > 300
    photograph(phone, "phone")
    browse(phone, bridge, COMMANDING)
    phone.get_by_role("form", name="PING", exact=True).get_by_role("button").click()
    newest_sent(phone, "PING").locator("[data-stage=COMPLETED]").wait_for()
