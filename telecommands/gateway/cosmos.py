"""The target for COSMOS: packet definitions, and the interface that connects to the gateway.

COSMOS fills in the length and the checksum of a telecommand.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from telecommands.gateway.database import (
    CHECKSUM,
    PRIMARY_HEADER,
    TELEMETRY_HEADER,
    Field,
    PacketDefinition,
    telecommands,
    telemetry,
)

TARGET: Final = "FLIGHTSW"

_TYPES: Final = {"unsigned": "UINT", "signed": "INT", "float": "FLOAT", "choice": "UINT"}
_TELECOMMAND_HEADER: Final[Mapping[str, int]] = {
    "CCSDS_TYPE": 1, "CCSDS_SECONDARY_HEADER": 1, "CCSDS_SEQUENCE_FLAGS": 3, "PUS_VERSION": 2,
    "PUS_ACKS": 15,
}  # fmt: skip
_PUS_REQUEST: Final = (("VERSION", 4), ("ACKS", 4), ("SERVICE", 8), ("SUBTYPE", 8), ("SOURCE", 16))
_LARGEST: Final = 1.7976931348623157e308
_PLUGIN: Final = """\
# The plugin's part for this target: COSMOS connects to groundsim gateway.
VARIABLE gateway_host 127.0.0.1
VARIABLE gateway_port 5710
TARGET {target} {target}
INTERFACE {target}_INT openc3/interfaces/tcpip_client_interface.py \
<%= gateway_host %> <%= gateway_port %> <%= gateway_port %> 10.0 nil \
LENGTH 32 16 7 1 BIG_ENDIAN 0 nil nil true
  MAP_TARGET {target}
  PROTOCOL WRITE openc3/interfaces/protocols/crc_protocol.py CHECKSUM FALSE ERROR -16 16
"""


def cosmos(apid: int) -> dict[str, str]:
    """The files by their path below the plugin's folder."""
    folder = f"targets/{TARGET}"
    return {
        "plugin.txt": _PLUGIN.format(target=TARGET),
        f"{folder}/target.txt": "# Written by groundsim gateway --cosmos\n",
        f"{folder}/cmd_tlm/tlm.txt": "\n".join(_telemetry(apid)) + "\n",
        f"{folder}/cmd_tlm/cmd.txt": "\n".join(_telecommands(apid)) + "\n",
    }


def _telemetry(apid: int) -> Iterator[str]:
    for packet in telemetry():
        yield f"TELEMETRY {TARGET} {packet.name.upper()} BIG_ENDIAN {_quoted(packet.doc)}"
        same = {"CCSDS_APID": apid, "PUS_SERVICE": packet.service}
        if packet.subtype is not None:
            same["PUS_SUBTYPE"] = packet.subtype
        for field in (*PRIMARY_HEADER, *TELEMETRY_HEADER, *packet.fields, CHECKSUM):
            yield from _item(field, same.get(field.name, field.fixed))
        yield ""


def _item(field: Field, fixed: int | None) -> Iterator[str]:
    name, doc = field.name.upper(), _quoted(field.doc)
    if field.kind in ("text", "bytes"):
        yield f'  APPEND_ITEM {name}_LENGTH {field.bits} UINT "bytes that follow"'
        kind = "STRING" if field.kind == "text" else "BLOCK"
        yield f"  APPEND_ITEM {name} 0 {kind} {doc}"
        yield f"    VARIABLE_BIT_SIZE {name}_LENGTH"
        return
    if fixed is not None:
        yield f"  APPEND_ID_ITEM {name} {field.bits} UINT {fixed} {doc}"
        return
    yield f"  APPEND_ITEM {name} {field.bits} {_TYPES[field.kind]} {doc}"
    yield from _states(field)
    yield from _units(field)
    if field.limits:
        low, high = -_LARGEST, _LARGEST
        ordered = (
            field.limits.get("critical_low", low), field.limits.get("warning_low", low),
            field.limits.get("warning_high", high), field.limits.get("critical_high", high),
        )  # fmt: skip
        yield f"    LIMITS DEFAULT 1 ENABLED {' '.join(f'{value:.17g}' for value in ordered)}"


