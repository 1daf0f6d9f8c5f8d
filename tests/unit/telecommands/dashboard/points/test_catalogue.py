from __future__ import annotations

import pytest

from telecommands.dashboard.points.catalogue import MOST_DISCOVERED, PointCatalogue
from telecommands.dictionary import PACKETS, JobCounts, Mode, Verification
from telecommands.ground.arguments import fields_of
from tests.unit.telecommands.dashboard.conftest import arrival
from tests.unit.telecommands.flight_stand_in import housekeeping


def test_every_field_of_every_packet_has_a_point_or_is_a_map_or_row(
    catalogue: PointCatalogue,
) -> None:
    keys = [point.key for folder in catalogue.folders() for point in folder.points]
    assert len(keys) == len(set(keys))
    for topic, kind in PACKETS.items():
        if topic in ("evt", "ver"):
            assert topic in keys
            continue
        for field in fields_of(kind):
            if field.name not in ("heartbeats", "fractions"):
                prefix = f"{topic}.{field.name}"
                assert any(key == prefix or key.startswith(f"{prefix}.") for key in keys), prefix


def test_units_limits_and_states_are_the_dictionarys(catalogue: PointCatalogue) -> None:
    hot = catalogue.get("hk.card_temperature_c")
    assert hot is not None
    assert (hot.unit, hot.name) == ("°C", "Card temperature")
    assert hot.limits == {"warning_high": 80.0, "critical_high": 85.0}
    disk = catalogue.get("hk.disk_free_bytes")
    assert disk is not None
    assert disk.limits == {"warning_low": 2e9, "critical_low": 1e9}
    mode = catalogue.get("hk.mode")
    assert mode is not None
    assert mode.states is not None
    assert [state.text for state in mode.states] == [one.value for one in Mode]


def test_the_telecommand_history_begins_with_name_arguments_and_sender(
    catalogue: PointCatalogue,
) -> None:
    table = catalogue.get("ver")
    assert table is not None
    assert table.fields is not None
    columns = [(one.name, one.type) for one in table.fields]
    assert columns[:3] == [("Telecommand", "text"), ("Arguments", "text"), ("Sender", "text")]
    assert ("Stage time", "time") in columns
    assert {one.key for one in table.fields} == {*Verification.__struct_fields__, "args"}


def test_a_packet_gives_each_value_with_states_as_numbers(catalogue: PointCatalogue) -> None:
    record = housekeeping(mode=Mode.SAFE, jobs=JobCounts(queued=3))
    values = {point.key: value for point, value in catalogue.values("hk", record)}
    assert values["hk.mode"] == 3
    assert values["hk.jobs.queued"] == 3
    assert values["hk.contact.open"] == 0
    assert values["hk.cpu_temperature_c"] is None
    assert values["hk.engine"] == "dimc"


def test_names_that_the_dictionary_leaves_open_are_learnt_from_packets(
    catalogue: PointCatalogue,
) -> None:
    assert "hk.heartbeats.commanding" not in catalogue
    list(catalogue.values("hk", housekeeping()))
    point = catalogue.get("hk.heartbeats.commanding")
    assert point is not None
    assert point.path == ("heartbeats", "commanding")
    catalogue.discover("hk.heartbeats.downlink")
    assert "hk.heartbeats.downlink" in catalogue
    catalogue.discover("hk.nonsense")
    assert "hk.nonsense" not in catalogue


def test_names_are_learnt_up_to_a_bound(catalogue: PointCatalogue) -> None:
    beats = {f"thread-{number}": 0.1 for number in range(MOST_DISCOVERED + 50)}
    values = list(catalogue.values("hk", housekeeping(heartbeats=beats)))
    assert sum(point.key.startswith("hk.heartbeats.") for point, _ in values) == MOST_DISCOVERED


@pytest.mark.parametrize("stage", ["preparation", "accelerator", "fusion"])
def test_latencies_have_their_points_before_a_scene_was_processed(
    catalogue: PointCatalogue, stage: str
) -> None:
    point = catalogue.get(f"sci.cloud_fraction.stages_ms.{stage}.p99")
    assert point is not None
    assert point.unit == "ms"


def test_tables_have_no_values(catalogue: PointCatalogue) -> None:
    one = arrival(1, topic="evt")
    assert list(catalogue.values("evt", one.record)) == []
