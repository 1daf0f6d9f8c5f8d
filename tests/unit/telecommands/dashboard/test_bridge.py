"""The bridge's edges: real server, real sockets, a stand-in for the service."""

from __future__ import annotations

import json
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import zmq
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from telecommands.auth import SECRET_BYTES, TelecommandKey
from telecommands.codec import encode_packet
from telecommands.dashboard.address import signature_of, token_of
from telecommands.dashboard.archive.reader import ArchiveReader
from telecommands.dashboard.bridge import Dashboard, DashboardSettings, find_openmct
from telecommands.dashboard.unit_settings import UnitSettings
from telecommands.dashboard.web import realtime
from telecommands.dashboard.web.access import TOKEN_HEADER
from telecommands.dashboard.web.clients import MOST_OF_ONE
from telecommands.dictionary import CloudFraction, Stage, TelecommandBody, Verification
from telecommands.ground.connection import read_ground_keys
from telecommands.ground.errors import UsageError
from telecommands.ground.station import Station, StationEndpoints
from telecommands.keys import TELECOMMAND_SUFFIX, publish_key_file
from tests.unit.telecommands.dashboard.running import Client, page_and_library, running, until
from tests.unit.telecommands.flight_stand_in import UNIT, FlightStandIn, event, housekeeping

KEY = TelecommandKey("operator", bytes(range(SECRET_BYTES)))


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o700)
    publish_key_file(folder / f"operator{TELECOMMAND_SUFFIX}", KEY.secret.hex().encode())
    return folder


@pytest.fixture
def flight() -> Iterator[FlightStandIn]:
    with FlightStandIn(KEY) as service:
        yield service


def _settings(folder: Path, **fields: Any) -> DashboardSettings:
    values: dict[str, Any] = {
        "port": 0,
        "log": folder / "log.sqlite",
        "received": folder / "received",
        **page_and_library(folder),
    }
    return DashboardSettings(**{**values, **fields})


def _unit(
    folder: Path, station: Callable[[], Station], operator: TelecommandKey | None = KEY
) -> UnitSettings:
    return UnitSettings(archive=folder / "archive.sqlite", station=station, operator=operator)


def _station(flight: FlightStandIn, keys: Path, folder: Path) -> Station:
    links = json.loads(flight.endpoints(folder).read_text())
    return Station(
        StationEndpoints(**links),
        msgspec.structs.replace(read_ground_keys(keys, "operator", curve=False), unit=UNIT),
        keys / "operator.sequence",
    )


def _sent(flight: FlightStandIn) -> list[TelecommandBody]:
    """What pages sent: the bridge itself asks for the parameters."""
    return [one for one in flight.ran if one.name != "GET_PARAMETER"]


@pytest.fixture
def client(flight: FlightStandIn, keys: Path, tmp_path: Path) -> Iterator[Client]:
    station = _station(flight, keys, tmp_path)
    with running(_settings(tmp_path, fetch=True), _unit(tmp_path, lambda: station)) as client:
        until(lambda: client.get("/api/status")["archive"]["packets"])
        yield client


def test_page_library_status_and_dictionary_are_served(client: Client) -> None:
    assert client.ask("/").body == b"this is index.html"
    assert client.ask("/app/index.html").body == b"this is index.html"
    assert client.ask("/openmct/openmct.js").body == b"this is openmct.js"
    status = client.get("/api/status")
    assert status["link"]["state"] == "up"
    assert (status["can_command"], status["operator"]) == (True, "operator")
    assert status["archive"]["first"] == status["archive"]["last"]
    dictionary = client.get("/api/dictionary")
    assert "thermal" in [folder["key"] for folder in dictionary["folders"]]
    assert dictionary["telecommands"][0]["name"] == "PING"
    assert dictionary["severities"][-1] == "CRITICAL"


