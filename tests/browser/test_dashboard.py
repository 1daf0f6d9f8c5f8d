"""What an operator sees and does in the dashboard, in a real browser, from end to end."""

from __future__ import annotations

import json
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.rig.bridge_process import BridgeProcess
from deploy.rig.flight_unit import FlightUnit, wait_until
from telecommands.auth import SECRET_BYTES, TelecommandKey
from telecommands.dashboard.address import PageToken, signature_of
from telecommands.dashboard.bridge import DashboardSettings, find_openmct
from telecommands.dashboard.unit_settings import UnitSettings
from telecommands.dictionary import TELECOMMANDS, Code, Stage
from telecommands.ground.connection import GroundKeys
from telecommands.ground.station import Station, StationEndpoints
from tests.browser.steps import (
    COMMANDING,
    Screenshot,
    browse,
    indicator,
    newest_sent,
    open_form,
)
from tests.conftest import Simulated
from tests.unit.telecommands.dashboard.running import running
from tests.unit.telecommands.flight_stand_in import UNIT, FlightStandIn, housekeeping

UPTIME = "flightsw:payload/flightsw:folder.hk/flightsw:hk.uptime_s"
# The values at the two ends of a plot's vertical axis, from two of its ticks and their places.
_AXIS = """() => {
    const ticks = [...document.querySelectorAll('.gl-plot-y .gl-plot-tick')]
        .map((tick) => [tick.getBoundingClientRect(), Number(tick.textContent)])
        .map(([box, value]) => [box.top + box.height / 2, value])
        .sort(([a], [b]) => a - b);
    if (ticks.length < 2) return null;
    const [[y0, high], [y1, low]] = [ticks[0], ticks[ticks.length - 1]];
    const { top, bottom } = document.querySelector('.gl-plot-display-area').getBoundingClientRect();
    const at = (y) => high + ((y - y0) * (low - high)) / (y1 - y0);
    return { top: at(top), bottom: at(bottom) };
}"""

INVENTED = "hk.card_temperature_c"
"""Key of the value that a test invents; the real value is suppressed."""


def wait_until_plot_rises(page: Any) -> None:
    """Uptime only grows: its plot's axis follows when data are received."""
    page.wait_for_function(f"() => ({_AXIS})() !== null")
    before = page.evaluate(_AXIS)["top"]
    page.wait_for_function(f"(before) => ({_AXIS})()?.top > before + 0.5", arg=before)


def test_a_first_visitor_finds_the_ready_made_overview(
    page: Any, screenshot: Screenshot, bridge: BridgeProcess
) -> None:
    page.get_by_label("lad row").filter(has_text="Mode").filter(has_text="OPERATIONAL").wait_for()
    indicator(page, "Link up")
    dropped = page.get_by_label("lad row").filter(has_text="Packets dropped")
    dropped.locator("td", has_text=re.compile("^0$")).wait_for()  # and not that nothing is known
    for display in ("Scene", "Health", "Downlink"):
        browse(page, bridge, f"displays:root/displays:{display.lower()}")
        page.locator(".l-browse-bar__object-name", has_text=display).wait_for()
        page.locator(".c-fl-frame").first.wait_for()
        # Until then Open MCT may write this display's address over that of the next one.
        page.wait_for_function("() => location.hash.includes('view=')")


def test_the_page_says_that_it_loads_until_it_is_there(
    chromium: Any, bridge: BridgeProcess
) -> None:
    page = chromium.new_page()
    held: list[Any] = []
    page.route("**/openmct.js", lambda route: held.append(route))  # noqa: PLW0108
    page.goto(bridge.address, wait_until="commit")
    message = page.locator(".boot-message", has_text="loading")
    message.wait_for()
    held[0].continue_()
    message.wait_for(state="detached")
    page.get_by_role("tree", name="Main Tree").wait_for()
    page.close()


