"""Telemetry as Prometheus metrics, and the health of service and link for HTTP."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec
from msgspec import inspect
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from telecommands.dictionary import (
    MEANINGS,
    CloudFraction,
    Event,
    Housekeeping,
    Mode,
    Packet,
    Record,
    Severity,
)
from telecommands.ground.arguments import fields_of
from telecommands.ground.limits import Level, extra_of, level_of
from telecommands.ground.telemetry_state import TelemetryState

_PREFIX: Final = "flightsw"
_SEVERITY: Final[Mapping[Level, int]] = MappingProxyType(
    {Level.NOMINAL: 0, Level.WARNING: 1, Level.CRITICAL: 2}
)


class Snapshot(msgspec.Struct, frozen=True):
    """What is known at one moment; ``age_s`` None: no housekeeping was received yet.

    ``events`` counts the events received by name and severity, ``lost`` the packets lost by topic.
    ``parameters`` are those that are limits.
    """

    housekeeping: Housekeeping | None = None
    cloud: CloudFraction | None = None
    boot: int = 0
    age_s: float | None = None
    is_stale: bool = True
    events: tuple[tuple[str, Severity, int], ...] = ()
    packets: Mapping[str, int] = MappingProxyType({})
    lost: Mapping[str, int] = MappingProxyType({})
    parameters: Mapping[str, float] = MappingProxyType({})

    @property
    def is_ready(self) -> bool:
        """Whether the service takes and processes scenes, as far as is known."""
        mode = self.housekeeping.mode if self.housekeeping else None
        return not self.is_stale and mode is Mode.OPERATIONAL

    def health(self) -> dict[str, Any]:
        """For the HTTP address: the link, the mode, and the age of what is known."""
        return {
            "alive": not self.is_stale,
            "ready": self.is_ready,
            "link": "stale" if self.is_stale else "up",
            "mode": self.housekeeping.mode.value if self.housekeeping else None,
            "housekeeping_age_s": self.age_s,
            "boot": self.boot,
            "packets_lost": sum(self.lost.values()),
        }


class Reception:
    """Collects packets; one thread takes them, and any thread may read the latest snapshot."""

    def __init__(self) -> None:
        self._state = TelemetryState()
        self._events: Counter[tuple[str, Severity]] = Counter()  # bounded by the dictionary

    def take(self, topic: str, packet: Packet, record: Record, now: float) -> None:
        """Add a packet; ``now`` is monotonic seconds."""
        self._state.take(topic, packet, record, now)
        if isinstance(record, Event):
            self._events[record.event, record.severity] += 1 + record.squelched

    def snapshot(self, lost: Mapping[str, int], now: float) -> Snapshot:
        """What is known now."""
        state = self._state
        return Snapshot(
            housekeeping=state.housekeeping,
            cloud=state.cloud,
            boot=state.boot,
            age_s=None if state.housekeeping is None else now - state.housekeeping_at,
            is_stale=state.is_stale(now),
            events=tuple((name, severity, n) for (name, severity), n in self._events.items()),
            packets=dict(state.packets),
            lost=dict(lost),
            parameters=dict(state.parameters),
        )


class TelemetryCollector(Collector):
    """The metrics of the latest snapshot.

    Values of housekeeping are left out while they are stale: an alert on them would be about the
    past.
    """

    def __init__(self) -> None:
        self.snapshot = Snapshot()

    def collect(self) -> Iterator[Metric]:
        """All metrics, as Prometheus asks for them."""
        now = self.snapshot
        yield from _link(now)
        if now.housekeeping is not None and not now.is_stale:
            yield from _housekeeping(now.housekeeping, now.parameters)
        if now.cloud is not None:
            share = GaugeMetricFamily(
                f"{_PREFIX}_cloud_fraction",
                "contaminated share of the last scene, 0 to 1",
                labels=("scene", "integrity"),
            )
            share.add_metric((now.cloud.scene, now.cloud.integrity), now.cloud.contaminated)
            yield share


def _link(now: Snapshot) -> Iterator[Metric]:
    yield _gauge("link_up", "1 while housekeeping arrives", float(not now.is_stale))
    yield _gauge("ready", "1 while the service is OPERATIONAL and heard", float(now.is_ready))
    if now.age_s is not None:
        yield _gauge("housekeeping_age_seconds", "since the last housekeeping packet", now.age_s)
    for name, meaning, counts in (
        ("packets", "packets received by topic", now.packets),
        ("packets_lost", "packets lost on the link by topic", now.lost),
    ):
        family = CounterMetricFamily(f"{_PREFIX}_{name}", meaning, labels=("topic",))
        for topic, count in counts.items():
            family.add_metric((topic,), count)
        yield family
    events = CounterMetricFamily(
        f"{_PREFIX}_events", "events received", labels=("event", "severity")
    )
    for event, severity, count in now.events:
        events.add_metric((event, severity.value), count)
    yield events


def _housekeeping(record: Housekeeping, parameters: Mapping[str, float]) -> Iterator[Metric]:
    mode = GaugeMetricFamily(f"{_PREFIX}_mode", "1 for the mode it is in", labels=("mode",))
    for one in Mode:
        mode.add_metric((one.value,), float(one is record.mode))
    yield mode
    level = GaugeMetricFamily(
        f"{_PREFIX}_limit_level",
        "0 within its limits, 1 warning, 2 critical",
        labels=("field",),
    )
    texts: dict[str, str] = {}
    for field in fields_of(Housekeeping):
        value = msgspec.to_builtins(getattr(record, field.name))
        if isinstance(value, str):
            texts[field.name] = value
        else:
            yield from _figures(field, value)
        if _has_limits(field) and value is not None:
            level.add_metric((field.name,), _SEVERITY[level_of(field, value, parameters)])
    yield level
    info = GaugeMetricFamily(
        f"{_PREFIX}_info", "1; what the service runs, as labels", labels=sorted(texts)
    )
    info.add_metric([texts[name] for name in sorted(texts)], 1)
    yield info


def _figures(field: inspect.Field, value: Any) -> Iterator[Metric]:
    """A number is a gauge, and numbers by name are one gauge with a label."""
    meaning = _meaning(field)
    if isinstance(value, bool | int | float):
        yield _gauge(field.name, meaning, float(value))
    elif isinstance(value, Mapping):
        family = GaugeMetricFamily(f"{_PREFIX}_{field.name}", meaning, labels=("of",))
        for name, figure in value.items():
            if isinstance(figure, bool | int | float):
                family.add_metric((name,), float(figure))
        yield family


def _has_limits(field: inspect.Field) -> bool:
    return any(key.startswith(("warning_", "critical_")) for key in extra_of(field.type))


def _meaning(field: inspect.Field) -> str:
    schema = field.type.extra_json_schema if isinstance(field.type, inspect.Metadata) else None
    said = (schema or {}).get("description") or MEANINGS.get(field.name)
    return str(said or field.name.replace("_", " "))


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{_PREFIX}_{name}", meaning, value=value)