def test_live_values_come_and_are_found_again(client: Client, flight: FlightStandIn) -> None:
    with client.realtime("hk.card_power_w", "evt", "hk.mode") as page:
        assert page.first(lambda message: "link" in message)["link"]["state"] == "up"
        page.send({"unsubscribe": ["hk.mode"]}).send({"subscribe": ["nonsense"]})
        assert page.first(lambda message: "error" in message)["error"]["code"] == "UNKNOWN_KEY"
        flight.telemetry.publish("hk", housekeeping(card_power_w=17.5))
        datum = page.datum("hk.card_power_w")
        assert (datum["value"], datum["seq"]) == (17.5, 2)
        flight.telemetry.publish("evt", event("JOB_STARTED", message="go"))
        assert page.datum("evt")["message"] == "go"
    assert client.get("/api/history/hk.card_power_w?strategy=latest") == [datum]
    assert client.get("/api/history/evt")[0]["event"] == "JOB_STARTED"


def test_pages_are_notified_when_packets_bring_new_names(
    client: Client, flight: FlightStandIn
) -> None:
    with client.realtime() as page:
        before = page.first(lambda message: "points" in message)["points"]
        flight.telemetry.publish("hk", housekeeping(heartbeats={"newcomer": 0.1}))
        assert page.first(lambda message: "points" in message)["points"] == before + 1
    folders = client.get("/api/dictionary")["folders"]
    keys = [point["key"] for folder in folders for point in folder["points"]]
    assert len(keys) == before + 1
    assert "hk.heartbeats.newcomer" in keys


@pytest.mark.parametrize(
    "nonsense", ["{", "[]", '{"subscribe": 5}', '{"other": []}', "[" * 5000, '{"subscribe": [1]}']
)
def test_a_page_that_sends_nonsense_gets_an_error_and_stays(client: Client, nonsense: str) -> None:
    with client.realtime() as page:
        page.send(nonsense)
        assert page.first(lambda message: "error" in message)["error"]["code"] == "MALFORMED"
        page.send({"subscribe": [f"key-{number}" for number in range(100)]})
        assert page.first(lambda message: "error" in message)["error"]["code"] == "UNKNOWN_KEY"


def test_every_wish_is_answered_when_it_holds_or_was_refused(client: Client) -> None:
    with client.realtime() as page:
        for wish in ({"subscribe": ["hk.uptime_s"]}, "{", {"unsubscribe": ["hk.uptime_s"]}):
            page.send(wish)
        for count in (1, 2, 3):
            assert page.first(lambda message: "applied" in message)["applied"] == count