def test_the_object_tree_holds_what_the_dictionary_declares(
    page: Any, bridge: BridgeProcess
) -> None:
    dictionary = bridge.ask("/api/dictionary")
    mission = bridge.ask("/api/status")["mission"]
    tree = page.get_by_role("tree", name="Main Tree")
    tree.get_by_role("treeitem", name=mission).locator(".c-disclosure-triangle").click()
    for folder in dictionary["folders"]:
        tree.get_by_role("treeitem", name=folder["name"], exact=False).first.wait_for()
    thermal = next(one for one in dictionary["folders"] if one["key"] == "thermal")
    shelf = tree.get_by_role("treeitem", name=thermal["name"], exact=False).first
    shelf.locator(".c-disclosure-triangle").first.click()
    for point in thermal["points"]:
        tree.get_by_role("treeitem", name=point["name"]).first.wait_for()


def test_new_names_appear_in_open_folders_without_a_reload(chromium: Any, tmp_path: Path) -> None:
    key = TelecommandKey("operator", bytes(SECRET_BYTES))
    with FlightStandIn(key) as flight:
        endpoints = StationEndpoints(**json.loads(flight.endpoints(tmp_path).read_text()))
        keys = GroundKeys(telecommand=key, unit=UNIT)
        station = Station(endpoints, keys, tmp_path / "operator.sequence")
        settings = DashboardSettings(
            log=tmp_path / "log.sqlite", openmct=find_openmct(None), port=0
        )
        only = UnitSettings(archive=tmp_path / "archive.sqlite", station=lambda: station)
        with running(settings, only) as client:
            page = chromium.new_page()
            page.goto(f"{client.base}/#/browse/flightsw:payload/flightsw:folder.hk")
            shelf = page.locator(".c-grid-item__name")
            shelf.get_by_text("Mode", exact=True).wait_for()
            tree = page.get_by_role("tree", name="Main Tree")
            tree.get_by_role("treeitem", name="flightsw").locator(".c-disclosure-triangle").click()
            folder = tree.get_by_role("treeitem", name="Housekeeping")
            folder.locator(".c-disclosure-triangle").click()
            tree.get_by_role("treeitem", name="Mode").first.wait_for()
            assert shelf.get_by_text("newcomer").count() == 0
            flight.telemetry.publish("hk", housekeeping(heartbeats={"newcomer": 0.1}))
            shelf.get_by_text("newcomer").wait_for()
            tree.get_by_role("treeitem", name="newcomer").wait_for()
            page.close()


def test_a_plot_moves_with_the_telemetry(page: Any, bridge: BridgeProcess) -> None:
    browse(page, bridge, UPTIME)
    wait_until_plot_rises(page)


def test_plots_move_once_a_second(page: Any) -> None:
    clock = "openmct.time.getAllClocks().find((clock) => clock.key === 'local')"
    assert page.evaluate(f"{clock}.period") == 1000


def test_a_reload_finds_the_history(page: Any, bridge: BridgeProcess) -> None:
    browse(page, bridge, UPTIME)
    oldest = bridge.ask("/api/history/hk.uptime_s")[0]["value"]
    page.reload()
    page.wait_for_function(f"(oldest) => ({_AXIS})()?.bottom <= oldest", arg=oldest)


_COLLECT = """async () => {
    const { objects, telemetry } = window.openmct;
    const point = await objects.get({ namespace: 'flightsw', key: 'hk.uptime_s' });
    const take = (name) => (data) => {
        window[name] = [...(window[name] ?? []), ...data.map(({ seq }) => seq)];
    };
    telemetry.subscribe(point, take('live'), { strategy: 'batch' });
    telemetry.request(point, { start: 0, end: Date.now() + 60_000 }).then(take('archived'));
}"""


def test_nothing_is_missing_between_history_and_realtime(
    chromium: Any, bridge: BridgeProcess
) -> None:
    def newest() -> int:
        seq: int = bridge.ask("/api/history/hk.uptime_s?strategy=latest")[0]["seq"]
        return seq

    page = chromium.new_page()
    held: list[Callable[[], None]] = []
    is_held = True

    def connect(socket: Any) -> None:
        server = socket.connect_to_server()
        socket.on_message(
            lambda text: held.append(lambda: server.send(text)) if is_held else server.send(text)
        )

    page.route_web_socket(re.compile("/api/realtime$"), connect)
    page.goto(f"{bridge.address}/#/browse/{COMMANDING}")
    page.get_by_label("Telecommand", exact=True).wait_for()
    page.evaluate(_COLLECT)
    before = newest()
    wait_until(lambda: newest() >= before + 3)  # its subscription is on its way meanwhile
    is_held = False
    for send in held:
        send()
    page.wait_for_function("() => window.archived && window.live")
    archived, live = page.evaluate("() => [window.archived, window.live]")
    assert live[0] <= archived[-1] + 1
    page.close()


