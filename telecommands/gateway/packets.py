"""Telemetry as PUS-C reports in space packets (ECSS-E-ST-70-41C).

A report's data are what its service prescribes, then the :class:`Stamp`, then the record.
"""

from __future__ import annotations

import struct
from typing import Annotated, Any, Final

import msgspec
from fastcrc import crc16
from msgspec import Meta

from telecommands.dictionary import (
    PARAMETERS,
    Event,
    Packet,
    Parameter,
    Record,
    Severity,
    Stage,
    UtcNanoseconds,
    Verification,
)
from telecommands.gateway.counts import Counts
from telecommands.gateway.framing import HEADER_BYTES
from telecommands.gateway.layout import LayoutError, layout_of
from telecommands.gateway.status import GatewayStatus
from telecommands.gateway.times import LENGTH, time_code
from telecommands.numbers import EVENTS, PACKETS, numbers_of
from telecommands.numbers import PARAMETERS as PARAMETER_NUMBERS

STATUS_STRUCTURE: Final = 200
"""Structure of service 3 with the :class:`GatewayStatus`; the service's own are below 128."""

MOST_DATA: Final = 65_536 - 32
"""Bytes of a report's data, so that the packet fits its length field."""

MOST_SENTENCE: Final = 4096
"""Characters of a cause or cure in service 1."""

STAGE_SUBTYPES: Final = {
    Stage.ACCEPTED: 1,
    Stage.REJECTED: 2,
    Stage.STARTED: 3,
    Stage.PROGRESS: 5,
    Stage.COMPLETED: 7,
    Stage.FAILED: 8,
    Stage.TIMED_OUT: 8,
    Stage.CANCELLED: 8,
}
SEVERITY_SUBTYPES: Final = {
    Severity.DIAGNOSTIC: 1,
    Severity.ACTIVITY: 1,
    Severity.WARNING_LOW: 2,
    Severity.WARNING_HIGH: 3,
    Severity.CRITICAL: 4,
}
REPORTS: Final = (
    *((1, subtype) for subtype in sorted(set(STAGE_SUBTYPES.values()))),
    (3, 25),
    *((5, subtype) for subtype in sorted(set(SEVERITY_SUBTYPES.values()))),
    (17, 2),
    (20, 2),
)
"""Service and subtype of everything that the gateway sends."""

_HEADER: Final = struct.Struct(">HHHBBBHH")
_CHECKSUM: Final = struct.Struct(">H")
_TELEMETRY: Final = 0x0800  # version 0, with a secondary header
_UNSEGMENTED: Final = 0xC000
_PUS_C: Final = 0x20  # PUS version 2, time reference status 0


class Stamp(Record, frozen=True, kw_only=True):
    """Where a record comes from: number and boot of the service's packet; 0 if it is not one."""

    boot: Annotated[int, Meta(description="boot count of the unit; 0: not a packet of the unit")]
    seq: Annotated[int, Meta(description="number of the packet within its topic and boot")]
    t: UtcNanoseconds
    unit: Annotated[str, Meta(description="name of the unit")]


class Report(msgspec.Struct, frozen=True):
    """A report before it is numbered; ``t`` is UTC in nanoseconds."""

    service: int
    subtype: int
    t: int
    data: bytes


def report_of(topic: str, packet: Packet, record: Record) -> Report:
    """Service 5 for an event, service 3 for every other packet.

    Raises :class:`~telecommands.gateway.layout.LayoutError` if it cannot be encoded.
    """
    if isinstance(record, Event):
        number = EVENTS.get(record.event, 0)
        prefix, service = struct.pack(">H", number), (5, SEVERITY_SUBTYPES[record.severity])
    else:
        prefix, service = bytes([PACKETS[topic]]), (3, 25)
    return _report(service, packet, prefix, record)  # which has the fields of a stamp


def status_report(status: GatewayStatus, unit: str, t: int) -> Report:
    """The gateway's own housekeeping."""
    return _report((3, 25), _own_stamp(unit, t), bytes([STATUS_STRUCTURE]), status)


def verification_report(request: bytes, stage: Verification, unit: str) -> Report:
    """Service 1: a stage of the telecommand with this request id (4 bytes).

    The subtype stands in the data too: a ground system that looks at the value of a parameter must
    not take the subtype of another service's report for it.
    """
    subtype = STAGE_SUBTYPES[stage.stage]
    stage = msgspec.structs.replace(
        stage, cause=stage.cause[:MOST_SENTENCE], cure=stage.cure[:MOST_SENTENCE]
    )
    return _report((1, subtype), _own_stamp(unit, stage.at), request + bytes([subtype]), stage)


def connection_report(unit: str, t: int) -> Report:
    """Service 17: the answer to a connection test."""
    return _report((17, 2), _own_stamp(unit, t), b"", None)


def parameter_report(name: str, value: Any, unit: str, t: int) -> Report:
    """Service 20: the value of one parameter.

    Raises :class:`~telecommands.gateway.layout.LayoutError` for one of a newer unit.
    """
    if name not in PARAMETERS:
        raise LayoutError(f"{name:.80} is not a parameter of this release")
    number = struct.pack(">BH", 1, PARAMETER_NUMBERS[name])
    return _report(
        (20, 2), _own_stamp(unit, t), number + encode_value(PARAMETERS[name], value), None
    )


def encode_value(parameter: Parameter, value: Any) -> bytes:
    """A parameter's value: one byte for a choice or a truth value, else 64 bits."""
    try:
        if parameter.choices:
            return bytes([numbers_of(parameter.choices)[value]])
        return struct.pack(value_format(parameter), value)
    except (KeyError, struct.error) as error:
        raise LayoutError(f"{value!r:.40} is not a value of the parameter") from error


def value_format(parameter: Parameter) -> str:
    """How its value is packed."""
    if parameter.choices or isinstance(parameter.default, bool):
        return ">B"
    return ">d" if isinstance(parameter.default, float) else ">q"


def space_packet(report: Report, apid: int, counts: Counts) -> bytes:
    """Number and pack a report, with its checksum.

    The header is packed here: the library's object for a packet takes longer than all else.
    """
    sequence, counter = counts.next(report.service, report.subtype)
    header = _HEADER.pack(
        _TELEMETRY | apid,
        _UNSEGMENTED | sequence,
        _HEADER.size - HEADER_BYTES + LENGTH + len(report.data) + _CHECKSUM.size - 1,
        _PUS_C,
        report.service,
        report.subtype,
        counter,
        0,  # destination
    )
    packet = b"".join((header, time_code(report.t), report.data))
    return packet + _CHECKSUM.pack(crc16.ibm_3740(packet))


def _own_stamp(unit: str, t: int) -> Stamp:
    return Stamp(boot=0, seq=0, t=t, unit=unit)


def _report(
    service: tuple[int, int], stamp: Stamp | Packet, prefix: bytes, record: Record | None
) -> Report:
    data = prefix + layout_of(Stamp).encode(stamp)
    if record is not None:
        data += layout_of(type(record)).encode(record)
    if len(data) > MOST_DATA:
        raise LayoutError(f"{type(record).__name__} takes {len(data)} bytes, more than {MOST_DATA}")
    return Report(*service, stamp.t, data)