def test_what_is_not_a_packet_is_counted_and_harms_nothing(tmp_path: Path, keys: Path) -> None:
    with zmq.Context() as context, context.socket(zmq.XPUB) as publisher:
        publisher.linger = 0
        port = publisher.bind_to_random_port("tcp://127.0.0.1")
        endpoints = StationEndpoints(*(f"tcp://127.0.0.1:{port}" for _ in range(3)))
        station = Station(
            endpoints, read_ground_keys(keys, "operator", curve=False), tmp_path / "sequence"
        )
        with running(_settings(tmp_path), _unit(tmp_path, lambda: station)) as client:
            assert publisher.poll(20_000)
            for frames in ([b"hk"], [b"hk", b"\xc1"], [b"hk", b"\x81" * 9000], [b"", b""]):
                publisher.send_multipart(frames)
            huge = housekeeping(memory_bytes=2**64 - 1, heartbeats={"t" * 5000: 1.0, "a/b": 2.0})
            for number in (2**64 - 1, 1):
                frames = encode_packet("hk", huge, unit="sat-a", boot=number, sequence=number, t=1)
                publisher.send_multipart(frames)
            until(lambda: client.get("/api/status")["link"]["unreadable"] == 5)
            until(lambda: client.get("/api/status")["archive"]["packets"] == 1)
            assert client.get("/api/history/hk.memory_bytes")[0]["value"] == 2**64 - 1
            assert client.get("/api/history/hk.heartbeats.a%2Fb")[0]["value"] == 2.0
            assert client.get("/api/status")["link"]["state"] == "up"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/history/nonsense", 404, "UNKNOWN_KEY"),
        ("/api/history/hk.mode?start=5&end=4", 400, "USAGE"),
        ("/api/history/hk.mode?size=1e9", 400, "USAGE"),
        ("/api/products/abc/image", 404, "HTTP_404"),
        ("/api/products/..%2F..%2Fetc%2Fpasswd/file", 404, "HTTP_404"),
        ("/app/..%2F..%2Fkeys", 404, "HTTP_404"),
        ("/api/scenes/nobody/tile_map", 404, "UNKNOWN_JOB"),
        ("/api/telecommands/nobody", 404, "UNKNOWN_TELECOMMAND_ID"),
        ("/api/telecommands", 405, "HTTP_405"),
        ("/nonsense", 404, "HTTP_404"),
    ],
)
def test_what_makes_no_sense_is_refused_as_json(
    client: Client, path: str, status: int, code: str
) -> None:
    answer = client.ask(path)
    assert (answer.status, answer.json["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1:1"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
)
def test_foreign_hosts_and_origins_are_kept_out(client: Client, headers: dict[str, str]) -> None:
    answer = client.ask("/api/status", headers=headers)
    assert (answer.status, answer.json["error"]["code"]) == (403, "FOREIGN_ORIGIN")


def test_a_foreign_page_gets_no_socket(client: Client) -> None:
    for origin in ("http://evil.example", "null", f"http://127.0.0.1:{client.port + 1}"):
        headers = {"Origin": origin}
        url = f"ws://127.0.0.1:{client.port}/api/realtime"
        with pytest.raises(InvalidStatus, match="403"):
            connect(url, additional_headers=headers)


def test_a_telecommand_goes_up_and_its_stages_come_back_live(
    client: Client, flight: FlightStandIn
) -> None:
    with client.realtime("ver") as page:
        answer = client.command("PROCESS_SCENE", scene="a.SAFE")
        assert answer.status == 202
        sent = answer.json["id"]
        stages = []
        while not stages or stages[-1] != "COMPLETED":
            datum = page.datum("ver")
            assert (datum["id"], datum["name"]) == (sent, "PROCESS_SCENE")
            stages.append(datum["stage"])
    assert stages == ["ACCEPTED", "STARTED", "PROGRESS", "COMPLETED"]
    assert [one["stage"] for one in client.closed(sent)] == stages
    assert _sent(flight)[-1].args == {"scene": "a.SAFE"}


def test_the_history_names_telecommand_arguments_and_sender(
    client: Client, flight: FlightStandIn
) -> None:
    sent = client.command("PROCESS_SCENE", scene="a.SAFE").json["id"]
    done = Verification(id=sent, name="PROCESS_SCENE", stage=Stage.COMPLETED, at=1, key_id="me")
    flight.telemetry.publish("ver", done)
    [row] = until(lambda: client.get("/api/history/ver"))
    assert (row["name"], row["args"], row["key_id"]) == (
        "PROCESS_SCENE",
        '{"scene":"a.SAFE"}',
        "me",
    )


def test_the_services_refusal_comes_through(client: Client, flight: FlightStandIn) -> None:
    sent = client.command("PROCESS_SCENE", scene="../elsewhere").json["id"]
    [stage] = client.closed(sent)
    assert (stage["stage"], stage["code"]) == ("REJECTED", "OUTSIDE_SCENE_ROOT")


@pytest.mark.parametrize(
    "wanted",
    [
        {"name": "SET_MODE", "args": {"mode": "SAFE"}},
        {"name": "SET_PARAMETER", "args": {"name": "fdir.hot_c", "value": 84.0}},
    ],
)
def test_what_is_hazardous_is_sent_only_when_it_is_confirmed(
    client: Client, flight: FlightStandIn, wanted: dict[str, Any]
) -> None:
    body = json.dumps(wanted).encode()
    path = "/api/telecommands"
    answer = client.ask(path, body, client.signed(path, body))
    assert (answer.status, answer.json["error"]["code"]) == (409, "NOT_CONFIRMED")
    assert _sent(flight) == []
    confirmed = json.dumps(wanted | {"confirmed": True}).encode()
    sent = client.ask(path, confirmed, client.signed(path, confirmed))
    assert client.closed(sent.json["id"])[-1]["stage"] == "COMPLETED"
    assert [one.name for one in _sent(flight)] == ["ARM", wanted["name"]]


def test_telecommands_that_do_not_fit_go_nowhere(client: Client, flight: FlightStandIn) -> None:
    answer = client.command("SET_HOUSEKEEPING_RATE", period_s=0)
    assert answer.status == 400
    assert "period_s" in answer.json["error"]["cause"]
    path = "/api/telecommands"
    assert client.ask(path, b"{", client.signed(path, b"{")).status == 400
    assert client.ask(path, b" " * 200_000).status == 413
    assert _sent(flight) == []


OTHER = TelecommandKey("operator", bytes(SECRET_BYTES))
BODY = b'{"name": "PING"}'


def _bridge_id(folder: Path) -> str:
    with ArchiveReader(folder / "archive.sqlite") as reader:
        return reader.bridge()


def _wrong_headers(client: Client, folder: Path) -> Iterator[tuple[dict[str, str], str]]:
    """Headers of POST /api/telecommands that give no right, and the code of the refusal."""
    token, bridge = client.token, _bridge_id(folder)
    assert token is not None
    run = client.get("/api/status")["run"]
    yield {}, "NO_TOKEN"
    right = signature_of(token, run, "POST", "/api/telecommands", BODY)
    for shown in ("", "wrong", "\xe9", right, token.text, f"{token.expires}.{right}0"):
        yield {TOKEN_HEADER: shown}, "WRONG_TOKEN"
    yield {TOKEN_HEADER: f"{token.expires + 1}.{right}"}, "WRONG_TOKEN"
    for other in (
        token_of(OTHER, bridge, client.port, token.expires),
        token_of(KEY, "another bridge", client.port, token.expires),
        token_of(KEY, bridge, client.port + 1, token.expires),
    ):
        yield client.signed("/api/telecommands", BODY, other), "WRONG_TOKEN"
    yield client.signed("/api/telecommands", b"{}"), "WRONG_TOKEN"
    yield client.signed("/api/alarms", BODY), "WRONG_TOKEN"
    earlier = signature_of(token, "an earlier run", "POST", "/api/telecommands", BODY)
    yield {TOKEN_HEADER: f"{token.expires}.{earlier}"}, "WRONG_TOKEN"
    expired = token_of(KEY, bridge, client.port, int(time.time()))
    yield client.signed("/api/telecommands", BODY, expired), "TOKEN_EXPIRED"


def test_who_does_not_sign_with_the_operators_token_only_looks(
    client: Client, flight: FlightStandIn, tmp_path: Path
) -> None:
    for headers, code in _wrong_headers(client, tmp_path):
        answer = client.ask("/api/telecommands", BODY, headers)
        assert (answer.status, answer.json["error"]["code"]) == (403, code), headers
        refused = client.ask("/api/alarms", b'{"alarm": "a", "action": "unshelve"}', headers)
        assert refused.status == 403
    assert _sent(flight) == []
    status = client.ask("/api/status", headers={TOKEN_HEADER: "wrong"}).json
    assert (status["can_command"], status["authorised"]) == (True, False)
    assert status["reason"].endswith("Open the address that groundsim dashboard --address prints")
    assert client.get("/api/history/hk.mode")


def test_the_status_shows_who_signs_and_reveals_no_secret(client: Client, tmp_path: Path) -> None:
    assert client.token is not None
    for headers in ({}, client.signed("/api/status")):
        answer = client.ask("/api/status", headers=headers)
        assert answer.json["authorised"] is bool(headers)
        assert (answer.json["reason"] is None) is bool(headers)
        for secret in (client.token.secret, KEY.secret.hex(), _bridge_id(tmp_path)):
            assert secret not in f"{answer.headers}{answer.body.decode()}"


def test_a_token_holds_over_restarts_of_its_bridge_and_for_its_archive_only(
    flight: FlightStandIn, keys: Path, tmp_path: Path
) -> None:
    station = _station(flight, keys, tmp_path)
    with running(_settings(tmp_path), _unit(tmp_path, lambda: station)) as client:
        token, port = client.token, client.port
        earlier = client.signed("/api/status")
    with running(_settings(tmp_path, port=port), _unit(tmp_path, lambda: station)) as client:
        assert client.ask("/api/status", headers=client.signed("/api/status", None, token)).json[
            "authorised"
        ]
        assert not client.ask("/api/status", headers=earlier).json["authorised"]
    (tmp_path / "archive.sqlite").unlink()
    with running(_settings(tmp_path, port=port), _unit(tmp_path, lambda: station)) as client:
        headers = client.signed("/api/status", None, token)
        assert not client.ask("/api/status", headers=headers).json["authorised"]


def test_every_answer_confines_the_page_in_the_browser(client: Client) -> None:
    paths = ("/", "/app/index.html", "/openmct/openmct.js", "/api/status", "/nonsense")
    answers = [client.ask(path) for path in paths]
    answers.append(client.ask("/api/status", headers={"Host": "evil.example"}))
    for answer in answers:
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "script-src 'self' 'unsafe-eval';" in policy
        assert answer.headers.get_all("X-Content-Type-Options") == ["nosniff"]


def test_one_client_has_a_bounded_number_of_sockets(client: Client) -> None:
    with ExitStack() as sockets:
        for _ in range(MOST_OF_ONE):
            sockets.enter_context(client.realtime()).first(lambda message: "link" in message)
        with client.realtime() as page:
            error = page.first(lambda message: "error" in message)["error"]
            assert (error["code"], "Close some" in error["cure"]) == ("TOO_MANY_PAGES", True)
            with pytest.raises(ConnectionClosed):
                page.first(lambda _: False)
    until(lambda: _is_served(client))


def _is_served(client: Client) -> bool:
    with client.realtime() as page:
        return "link" in page.first(lambda message: "link" in message or "error" in message)


def test_a_socket_that_subscribes_to_nothing_is_closed(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(realtime, "IDLE_S", 0.05)
    with client.realtime("ver") as page, client.realtime() as idle:
        with pytest.raises(ConnectionClosed):
            idle.first(lambda _: False)
        page.send("{")
        assert page.first(lambda message: "error" in message)["error"]["code"] == "MALFORMED"


def test_an_alarm_is_acknowledged_and_shelved_and_kept_over_restarts(
    flight: FlightStandIn, keys: Path, tmp_path: Path
) -> None:
    station = _station(flight, keys, tmp_path)
    with (
        running(_settings(tmp_path), _unit(tmp_path, lambda: station)) as client,
        client.realtime() as page,
    ):
        flight.telemetry.publish("hk", housekeeping(card_temperature_c=90.0))
        page.first(lambda message: "alarms" in message)
        [alarm] = client.get("/api/alarms")
        assert (alarm["id"], alarm["severity"], alarm["value"], alarm["side"]) == (
            "hk.card_temperature_c", "CRITICAL", 90.0, "HIGH",
        )  # fmt: skip
        change = {"alarm": alarm["id"], "action": "acknowledge", "comment": "seen"}
        assert client.post("/api/alarms", change).status == 200
        page.first(lambda message: "alarms" in message)
        shelf = {"alarm": alarm["id"], "action": "shelve", "seconds": 60}
        assert client.post("/api/alarms", shelf).status == 200
        unknown = client.post("/api/alarms", {"alarm": "evt.JOB_FAILED", "action": "acknowledge"})
        assert (unknown.status, "not an alarm" in unknown.json["error"]["cause"]) == (400, True)
    with running(_settings(tmp_path), _unit(tmp_path, lambda: station)) as client:
        [alarm] = client.get("/api/alarms")
        assert (alarm["acknowledged"]["by"], alarm["acknowledged"]["comment"]) == (
            "operator",
            "seen",
        )
        assert alarm["shelved"]["until"] == alarm["shelved"]["at"] + 60 * 10**9
        assert (
            client.post("/api/alarms", {**shelf, "action": "unshelve"}).json[0]["shelved"] is None
        )


def test_contact_and_schedule_are_on_the_timeline(client: Client, flight: FlightStandIn) -> None:
    opened = event("CONTACT_OPENED")
    fields = {"seconds": 60.0, "bytes": 10}
    flight.telemetry.publish("evt", msgspec.structs.replace(opened, fields=fields))
    flight.telemetry.publish("hk", housekeeping(scheduled=1))
    until(lambda: any(one.name == "LIST_SCHEDULE" for one in flight.ran))
    asked = next(one for one in flight.ran if one.name == "LIST_SCHEDULE")
    entry = {"entry": "e-1", "at": time.time_ns() + 10**12, "telecommand": {"name": "SELF_TEST"},
             "if_missed": "run"}  # fmt: skip
    flight.telemetry.publish(
        "ver",
        Verification(id=asked.id, name=asked.name, stage=Stage.COMPLETED, at=time.time_ns(),
                     data={"entries": [entry]}),
    )  # fmt: skip
    until(lambda: len(client.get("/api/timeline")) == 2)
    contact, planned = client.get("/api/timeline")
    assert (contact["group"], contact["state"]) == ("Contacts", "RUNNING")
    assert contact["end"] - contact["start"] == pytest.approx(60_000)
    assert (planned["group"], planned["name"], planned["state"]) == (
        "Schedule", "SELF_TEST", "PLANNED",
    )  # fmt: skip
    assert client.get(f"/api/timeline?end={contact['start'] - 1}") == []


def test_without_a_telecommand_key_it_only_looks(
    flight: FlightStandIn, keys: Path, tmp_path: Path
) -> None:
    station = _station(flight, keys, tmp_path)
    with running(_settings(tmp_path), _unit(tmp_path, lambda: station, None)) as client:
        for headers in ({}, {TOKEN_HEADER: f"1.{'0' * 64}"}):
            status = client.ask("/api/status", headers=headers).json
            assert (status["can_command"], status["authorised"]) == (False, False)
            assert status["operator"] is None
            assert "has no telecommand key" in status["reason"]
            answer = client.ask("/api/telecommands", b'{"name": "PING"}', headers)
            assert (answer.status, answer.json["error"]["code"]) == (403, "LISTEN_ONLY")


def test_a_contact_downlinks_products(client: Client, flight: FlightStandIn) -> None:
    client.closed(client.command("PROCESS_SCENE", scene="a.SAFE").json["id"])
    client.closed(client.command("OPEN_CONTACT", bytes=1_000_000, seconds=60).json["id"])
    [product] = until(lambda: client.get("/api/products"))
    assert (product["job"], product["kind"], product["image"]) == ("job-1", "report", None)
    content = client.ask(f"/api/products/{product['product']}/file").body
    assert content.startswith(b"contaminated: 25 %")
    answer = client.ask(f"/api/products/{product['product']}/image")
    assert (answer.status, answer.json["error"]["code"]) == (400, "USAGE")


def test_a_scenes_tile_map_is_given_in_fractions(client: Client, flight: FlightStandIn) -> None:
    cells = np.array([[0, 125, 250], [255, 250, 0]], np.uint8)
    flight.telemetry.publish(
        "sci.cloud_fraction",
        CloudFraction(
            job="job-7", scene="a.SAFE", model="m", engine="dimc", ground_sample_distance=10,
            height=10, width=10, valid_pixels=100, contaminated=0.5,
            fractions={"thick cloud": 0.5}, rows=2, columns=3, tile_map=cells.tobytes(),
            seconds=1.0, inference_seconds=0.5,
            stages_ms={"fusion": {"mean": 1.5}}, energy_j=None,
        ),
    )  # fmt: skip
    until(lambda: client.ask("/api/scenes/job-7/tile_map").status == 200)
    found = client.get("/api/scenes/job-7/tile_map")
    assert found["fractions"] == [[0, 0.5, 1], [None, 1, 0]]
    for key, value in (
        ("tile_map", "job-7"),
        ("fractions.thick cloud", 0.5),
        ("stages_ms.fusion.mean", 1.5),
    ):
        path = f"/api/history/sci.cloud_fraction.{key}".replace(" ", "%20")
        assert client.get(path)[0]["value"] == value


def test_without_a_service_it_says_so_and_connects_when_there_is_one(
    keys: Path, tmp_path: Path
) -> None:
    places: list[Station] = []

    def station() -> Station:
        if not places:
            raise UsageError("endpoints.json", "cannot be read", "Start the service")
        return places[-1]

    with (
        running(_settings(tmp_path), _unit(tmp_path, station)) as client,
        client.realtime() as page,
    ):
        link = client.get("/api/status")["link"]
        assert link["state"] == "down"
        for number in range(2):  # the second time elsewhere
            with FlightStandIn(KEY) as flight:
                places.append(_station(flight, keys, tmp_path))
                page.first(lambda message: message.get("link", {}).get("state") == "up")
                until(lambda n=number: client.get("/api/status")["archive"]["packets"] == n + 1)
            page.first(lambda message: message.get("link", {}).get("state") == "down")
        states = [datum["value"] for datum in client.get("/api/history/link.state")]
        assert states == [0, 1, 0, 1, 0]


def test_a_telecommand_that_cannot_be_sent_ends(keys: Path, tmp_path: Path) -> None:
    def station() -> Station:
        raise UsageError("endpoints.json", "cannot be read", "Start the service")

    with running(_settings(tmp_path), _unit(tmp_path, station)) as client:
        [stage] = client.closed(client.command("PING").json["id"])
        assert (stage["stage"], stage["code"]) == ("NO_ANSWER", "USAGE")
        assert "endpoints.json" in stage["cause"]


def test_an_archive_that_cannot_be_read_is_reported(client: Client, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "archive.sqlite") as connection:
        connection.execute("ALTER TABLE packet RENAME TO lost")
    connection.close()
    answer = client.ask("/api/history/hk.mode")
    assert (answer.status, answer.json["error"]["code"]) == (503, "ARCHIVE")


def test_a_port_in_use_is_reported(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        settings = _settings(tmp_path, port=other.getsockname()[1])
        with pytest.raises(UsageError, match="already in use"):
            Dashboard(settings, _unit(tmp_path, lambda: pytest.fail("not asked")))


def test_open_mct_is_searched_and_its_absence_reported(tmp_path: Path) -> None:
    library = page_and_library(tmp_path)["openmct"]
    assert find_openmct(library) == library
    with pytest.raises(UsageError, match=r"deploy/openmct\.sh"):
        find_openmct(tmp_path / "elsewhere")


def test_pages_are_notified_of_limits_that_a_parameter_changed(
    client: Client, flight: FlightStandIn
) -> None:
    def warm() -> float:
        folders = client.get("/api/dictionary")["folders"]
        points = {point["key"]: point for folder in folders for point in folder["points"]}
        limit: float = points["hk.card_temperature_c"]["limits"]["warning_high"]
        return limit

    assert warm() == 80.0
    changed = event("PARAMETER_CHANGED")
    fields = {"name": "fdir.warm_c", "value": 60.0}
    with client.realtime("evt") as page:
        page.first(lambda message: "applied" in message)
        flight.telemetry.publish("evt", msgspec.structs.replace(changed, fields=fields))
        page.first(lambda message: "limits" in message)
    assert warm() == 60.0
    with client.realtime() as page:  # one that connects later too
        page.first(lambda message: "limits" in message)


def test_the_bridge_asks_for_parameters_and_follows_the_answer(
    client: Client, flight: FlightStandIn
) -> None:
    asked = until(lambda: [one for one in flight.ran if one.name == "GET_PARAMETER"])[0]
    values = [{"name": "fdir.hot_c", "value": 70.0, "default": 85.0}]
    flight.telemetry.publish(
        "ver",
        Verification(id=asked.id, name=asked.name, stage=Stage.COMPLETED, at=time.time_ns(),
                     data={"parameters": values}),
    )  # fmt: skip
    flight.telemetry.publish("hk", housekeeping(card_temperature_c=71.0))
    [alarm] = until(lambda: client.get("/api/alarms"))
    assert (alarm["id"], alarm["severity"]) == ("hk.card_temperature_c", "CRITICAL")


def test_pages_share_the_operators_log_and_do_not_overwrite_each_other(client: Client) -> None:
    path = "/api/log/operator"
    assert client.ask(path).json["error"]["code"] == "UNKNOWN_LOG_OBJECT"
    with client.realtime("evt") as page:
        assert client.post(path, {"revision": 0, "object": {"a": 1}}).json == {"revision": 1}
        change = page.first(lambda message: "log" in message)["log"]
    assert change == {"key": "operator", "revision": 1}
    late = client.post(path, {"revision": 0, "object": {"a": 2}})
    assert (late.status, late.json["error"]["code"]) == (409, "CONFLICT")
    assert client.get(path) == {"revision": 1, "object": {"a": 1}}
    body = json.dumps({"revision": 1, "object": {}}).encode()
    refused = client.ask(path, body)
    assert (refused.status, refused.json["error"]["code"]) == (403, "NO_TOKEN")
    assert client.post(path, {"revision": 1, "object": []}).status == 400
    large = client.post(path, {"revision": 1, "object": {"a": "x" * (4 << 20)}})
    assert (large.status, large.json["error"]["code"]) == (507, "LOG_FULL")
    assert client.get(path)["revision"] == 1
