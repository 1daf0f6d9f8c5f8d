"""A record of each kind with a value in every leaf, and telecommands as a mission control sends."""

from __future__ import annotations

import struct
from typing import Any

import msgspec
from spacepackets.ecss.tc import PusTc

from telecommands.codec import decode_packet, encode_packet
from telecommands.dictionary import (
    LATENCY_STAGES,
    LATENCY_STATISTICS,
    PACKETS,
    TELECOMMANDS,
    CloudFraction,
    Code,
    Event,
    Packet,
    Progress,
    Record,
    Severity,
    Stage,
    TelecommandCounts,
    Topic,
    Verification,
)
from telecommands.gateway.layout import layout_of
from telecommands.gateway.times import time_code
from telecommands.numbers import TELECOMMANDS as FUNCTIONS
from tests.unit.telecommands.flight_stand_in import UNIT, housekeeping

APID = 100
NOW = 1_795_000_000_123_456_789

RECORDS: dict[Topic, Record] = {
    "ver": Verification(
        id="a1", name="CANCEL_JOB", stage=Stage.REJECTED, at=NOW, key_id="operator",
        code=Code.UNKNOWN_JOB, cause="job ü does not exist", cure="See LIST_JOBS", step=3, of=9,
        data={"jobs": [1, 2]},
    ),
    "hk": housekeeping(
        cpu_temperature_c=None,
        heartbeats={"commanding": 0.5, "a newer thread": 2.5},
        telecommands=TelecommandCounts(
            accepted=7, rejected=3, rejected_by_code={"BAD_MAC": 2, "A_NEWER_CODE": 1}
        ),
    ),
    "evt": Event(
        event="JOB_FAILED", severity=Severity.WARNING_HIGH, message="job 1 failed",
        fields={"job": "1"}, squelched=4,
    ),
    "sci.cloud_fraction": CloudFraction(
        job="job-1", scene="X.SAFE", integrity="doubtful", decode="fast", largest_error_dn=58,
        at_least=None, model="dtacsnet", engine="dimc", ground_sample_distance=20, height=500,
        width=400, valid_pixels=199_999, contaminated=0.25,
        fractions={"clear": 0.75, "contaminated": 0.25, "cloud shadow": 0.05},
        rows=2, columns=3, tile_map=bytes((0, 125, 250, 255, 1, 2)), seconds=1.5,
        inference_seconds=0.5,
        stages_ms={stage: dict.fromkeys(LATENCY_STATISTICS, 0.5) for stage in LATENCY_STAGES[:2]},
        energy_j=None,
    ),
    "sci.progress": Progress(job="job-1", scene="X.SAFE", rows_done=10, rows=500, elapsed_s=0.25),
}  # fmt: skip


def packet_of(topic: Topic, record: Record | None = None) -> tuple[Packet, Record]:
    """The record as the telemetry link gives it."""
    one = RECORDS[topic] if record is None else record
    return decode_packet(*encode_packet(topic, one, unit=UNIT, boot=4, sequence=17, t=NOW))


def nested(record: Record) -> dict[str, Any]:
    """The record as maps; bytes stay bytes, a map of counts has all its names."""
    content: dict[str, Any] = msgspec.to_builtins(record, builtin_types=(bytes,))
    return content


def request(
    service: int,
    subtype: int,
    data: bytes = b"",
    *,
    count: int = 5,
    apid: int = APID,
    acks: int = 15,
) -> bytes:
    """A PUS-C telecommand packet."""
    packet = PusTc(
        service=service, message_subtype=subtype, apid=apid, app_data=data, seq_count=count,
        ack_flags=acks,
    )  # fmt: skip
    return bytes(packet.pack())


def function(name: str, /, *, count: int = 5, **args: Any) -> bytes:
    """Service 8 with these arguments."""
    telecommand = msgspec.convert(args, TELECOMMANDS[name])
    data = struct.pack(">H", FUNCTIONS[name]) + layout_of(TELECOMMANDS[name]).encode(telecommand)
    return request(8, 1, data, count=count)


def insertion(at: int, inner: bytes, *, count: int = 6) -> bytes:
    """Service 11: run the packet at that time."""
    return request(11, 4, b"\x01\x01" + time_code(at) + inner, count=count)


assert RECORDS.keys() == PACKETS.keys()