def test_the_page_reconnects_after_the_bridge_is_killed(page: Any, bridge: BridgeProcess) -> None:
    browse(page, bridge, UPTIME)
    wait_until_plot_rises(page)
    bridge.kill()
    indicator(page, "Bridge down")
    bridge.start()
    indicator(page, "Link up")
    wait_until_plot_rises(page)


def test_what_was_missed_meanwhile_is_kept_as_a_gap(bridge: BridgeProcess) -> None:
    def gaps() -> list[int]:
        return [one["gap"] for one in bridge.ask("/api/history/hk.uptime_s") if one.get("gap")]

    wait_until(lambda: bool(gaps()), 20)
    assert all(gap > 0 for gap in gaps())


@pytest.fixture(scope="module")
def link(chromium: Any, bridge: BridgeProcess) -> Iterator[tuple[Any, Callable[..., None]]]:
    """A separate page, and a function that injects messages into its WebSocket."""
    page = chromium.new_page(viewport={"width": 1600, "height": 900})
    sockets: list[Any] = []

    def connect(socket: Any) -> None:
        sockets.append(socket)
        server = socket.connect_to_server()
        server.on_message(lambda text: socket.send(_without_invented(text)))

    page.route_web_socket(re.compile("/api/realtime$"), connect)
    page.goto(bridge.address)
    indicator(page, "Link up")
    yield page, lambda **message: sockets[-1].send(json.dumps([message]))
    page.close()


def _without_invented(text: str) -> str:
    return json.dumps([message for message in json.loads(text) if message.get("key") != INVENTED])


def test_dropped_telemetry_is_said_aloud(link: tuple[Any, Callable[..., None]]) -> None:
    page, receive = link
    receive(dropped={"topic": "hk", "count": 7, "timestamp": 0})
    page.get_by_text("Telemetry dropped on the link: 7 of hk").first.wait_for()
    page.locator("[data-indicator='flightsw.losses']", has_text="Dropped 7").wait_for()
    receive(lagged=3)
    page.get_by_text("too slow for 3 realtime values").first.wait_for()
    receive(link={"state": "down", "since": 0, "last_packet": 0, "cause": "nobody answers"})
    indicator(page, "Link down")


def test_values_that_are_not_renewed_are_shown_as_stale(
    chromium: Any, bridge: BridgeProcess
) -> None:
    page = chromium.new_page(viewport={"width": 1600, "height": 900})
    page.clock.install()
    page.goto(bridge.address)
    mode = (
        page.get_by_label("lad row").filter(has_text="Mode").locator("td", has_text="OPERATIONAL")
    )
    mode.wait_for()
    assert page.locator("td.is-stale").count() == 0
    page.clock.fast_forward("01:00")  # all that comes now is a minute old
    page.get_by_label("lad row").filter(has_text="Mode").locator(".is-stale").first.wait_for()
    page.close()


@pytest.mark.parametrize(
    ("temperature", "colour"), [(84.0, "is-limit--yellow"), (86.0, "is-limit--red")]
)
def test_values_beyond_their_limits_are_coloured(
    link: tuple[Any, Callable[..., None]], temperature: float, colour: str
) -> None:
    page, receive = link
    row = page.get_by_label("lad row").filter(has_text="Card temperature")
    coloured = row.locator(f".{colour}", has_text=str(int(temperature)))
    deadline = time.monotonic() + 20
    while not coloured.count():  # the page may not have subscribed yet
        assert time.monotonic() < deadline
        datum = {"timestamp": 1000 * time.time(), "value": temperature, "seq": 1, "boot": 1}
        receive(key=INVENTED, datum=datum)
        page.wait_for_timeout(50)


