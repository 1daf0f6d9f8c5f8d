"""The publisher that the dashboard is measured with, over its real link."""

from __future__ import annotations

from pathlib import Path

from deploy.benchmark.dashboard.publisher import Publisher
from deploy.benchmark.dashboard.telemetry import telemetry_of
from deploy.rig.flight_unit import flight_unit


def test_the_publisher_sends_what_is_expected_and_comes_back_as_a_new_boot(tmp_path: Path) -> None:
    with flight_unit(tmp_path / "unit") as unit:
        publisher = Publisher(unit)
        try:
            publisher.start()
            where = unit.endpoints
            publisher.kill()
            publisher.start()
            assert unit.endpoints == where
            with unit.telemetry() as telemetry:
                heard = [one for one, _ in zip(telemetry.packets(20), range(6), strict=False)]
            published = publisher.stop()
        finally:
            publisher.kill()
    for topic, packet, record in heard:
        assert packet.boot == 2
        assert record == telemetry_of(packet.seq, 2)[topic]
    assert {topic for topic, _, _ in heard} == set(telemetry_of(1, 1))
    assert published.periods >= max(packet.seq for _, packet, _ in heard)
    assert published.dropped == 0
