from __future__ import annotations

import struct

import msgspec
import pytest
from spacepackets.ecss.tm import PusTm

from telecommands.dictionary import PACKETS, PARAMETERS, CloudFraction, Event, Topic
from telecommands.gateway.counts import Counts, CountState
from telecommands.gateway.layout import LayoutError, layout_of
from telecommands.gateway.packets import Stamp, encode_value, report_of, space_packet
from telecommands.gateway.times import LENGTH, time_code
from telecommands.numbers import EVENTS
from telecommands.numbers import PACKETS as STRUCTURES
from tests.unit.telecommands.flight_stand_in import UNIT
from tests.unit.telecommands.gateway.samples import APID, NOW, RECORDS, packet_of


@pytest.mark.parametrize("topic", PACKETS)
def test_every_packet_is_a_report_with_its_number_stamp_and_checksum(topic: Topic) -> None:
    report = report_of(topic, *packet_of(topic))
    raw = space_packet(report, APID, Counts(CountState(APID, sequence=9, counters={"5.3": 2})))
    found = PusTm.unpack(raw, timestamp_len=LENGTH)  # checks the CRC
    assert (found.apid, found.seq_count, found.timestamp) == (APID, 9, time_code(NOW))
    if topic == "evt":
        assert (found.service, found.message_subtype, found.pus_tm_sec_header.message_counter) == (
            5, 3, 2,
        )  # fmt: skip
        prefix = struct.pack(">H", EVENTS["JOB_FAILED"])
    else:
        assert (found.service, found.message_subtype) == (3, 25)
        prefix = bytes([STRUCTURES[topic]])
    data = bytes(found.source_data)
    assert data.startswith(prefix)
    stamp, at = layout_of(Stamp).decode(data, len(prefix))
    assert stamp == {"boot": 4, "seq": 17, "t": NOW, "unit": UNIT}
    assert data[at:] == layout_of(type(RECORDS[topic])).encode(RECORDS[topic])


def test_an_event_of_a_newer_unit_has_the_number_0() -> None:
    record = RECORDS["evt"]
    assert isinstance(record, Event)
    newer = msgspec.structs.replace(record, event="NEWER")
    assert report_of("evt", *packet_of("evt", newer)).data[:2] == b"\0\0"


def test_a_packet_that_fits_no_space_packet_is_refused() -> None:
    record = RECORDS["sci.cloud_fraction"]
    assert isinstance(record, CloudFraction)
    large = msgspec.structs.replace(record, tile_map=bytes(65_200))
    with pytest.raises(LayoutError, match=r"CloudFraction takes .* more than 65504"):
        report_of("sci.cloud_fraction", *packet_of("sci.cloud_fraction", large))


def test_a_value_of_another_type_than_the_parameter_is_refused() -> None:
    for name, value in (("processing.fusion", "xor"), ("processing.attempts", "two")):
        with pytest.raises(LayoutError, match="is not a value of the parameter"):
            encode_value(PARAMETERS[name], value)