@pytest.fixture
def visitor(chromium: Any, bridge: BridgeProcess) -> Iterator[Any]:
    """The page in a browser that was given no token."""
    context = chromium.new_context(viewport={"width": 1600, "height": 900})
    context.set_default_timeout(20_000)
    page = context.new_page()
    browse(page, bridge, COMMANDING)
    yield page
    context.close()


# What a program could read that serves a page of its own at the same port.
_HELD = """async () => {
    const opened = indexedDB.open('flightsw', 1);
    await new Promise((resolve) => (opened.onsuccess = resolve));
    const stored = opened.result.transaction('token').objectStore('token').get('operator');
    await new Promise((resolve) => (stored.onsuccess = resolve));
    opened.result.close();
    const readable = JSON.stringify({ ...localStorage, ...sessionStorage }) + document.cookie;
    const { key = null, expires = null } = stored.result ?? {};
    const exported = key && (await crypto.subtle.exportKey('raw', key).catch(() => null));
    return { readable, exported, signs: key?.usages ?? null, expires };
}"""


def _held(page: Any) -> Any:
    return page.evaluate(_HELD)


def test_a_page_without_the_token_is_read_only_and_says_how_to_command(
    visitor: Any,
) -> None:
    visitor.locator(".is-obstacle", has_text="groundsim dashboard --address").wait_for()
    assert visitor.get_by_role("button", name="Send PING").is_disabled()
    assert _held(visitor)["signs"] is None


def test_the_operators_address_gives_the_right_and_shows_the_token_no_longer(
    visitor: Any, bridge: BridgeProcess
) -> None:
    visitor.locator(".is-obstacle").wait_for()
    browsed = visitor.url
    beside = visitor.context.new_page()  # another tab of the same browser
    browse(beside, bridge, COMMANDING)
    beside.locator(".is-obstacle").wait_for()
    visitor.goto(bridge.operators_address)  # into the bar of the page that is open
    form = visitor.get_by_role("form", name="PING", exact=True)
    form.get_by_role("button").click()
    newest_sent(visitor, "PING").locator("[data-stage=COMPLETED]").wait_for()
    assert visitor.locator(".is-obstacle").count() == 0
    token = bridge.operators_address.partition("#token=")[2]
    expires, secret = token.split(".")
    held = _held(visitor)
    assert (held["signs"], held["exported"], held["expires"]) == (["sign"], None, int(expires))
    assert secret not in held["readable"]
    assert COMMANDING in browsed
    assert COMMANDING in visitor.url
    beside.get_by_text("Telecommands are signed as operator").wait_for()
    visitor.go_back()
    assert token not in visitor.url

    visitor.goto("about:blank")
    visitor.goto(bridge.operators_address)
    visitor.wait_for_function("() => location.hash.includes('?tc.')")
    assert token not in visitor.url
    browse(visitor, bridge, COMMANDING)
    visitor.reload()
    visitor.get_by_text("Telecommands are signed as operator").wait_for()
    visitor.get_by_role("form", name="PING", exact=True).get_by_role("button").click()
    newest_sent(visitor, "PING").locator("[data-stage=COMPLETED]").wait_for()


def test_a_token_that_the_bridge_does_not_take_is_forgotten(
    visitor: Any, bridge: BridgeProcess
) -> None:
    visitor.locator(".is-obstacle").wait_for()
    visitor.goto(bridge.operators_address[:-1])
    visitor.get_by_text("which was removed: see Commanding").first.wait_for()
    visitor.locator(".is-obstacle", has_text="does not belong to this bridge").wait_for()
    assert visitor.get_by_role("button", name="Send PING").is_disabled()
    assert _held(visitor)["signs"] is None


def test_a_token_is_taken_though_open_mct_replaces_the_address_immediately(
    visitor: Any, bridge: BridgeProcess
) -> None:
    visitor.locator(".is-obstacle", has_text="groundsim dashboard --address").wait_for()
    token = bridge.operators_address.partition("#")[2]
    visitor.evaluate(
        "(token) => { const own = location.hash; location.hash = token; location.hash = own; }",
        token,
    )
    visitor.get_by_text("Telecommands are signed as operator").wait_for()
    assert COMMANDING in visitor.url


