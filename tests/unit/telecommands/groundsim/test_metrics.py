"""Telemetry as metrics, and what the health address says."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from telecommands.dictionary import Mode, Packet, Record
from telecommands.groundsim.metrics import Reception, Snapshot, TelemetryCollector
from tests.unit.telecommands.flight_stand_in import event, housekeeping

ROOT = Path(__file__).resolve().parents[4]
Samples = dict[str, list[tuple[dict[str, str], float]]]


def _snapshot(*records: tuple[str, Record], later_s: float = 0.0) -> Snapshot:
    reception = Reception()
    for topic, record in records:
        packet = Packet(
            v=2, unit="sat-a", boot=3, seq=1, t=10**18, kind="", body=msgspec.Raw(b"\xc0")
        )
        reception.take(topic, packet, record, now=100.0)
    return reception.snapshot({"hk": 2}, 100.0 + later_s)


def _samples(snapshot: Snapshot) -> Samples:
    collector, registry = TelemetryCollector(), CollectorRegistry()
    registry.register(collector)
    collector.snapshot = snapshot
    found: Samples = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    return found


def test_every_number_of_housekeeping_is_a_metric() -> None:
    record = housekeeping(memory_bytes=123_000_000)
    found = _samples(_snapshot(("hk", record)))
    assert found["flightsw_memory_bytes"] == [({}, 123_000_000.0)]
    assert ({"of": "queued"}, float(record.jobs.queued)) in found["flightsw_jobs"]
    names = {
        name
        for name, value in msgspec.to_builtins(record).items()
        if isinstance(value, (bool, int, float, dict)) and value != {}
    }
    assert names <= {name.removeprefix("flightsw_") for name in found}


def test_the_mode_is_one_of_all_modes() -> None:
    modes = _samples(_snapshot(("hk", housekeeping(mode=Mode.SAFE))))["flightsw_mode"]
    assert {labels["mode"]: value for labels, value in modes} == {
        mode.value: float(mode is Mode.SAFE) for mode in Mode
    }


def test_a_value_beyond_a_limit_of_the_dictionary_has_a_level() -> None:
    for celsius, level in ((40.0, 0.0), (82.0, 1.0), (90.0, 2.0)):
        found = _samples(_snapshot(("hk", housekeeping(card_temperature_c=celsius))))
        assert ({"field": "card_temperature_c"}, level) in found["flightsw_limit_level"]


def test_a_sensor_that_does_not_exist_has_no_metric() -> None:
    assert "flightsw_card_power_w" not in _samples(
        _snapshot(("hk", housekeeping(card_power_w=None)))
    )


def test_events_and_lost_packets_are_counted() -> None:
    found = _samples(_snapshot(("evt", event("JOB_FAILED")), ("evt", event("JOB_FAILED"))))
    [(labels, count)] = found["flightsw_events_total"]
    assert (labels["event"], count) == ("JOB_FAILED", 2.0)
    assert found["flightsw_packets_lost_total"] == [({"topic": "hk"}, 2.0)]


def test_stale_housekeeping_is_neither_alive_nor_shown() -> None:
    fresh, stale = (_snapshot(("hk", housekeeping()), later_s=s) for s in (0.5, 3600))
    assert fresh.health() == {
        "alive": True,
        "ready": True,
        "link": "up",
        "mode": "OPERATIONAL",
        "housekeeping_age_s": 0.5,
        "boot": 3,
        "packets_lost": 2,
    }
    assert (stale.health()["alive"], stale.health()["ready"]) == (False, False)
    found = _samples(stale)
    assert found["flightsw_link_up"] == [({}, 0.0)]
    assert "flightsw_memory_bytes" not in found


def test_a_service_that_was_never_heard_is_not_alive() -> None:
    assert not Snapshot().health()["alive"]
    assert _samples(Snapshot())["flightsw_ready"] == [({}, 0.0)]


def test_a_service_in_safe_mode_is_alive_but_not_ready() -> None:
    health = _snapshot(("hk", housekeeping(mode=Mode.SAFE))).health()
    assert (health["alive"], health["ready"]) == (True, False)


def test_the_alert_rules_name_metrics_that_exist() -> None:
    rules = yaml.safe_load((ROOT / "docs/examples/alerts.yml").read_text())["groups"][0]["rules"]
    found = _samples(_snapshot(("hk", housekeeping()), ("evt", event("JOB_FAILED"))))
    named = {name for rule in rules for name in re.findall(r"flightsw_\w+", rule["expr"])}
    assert named
    assert named <= found.keys()
    assert all(rule["annotations"]["summary"] for rule in rules)