def _telecommands(apid: int) -> Iterator[str]:
    for packet in telecommands():
        yield f"COMMAND {TARGET} {packet.name} BIG_ENDIAN {_quoted(packet.doc)}"
        if packet.hazardous:
            yield '  HAZARDOUS "sent only if the gateway has --hazardous"'
        yield from _request_header(packet, apid)
        for field in packet.fields:
            yield from _parameter(field)
        yield '  APPEND_PARAMETER CHECKSUM 16 UINT 0 65535 0 "filled in by the interface"'
        yield ""


def _request_header(packet: PacketDefinition, apid: int) -> Iterator[str]:
    same = dict(_TELECOMMAND_HEADER) | {"CCSDS_APID": apid, "PUS_SERVICE": packet.service}
    same["PUS_SUBTYPE"] = packet.subtype or 0
    ids = ("CCSDS_APID", "PUS_SERVICE", "PUS_SUBTYPE")
    header: Iterable[tuple[str, int]] = (
        *((field.name, field.bits) for field in PRIMARY_HEADER),
        *((f"PUS_{name}", bits) for name, bits in _PUS_REQUEST),
    )
    for name, bits in header:
        value = same.get(name, 0)
        if name in ids:
            yield f"  APPEND_ID_PARAMETER {name} {bits} UINT {value} {value} {value}"
        else:
            yield f"  APPEND_PARAMETER {name} {bits} UINT 0 {2**bits - 1} {value}"


def _parameter(field: Field) -> Iterator[str]:
    name, doc = field.name.upper(), _quoted(field.doc)
    if field.fixed is not None:
        value = field.fixed
        yield f"  APPEND_ID_PARAMETER {name} {field.bits} UINT {value} {value} {value} {doc}"
        return
    if field.kind in ("text", "bytes"):
        kind = "STRING" if field.kind == "text" else "BLOCK"
        yield f'  APPEND_PARAMETER {name}_LENGTH {field.bits} UINT 0 65535 0 "bytes that follow"'
        yield f"  APPEND_PARAMETER {name} 0 {kind} {_quoted(_text(field.initial))} {doc}"
        yield f"    VARIABLE_BIT_SIZE {name}_LENGTH"
    else:
        low, high, value = _range(field)
        kind = f"{field.bits} {_TYPES[field.kind]} {low} {high} {value}"
        yield f"  APPEND_PARAMETER {name} {kind} {doc}"
    if field.initial is None:
        yield "    REQUIRED"
    yield from _states(field)
    yield from _units(field)


def _range(field: Field) -> tuple[Any, Any, Any]:
    """Lowest, highest and default value."""
    initial = field.initial
    if field.kind == "choice":
        values = list(field.numbers.values())
        chosen = values[0] if initial is None else field.numbers[initial]
        return min(values), max(values), chosen
    if field.kind == "float":
        low, high = field.low, field.high
        low = -_LARGEST if low is None else low
        high = _LARGEST if high is None else high
        if initial is not None and math.isnan(initial):
            return "NEG_INFINITY", "POS_INFINITY", "NEG_INFINITY"  # null: COSMOS knows no NaN
        return low, high, low if initial is None else initial
    low = -(2**63) if field.kind == "signed" else 0
    high = 2**63 - 1 if field.kind == "signed" else 2**field.bits - 1
    low = low if field.low is None else int(field.low)
    high = high if field.high is None else int(field.high)
    return low, high, low if initial is None else initial


def _states(field: Field) -> Iterator[str]:
    for label, number in field.numbers.items():
        yield f"    STATE {_quoted(label)} {number}"


def _units(field: Field) -> Iterator[str]:
    if field.unit:
        yield f"    UNITS {_quoted(field.unit)} {_quoted(field.unit)}"


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _quoted(text: str) -> str:
    """A word of the file: no line end, and only the quotation mark that does not enclose it."""
    words = " ".join(text.split())
    return f'"{words}"' if '"' not in words else "'{}'".format(words.replace("'", "`"))