def test_a_telecommand_goes_from_the_form_to_completed(
    page: Any, bridge: BridgeProcess, screenshot: Screenshot
) -> None:
    form = open_form(page, bridge, "SET_HOUSEKEEPING_RATE")
    form.get_by_label("period_s").fill("0.25")
    form.get_by_role("button").click()
    sent = newest_sent(page, "SET_HOUSEKEEPING_RATE")
    sent.locator("[data-stage=COMPLETED]").wait_for()
    stages = sent.locator(".sent__stage").evaluate_all("all => all.map(one => one.dataset.stage)")
    assert stages == ["ACCEPTED", "STARTED", "COMPLETED"]


def test_the_history_shows_telecommand_arguments_sender_and_time(
    page: Any, bridge: BridgeProcess
) -> None:
    browse(page, bridge, "flightsw:payload/flightsw:folder.commanding/flightsw:ver")
    row = page.locator("tr", has_text='{"period_s":0.25}').filter(has_text="COMPLETED").first
    time = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d.*Z")
    for shown in ("SET_HOUSEKEEPING_RATE", "operator", time):
        row.get_by_role("cell").filter(has_text=shown).first.wait_for()


def test_every_telecommand_has_a_form_with_a_field_for_each_argument(
    page: Any, bridge: BridgeProcess
) -> None:
    for name, telecommand in TELECOMMANDS.items():
        form = open_form(page, bridge, name)
        fields = form.locator("[data-argument]")
        shown = fields.evaluate_all("all => all.map(one => one.dataset.argument)")
        assert shown == list(telecommand.__struct_encode_fields__), name


def test_the_form_refuses_what_is_out_of_range_and_says_why(
    page: Any, bridge: BridgeProcess
) -> None:
    form = open_form(page, bridge, "SET_HOUSEKEEPING_RATE")
    before = page.locator(".sent__telecommand").count()
    posted: list[str] = []
    page.on("request", lambda request: posted.append(request.method))
    for entered, cause in (("0.01", "below 0.1 s"), ("soon", "not a number"), ("", "required")):
        form.get_by_label("period_s").fill(entered)
        form.get_by_role("button").click()
        form.locator(".telecommand__cause", has_text=cause).wait_for()
    assert "POST" not in posted
    assert page.locator(".sent__telecommand").count() == before


def test_the_bridge_refuses_it_too_when_it_is_posted_by_hand(bridge: BridgeProcess) -> None:
    expires, secret = bridge.operators_address.partition("#token=")[2].split(".")
    run = bridge.ask("/api/status")["run"]
    body = json.dumps({"name": "SET_HOUSEKEEPING_RATE", "args": {"period_s": 0.01}}).encode()
    token = PageToken(int(expires), secret)
    signature = signature_of(token, run, "POST", "/api/telecommands", body)
    headers = {
        "Content-Type": "application/json",
        "Origin": bridge.address,
        "X-Flightsw-Token": f"{expires}.{signature}",
    }
    request = urllib.request.Request(f"{bridge.address}/api/telecommands", body, headers)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    with refused.value as answer:
        assert 400 <= answer.code < 500
        assert "0.1" in json.load(answer)["error"]["cause"]


def test_the_daemon_refuses_it_too_and_the_page_shows_its_reason(
    page: Any, bridge: BridgeProcess, unit: FlightUnit, screenshot: Screenshot
) -> None:
    with unit.client() as client:
        past_the_bridge = client.execute(
            "SET_HOUSEKEEPING_RATE", {"period_s": 0.01}, 20, check=False
        )
    assert (past_the_bridge.stage, past_the_bridge.code) == (Stage.REJECTED, Code.BAD_ARGUMENTS)
    form = open_form(page, bridge, "SET_PARAMETER")
    form.get_by_label("name").fill("housekeeping.period_s")
    form.get_by_label("value").fill("0.01")
    form.get_by_role("button").click()
    sent = newest_sent(page, "SET_PARAMETER")
    sent.locator("[data-stage=REJECTED]", has_text="BAD_ARGUMENTS").wait_for()
    screenshot("commanding")


