"""The service under control of Yamcs: a live unit, the gateway, a server of Yamcs and its client.

``make foreign`` installs Yamcs and runs this; without it the tests are skipped.
"""

from __future__ import annotations

import base64
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deploy.faults.small_package import write_small_package
from deploy.rig.flight_unit import FlightUnit, wait_until
from deploy.rig.forked import flight_unit
from deploy.rig.ports import free_tcp_ports
from deploy.yamcs.configuration import write_configuration
from deploy.yamcs.server import YamcsUnavailable, command, python, running
from telecommands.dictionary import PACKETS, TELECOMMANDS, Topic
from telecommands.gateway.database import fields_of_record
from telecommands.gateway.layout import layout_of
from telecommands.gateway.packets import Stamp
from telecommands.gateway.xtce import xtce
from telecommands.numbers import PACKETS as STRUCTURES
from tests.conftest import Simulated
from tests.foreign.packets import PREFIXES, differing, expected
from tests.unit.telecommands.gateway.mission_control import MissionControl

_START_S = 60.0
_APID = 100
_HOUR_NS = 3600 * 10**9

try:
    command(Path())
    python()
except YamcsUnavailable as absent:
    pytest.skip(str(absent), allow_module_level=True)


class _Mission:
    """The unit, the gateway that Yamcs is connected to, and the client that drives Yamcs."""

    def __init__(self, unit: FlightUnit, scene: str, port: int) -> None:
        self.unit, self.scene, self.port = unit, scene, port
        self.driver: subprocess.Popen[str]
        self.gateway: subprocess.Popen[str] | None = None
        self.raw: list[bytes] = []
        self.watched_from = 0
        self.completed_at = 0.0

    def start_gateway(self, *, capture: bool = True) -> None:
        self.gateway = subprocess.Popen(
            [
                *(sys.executable, "-m", "telecommands.groundsim", "gateway", "--hazardous"),
                *("--listen", f"127.0.0.1:{self.port}", "--keys", str(self.unit.ground)),
                *("--endpoints", str(self.unit.state / "endpoints.json")),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.gateway.stdout is not None
        assert self.gateway.stdout.readline().startswith(f"127.0.0.1:{self.port}")
        if capture:
            threading.Thread(target=self._capture, daemon=True).start()

    def _capture(self) -> None:
        with MissionControl(("127.0.0.1", self.port)) as control:
            control.raw = self.raw
            for _ in control.packets():
                pass

    def end_gateway(self, number: signal.Signals) -> None:
        assert self.gateway is not None
        self.gateway.send_signal(number)
        self.gateway.communicate(timeout=_START_S)

    def ask(self, **request: Any) -> Any:
        """An answer of the driver."""
        assert self.driver.stdin is not None
        assert self.driver.stdout is not None
        self.driver.stdin.write(json.dumps(request) + "\n")
        self.driver.stdin.flush()
        return json.loads(self.driver.stdout.readline())

    def issue(self, name: str, /, run_at: float | None = None, **args: Any) -> tuple[str, str]:
        """How the telecommand ended, by Yamcs' verifiers, and the text of a failure."""
        answer = self.ask(issue=name, args=args, run_at=run_at)
        reports = [(raw[8], raw[21:25].hex()) for raw in self.raw if raw[7] == 1][-6:]
        assert not answer["raised"], (name, answer, reports)
        stages = answer["stages"]
        if answer["error"] is not None:
            assert "NOK" in (stages["Verifier_Accepted"][0], stages["Verifier_Complete"][0])
            return "failed", answer["error"]
        assert stages["Verifier_Accepted"][0] == stages["Verifier_Complete"][0] == "OK", answer
        self.completed_at = answer["completed_at"]
        return "completed", ""


@pytest.fixture(scope="module")
def mission(tmp_path_factory: pytest.TempPathFactory, simulated: Simulated) -> Iterator[_Mission]:
    folder = tmp_path_factory.mktemp("yamcs")
    port, page = free_tcp_ports(2)
    with ExitStack() as parts:
        unit = parts.enter_context(flight_unit(folder / "unit"))
        unit.use_package(write_small_package(folder / "package"))
        scene = unit.add_scene(simulated.scene)
        unit.start()
        mission = _Mission(unit, scene, port)
        mission.start_gateway()
        parts.callback(mission.end_gateway, signal.SIGTERM)
        write_configuration(folder, port=page, gateway=("127.0.0.1", port), apid=_APID)
        parts.enter_context(running(folder, page))
        driver = subprocess.Popen(
            [str(python()), str(Path(__file__).with_name("yamcs_driver.py")), f"127.0.0.1:{page}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        parts.callback(driver.communicate, timeout=_START_S)
        mission.driver = driver
        mission.ask(watch=[field.name for field in _fields()])
        _issue_as_soon_as_connected(mission)
        mission.watched_from = len(mission.raw)
        yield mission
    shutil.rmtree(folder, ignore_errors=True)


def test_every_telecommand_is_verified_to_its_end(mission: _Mission) -> None:
    later = time.time_ns() + _HOUR_NS
    inside = {"telecommand_name": "PING", "telecommand_args": "{}"}
    absent: dict[str, Any] = {"product": "absent"}
    key = {"public": "a" * 40, "nonce": "0" * 32, "secret": "1" * 64, "old_until": 1}
    wanted: list[tuple[str, dict[str, Any], str]] = [
        ("PING", {}, ""),
        ("PROCESS_SCENE", {"scene": mission.scene}, ""),
        ("PROCESS_SCENE", {"scene": "absent.SAFE"}, "SCENE_NOT_FOUND: "),
        ("CANCEL_JOB", {"job": "absent"}, "UNKNOWN_JOB: job absent does not exist"),
        ("LIST_JOBS", {}, ""),
        ("LIST_SCENES", {}, ""),
        ("SET_MODE", {"mode": "STANDBY"}, ""),
        ("SET_MODE", {"mode": "OPERATIONAL"}, ""),
        ("SELF_TEST", {}, ""),
        ("GET_PARAMETER", {"name": "processing.fusion"}, ""),
        ("SET_PARAMETER", {"name": "processing.fusion", "value": '"blend"'}, ""),
        ("SET_HOUSEKEEPING_RATE", {"period_s": 0.5}, ""),
        ("ARM", {"telecommand_name": "SHUT_DOWN"}, ""),
        ("SCHEDULE", {"at": later, **inside}, ""),
        ("UNSCHEDULE", {"entry": "absent"}, "UNKNOWN_SCHEDULE_ENTRY: "),
        ("LIST_SCHEDULE", {}, ""),
        ("LIST_PRODUCTS", {}, ""),
        ("HOLD_PRODUCT", absent, "UNKNOWN_PRODUCT: "),
        ("RELEASE_PRODUCT", absent, "UNKNOWN_PRODUCT: "),
        ("PRIORITISE_PRODUCT", {**absent, "priority": 9}, "UNKNOWN_PRODUCT: "),
        ("DELETE_PRODUCT", absent, "UNKNOWN_PRODUCT: "),
        ("OPEN_CONTACT", {"bytes": 10**6, "seconds": 60.0}, ""),
        ("CLOSE_CONTACT", {}, ""),
        ("STAGE_MODEL", {"package": "absent", "sha256": "0" * 64}, "NO_MODEL: the model inbox has"),
        ("ACTIVATE_MODEL", {"model": "absent"}, "NO_MODEL: "),
        ("ROLL_BACK_MODEL", {}, "NO_MODEL: "),
        ("REPORT_LATEST", {}, ""),
        ("BEGIN_UPLINK", {"name": "absent", "size": 9, "sha256": "0" * 64}, ""),
        ("UPLINK_CHUNK", {"name": "absent", "offset": 9, "data": "61"}, "BAD_ARGUMENTS: "),
        ("END_UPLINK", {"name": "absent"}, "UPLINK_GAP: "),
        ("LIST_UPLINKS", {}, ""),
        ("DELETE_UPLINK", {"name": "absent"}, ""),
        ("ROTATE_KEY", key, "TIME_PASSED: "),
    ]
    found = {}
    for name, args, text in wanted:
        ended, cause = mission.issue(name, **args)
        if (ended, cause.startswith(text)) != ("failed" if text else "completed", True):
            found[name, str(args)] = (ended, cause)
    assert found == {}
    assert {name for name, _, _ in wanted} | {"RESTART", "SHUT_DOWN"} == set(TELECOMMANDS)


def test_the_other_services_are_verified_too(mission: _Mission) -> None:
    assert mission.issue("CONNECTION_TEST") == ("completed", "")
    assert mission.issue("REPORT_STRUCTURE", structure="hk") == ("completed", "")
    assert mission.issue("SET_STRUCTURE_PERIOD", period_s=0.5) == ("completed", "")
    assert mission.issue("REPORT_PARAMETER", parameter="fdir_hot_c") == ("completed", "")
    assert mission.issue("SET_processing_fusion", value="or") == ("completed", "")
    assert mission.issue("SET_fdir_hot_c", value=84.0) == ("completed", "")


def test_a_scheduled_telecommand_runs_at_its_second(mission: _Mission) -> None:
    at = round(time.time()) + 6
    assert mission.issue("PING", run_at=float(at)) == ("completed", "")
    assert abs(mission.completed_at - at) <= 1.0
    ended, cause = mission.issue("PING", run_at=time.time() - 100)
    assert (ended, cause.startswith("TIME_PASSED: ")) == ("failed", True)


def test_yamcs_and_the_gateway_agree_on_every_leaf_of_every_packet(mission: _Mission) -> None:
    sent = {
        key: value for raw in mission.raw[mission.watched_from :] for key, value in _leaves(raw)
    }
    assert {topic for topic, _, _ in sent} == set(PACKETS)
    counts = [int.from_bytes(raw[2:4], "big") & 0x3FFF for raw in mission.raw]
    assert all(later == (one + 1) % 2**14 for one, later in pairwise(counts))
    wait_until(lambda: sent.keys() <= _received(mission).keys())
    received = _received(mission)
    assert {key: differing(received[key], leaves) for key, leaves in sent.items()
            if differing(received[key], leaves)} == {}  # fmt: skip


def test_a_foreign_parser_agrees_on_the_same_packets(mission: _Mission, tmp_path: Path) -> None:
    spp = pytest.importorskip("space_packet_parser", reason="space_packet_parser is not installed")
    (tmp_path / "flightsw.xml").write_bytes(xtce("1.2", _APID))
    parser = spp.XtcePacketDefinition.from_xtce(
        tmp_path / "flightsw.xml", root_container_name="ccsds_packet"
    )
    parsed = [(dict(parser.parse_bytes(raw)), raw) for raw in mission.raw]
    wrong = [differing(found, one) for found, raw in parsed for _, one in _leaves(raw)]
    assert len(wrong) > len(PACKETS)
    assert not any(wrong)


def test_events_are_listed_with_their_severity_and_text(mission: _Mission) -> None:
    listed = mission.ask(events=True)
    severities = {one["type"]: one["severity"] for one in listed}
    assert (severities["JOB_COMPLETED"], severities["TELECOMMAND_REJECTED"]) == ("INFO", "WATCH")
    leaves = [one for raw in mission.raw[mission.watched_from :] for _, one in _leaves(raw)]
    sent = {(one["evt_event"], one["evt_message"]) for one in leaves if "evt_event" in one}
    assert sent <= {(one["type"], one["message"]) for one in listed}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_of_the_gateway_leaves_no_jump(mission: _Mission, number: signal.Signals) -> None:
    mission.end_gateway(number)
    mission.start_gateway(capture=False)  # what another peer gets meanwhile, Yamcs would miss
    _issue_as_soon_as_connected(mission)
    messages = [one["message"] for one in mission.ask(events=True)]
    assert [text for text in messages if "equence" in text] == []


def test_a_restarted_service_is_commanded_again(mission: _Mission) -> None:
    for name in ("RESTART", "SHUT_DOWN"):
        assert mission.issue(name) == ("completed", "")
        mission.unit.wait_for_end()
        mission.unit.start()
        assert mission.issue("PING") == ("completed", "")


def _issue_as_soon_as_connected(mission: _Mission) -> None:
    """Yamcs connects again within ten seconds; until then it has no link to send by."""

    def completes() -> bool:
        answer = mission.ask(issue="PING", args={})
        return answer["error"] is None and not answer["raised"]

    wait_until(completes, _START_S)


def _fields() -> list[Any]:
    return [
        field
        for topic, prefix in PREFIXES.items()
        for kind in (Stamp, PACKETS[topic])  # type: ignore[index]
        for field in fields_of_record(prefix, kind)
    ]


def _leaves(raw: bytes) -> Iterator[tuple[tuple[Topic, int, int], dict[str, Any]]]:
    """The leaves of a packet of the unit, as the gateway's own decoder finds them."""
    service, data = raw[7], raw[6 + 15 : -2]
    if service == 5:
        topic: Topic = "evt"
        at = 2
    else:
        topics = {number: topic for topic, number in STRUCTURES.items()}
        if service != 3 or data[0] not in topics:
            return
        topic, at = topics[data[0]], 1  # type: ignore[assignment]
    stamp, at = layout_of(Stamp).decode(data, at)
    kind = PACKETS[topic]
    content, _ = layout_of(kind).decode(data, at)
    record = msgspec.convert(content, kind, strict=False)
    leaves = expected(PREFIXES[topic], record)
    leaves |= {PREFIXES[topic] + name: value for name, value in stamp.items()}
    yield (topic, stamp["boot"], stamp["seq"]), leaves


def _received(mission: _Mission) -> dict[tuple[str, int, int], dict[str, Any]]:
    """What Yamcs made of each packet."""
    found = {}
    for packet in mission.ask(report=True):
        values = {
            name: base64.b64decode(value["bytes"]) if isinstance(value, dict) else value
            for name, value in packet.items()
        }
        for topic, prefix in PREFIXES.items():
            if f"{prefix}seq" in values:
                found[topic, values[f"{prefix}boot"], values[f"{prefix}seq"]] = values
    return found