def test_a_hazardous_telecommand_is_sent_only_after_a_confirmation(
    page: Any, bridge: BridgeProcess
) -> None:
    form = open_form(page, bridge, "SET_MODE")
    form.get_by_label("mode").select_option("OPERATIONAL")
    form.get_by_role("button").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Cancel").click()
    dialog.wait_for(state="detached")
    assert page.locator(".sent__telecommand[data-name=SET_MODE]").count() == 0
    form.get_by_role("button").click()
    dialog.get_by_role("button", name="Send SET_MODE").click()
    newest_sent(page, "SET_MODE").locator("[data-stage=COMPLETED]").wait_for()


@pytest.fixture(scope="module")
def job(bridge: BridgeProcess, unit: FlightUnit, simulated: Simulated) -> str:
    """A scene that was processed and whose pictures were downlinked."""
    products = ["geotiff", "quicklook", "report"]
    unit.execute("OPEN_CONTACT", bytes=10**8, seconds=600)
    done = unit.execute("PROCESS_SCENE", scene=simulated.scene.name, products=products)
    job: str = done.data["job"]

    def received() -> set[str]:
        return {one["kind"] for one in bridge.ask("/api/products") if one["job"] == job}

    wait_until(lambda: received() >= set(products), 30)
    return job


@pytest.mark.parametrize(("shelf", "kind"), [("quicklooks", "quicklook"), ("masks", "geotiff")])
def test_received_pictures_are_imagery_and_the_newest_is_shown(
    page: Any, bridge: BridgeProcess, job: str, shelf: str, kind: str
) -> None:
    newest = next(one for one in bridge.ask("/api/products") if one["kind"] == kind)
    assert newest["job"] == job
    browse(page, bridge, f"flightsw:products/flightsw:{shelf}")
    image = page.locator(f".c-imagery__main-image__image[src$='{newest['image']}']")
    image.wait_for(state="attached")
    page.wait_for_function("(image) => image.naturalWidth > 0", arg=image.element_handle())


def test_the_scene_page_shows_the_tile_map_of_cloud_fractions(
    page: Any, bridge: BridgeProcess, job: str, screenshot: Screenshot
) -> None:
    browse(page, bridge, "displays:root/displays:scene")
    grid = page.locator(f".tile-map__grid[data-job='{job}']")
    grid.wait_for()
    assert grid.locator(".tile-map__cell").count() == 9
    screenshot("scene")
    browse(page, bridge, "displays:root/displays:health")
    page.locator(".c-fl-frame canvas").first.wait_for()
    screenshot("health")
    browse(page, bridge, "displays:root/displays:overview")
    page.locator(f".tile-map__grid[data-job='{job}']").wait_for()
    page.get_by_role("cell", name="JOB_COMPLETED").first.wait_for()
    screenshot("overview")


def test_what_the_operator_changed_in_a_display_stays(page: Any, bridge: BridgeProcess) -> None:
    page.evaluate(
        """() => {
            const displays = JSON.parse(localStorage.getItem('flightsw.displays'));
            displays.overview.name = 'My overview';
            localStorage.setItem('flightsw.displays', JSON.stringify(displays));
        }"""
    )
    browse(page, bridge, "displays:root/displays:overview")
    page.reload()
    page.locator(".l-browse-bar__object-name", has_text="My overview").wait_for()


def test_without_a_telecommand_key_commanding_is_off_and_says_why(
    chromium: Any, unit: FlightUnit, tmp_path: Path
) -> None:
    keys = tmp_path / "watch-only"
    shutil.copytree(unit.ground, keys)
    (keys / "operator.telecommand_key").unlink()
    bridge = BridgeProcess(unit, tmp_path, keys=keys)
    bridge.start()
    page = chromium.new_page()
    try:
        browse(page, bridge, COMMANDING)
        page.locator(".is-obstacle", has_text="The bridge has no telecommand key").wait_for()
        assert page.get_by_role("button", name="Send PING").is_disabled()
    finally:
        page.close()
        bridge.stop()
