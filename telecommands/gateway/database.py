"""Every packet of the gateway, field by field: what databases of ground systems are written from.

The records' fields come from :func:`~telecommands.gateway.leaves.leaves_of`, the list that encoder
and decoder follow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Final, Literal, TypeAlias

import msgspec

from telecommands.dictionary import (
    PACKETS,
    PARAMETERS,
    TELECOMMANDS,
    Parameter,
    Verification,
)
from telecommands.gateway.layout import layout_of, none_of
from telecommands.gateway.leaves import NONE_CHOICE, Leaf
from telecommands.gateway.packets import STATUS_STRUCTURE, Stamp
from telecommands.gateway.status import GatewayStatus
from telecommands.numbers import EVENTS as EVENT_NUMBERS
from telecommands.numbers import PACKETS as STRUCTURES
from telecommands.numbers import PARAMETERS as PARAMETER_NUMBERS
from telecommands.numbers import TELECOMMANDS as FUNCTIONS
from telecommands.numbers import numbers_of

FieldKind: TypeAlias = Literal["unsigned", "signed", "float", "choice", "text", "bytes"]


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a packet; ``bits`` of a text or bytes are those of the length before it.

    ``fixed`` is the value of a field that identifies the packet or that the sender does not choose;
    ``initial`` what a telecommand has unless the operator changes it, None if it must be given.
    """

    name: str
    kind: FieldKind
    bits: int
    numbers: Mapping[str, int] = {}
    unit: str = ""
    doc: str = ""
    low: float | None = None
    high: float | None = None
    limits: Mapping[str, float] = {}
    fixed: int | None = None
    initial: Any = None


class PacketDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """A packet after its two headers.  ``subtype`` None: all subtypes of the service."""

    name: str
    doc: str
    service: int
    subtype: int | None
    fields: tuple[Field, ...]
    hazardous: bool = False


PRIMARY_HEADER: Final = tuple(
    Field(name=f"CCSDS_{name}", kind="unsigned", bits=bits)
    for name, bits in (
        ("VERSION", 3), ("TYPE", 1), ("SECONDARY_HEADER", 1), ("APID", 11), ("SEQUENCE_FLAGS", 2),
        ("SEQUENCE_COUNT", 14), ("LENGTH", 16),
    )
)  # fmt: skip
TELEMETRY_HEADER: Final = tuple(
    Field(name=f"PUS_{name}", kind="unsigned", bits=bits)
    for name, bits in (
        ("VERSION", 4), ("TIME_STATUS", 4), ("SERVICE", 8), ("SUBTYPE", 8), ("COUNTER", 16),
        ("DESTINATION", 16), ("TIME_PREAMBLE", 8), ("TIME_SECONDS", 32), ("TIME_FRACTION", 24),
    )
)  # fmt: skip
_UNLISTED: Final = "UNLISTED"
"""Label of 0: an event that this release does not know."""
CHECKSUM: Final = Field(name="CHECKSUM", kind="unsigned", bits=16, doc="CRC-16-CCITT")
_REQUEST: Final = tuple(
    Field(name=f"REQUEST_{name}", kind="unsigned", bits=bits)
    for name, bits in (
        ("VERSION", 3), ("TYPE", 1), ("SECONDARY_HEADER", 1), ("APID", 11), ("SEQUENCE_FLAGS", 2),
        ("SEQUENCE_COUNT", 14),
    )
)  # fmt: skip

_REPORT: Final = Field(
    name="REPORT", kind="unsigned", bits=8, doc="subtype of the report, for its verifier alone"
)


def telemetry() -> Iterator[PacketDefinition]:
    """All packets that the gateway sends."""
    yield PacketDefinition(
        name="verification",
        doc="a stage of a telecommand of this gateway",
        service=1,
        subtype=None,
        fields=(*_REQUEST, _REPORT, *_stamp("tc"), *fields_of_record("tc_", Verification)),
    )
    for topic, kind in PACKETS.items():
        if topic == "evt":
            event = Field(
                name="EVENT_ID", kind="choice", bits=16, doc="event", numbers={
                    **EVENT_NUMBERS, _UNLISTED: 0,
                },
            )  # fmt: skip
            yield _report("evt", (kind.__doc__ or ""), 5, None, (event,), kind)
        else:
            name = topic.rpartition(".")[2]
            structure = _fixed("STRUCTURE_ID", 8, STRUCTURES[topic])
            yield _report(name, (kind.__doc__ or ""), 3, 25, (structure,), kind)
    structure = _fixed("STRUCTURE_ID", 8, STATUS_STRUCTURE)
    doc = GatewayStatus.__doc__ or ""
    yield _report("gateway", doc, 3, 25, (structure,), GatewayStatus)
    yield PacketDefinition(
        name="connection",
        doc="answer to a connection test",
        service=17,
        subtype=2,
        fields=_stamp("connection"),
    )
    for name, parameter in PARAMETERS.items():
        own = f"parameter_{_identifier(name)}"
        yield PacketDefinition(
            name=own,
            doc=parameter.doc,
            service=20,
            subtype=2,
            fields=(
                _fixed("PARAMETER_COUNT", 8, 1),
                _fixed("PARAMETER_ID", 16, PARAMETER_NUMBERS[name]),
                _value_field(own, parameter),
                *_stamp(own),
            ),
        )


def telecommands() -> Iterator[PacketDefinition]:
    """All packets that the gateway takes, but for schedule entries, which hold another one."""
    for name, kind in TELECOMMANDS.items():
        yield PacketDefinition(
            name=name,
            doc=_first_line(kind.__doc__ or ""),
            service=8,
            subtype=1,
            fields=(_fixed("FUNCTION_ID", 16, FUNCTIONS[name]), *_arguments(kind)),
            hazardous=kind.HAZARDOUS,
        )
    yield PacketDefinition(
        name="CONNECTION_TEST", doc="Check the link.", service=17, subtype=1, fields=()
    )
    yield PacketDefinition(
        name="REPORT_STRUCTURE",
        doc="Send the latest packet of a structure again.",
        service=3,
        subtype=27,
        fields=(_fixed("COUNT", 8, 1), _choice("structure", 8, STRUCTURES)),
    )
    yield PacketDefinition(
        name="SET_STRUCTURE_PERIOD",
        doc="Set the period of housekeeping packets.",
        service=3,
        subtype=31,
        fields=(
            _fixed("COUNT", 8, 1),
            _fixed("STRUCTURE_ID", 8, STRUCTURES["hk"]),
            Field(name="period_s", kind="float", bits=64, unit="s", low=0.1, high=3600.0),
        ),
    )
    yield PacketDefinition(
        name="DELETE_SCHEDULED",
        doc="Remove a scheduled telecommand, by the APID and sequence count that it was sent with.",
        service=11,
        subtype=5,
        fields=(
            _fixed("COUNT", 8, 1),
            _fixed("SOURCE_ID", 16, 0),
            Field(name="request_apid", kind="unsigned", bits=16, low=1, high=2046),
            Field(name="request_sequence_count", kind="unsigned", bits=16, low=0, high=16_383),
        ),
    )
    numbers = {_identifier(name): number for name, number in PARAMETER_NUMBERS.items()}
    yield PacketDefinition(
        name="REPORT_PARAMETER",
        doc="Report the value of a parameter.",
        service=20,
        subtype=1,
        fields=(_fixed("COUNT", 8, 1), _choice("parameter", 16, numbers)),
    )
    for name, parameter in PARAMETERS.items():
        yield PacketDefinition(
            name=f"SET_{_identifier(name)}",
            doc=f"Set the parameter {name}: {parameter.doc}.",
            service=20,
            subtype=3,
            fields=(
                _fixed("COUNT", 8, 1),
                _fixed("PARAMETER_ID", 16, PARAMETER_NUMBERS[name]),
                _value_field("value", parameter),
            ),
            hazardous=parameter.hazardous,
        )


def fields_of_record(prefix: str, kind: type[msgspec.Struct]) -> Iterator[Field]:
    """The fields of a record; those of text, bytes and JSON have their length before them."""
    for leaf in layout_of(kind).leaves:
        yield _field(prefix + leaf.name, leaf)


def _report(
    name: str,
    doc: str,
    service: int,
    subtype: int | None,
    prefix: tuple[Field, ...],
    kind: type[msgspec.Struct],
) -> PacketDefinition:
    return PacketDefinition(
        name=name,
        doc=_first_line(doc),
        service=service,
        subtype=subtype,
        fields=(*prefix, *_stamp(name), *fields_of_record(f"{name}_", kind)),
    )


def _stamp(name: str) -> tuple[Field, ...]:
    return tuple(fields_of_record(f"{name}_", Stamp))


def _field(name: str, leaf: Leaf) -> Field:
    numbers = dict(leaf.numbers)
    if leaf.kind == "truth":
        numbers = {"FALSE": 0, "TRUE": 1}
    if numbers and leaf.optional:
        numbers["NONE"] = NONE_CHOICE
    kind, bits = _ENCODINGS[leaf.kind]
    low, high = leaf.low, leaf.high
    if leaf.none is not None and low is not None:
        low = min(low, leaf.none)
    return Field(
        name=name,
        kind=kind,
        bits=bits,
        numbers=numbers,
        unit=leaf.unit,
        doc=leaf.doc,
        low=low,
        high=high,
        limits=leaf.limits,
    )


def _arguments(kind: type[msgspec.Struct]) -> Iterator[Field]:
    for leaf, field in zip(layout_of(kind).leaves, fields_of_record("", kind), strict=True):
        yield msgspec.structs.replace(field, initial=_initial(leaf, field.numbers))


def _initial(leaf: Leaf, numbers: Mapping[str, int]) -> Any:
    """The default in the form of the packet; None if the argument must be given."""
    default = leaf.default
    if default is msgspec.NODEFAULT:
        return "{}" if leaf.path[-1] == "args" else None
    if leaf.kind == "json":
        return msgspec.json.encode(default).decode()
    if isinstance(default, Enum):
        default = default.value
    if numbers:
        return (
            "NONE" if default is None else str(default).upper() if leaf.kind == "truth" else default
        )
    return none_of(leaf) if default is None else default


def _value_field(name: str, parameter: Parameter) -> Field:
    facts: dict[str, Any] = {"unit": parameter.unit, "doc": parameter.doc}
    if parameter.choices:
        return Field(
            name=name, kind="choice", bits=8, numbers=numbers_of(parameter.choices), **facts
        )
    if isinstance(parameter.default, bool):
        return Field(name=name, kind="choice", bits=8, numbers={"FALSE": 0, "TRUE": 1}, **facts)
    facts |= {"low": parameter.low, "high": parameter.high}
    if isinstance(parameter.default, float):
        return Field(name=name, kind="float", bits=64, **facts)
    return Field(name=name, kind="signed", bits=64, **facts)


def _fixed(name: str, bits: int, value: int) -> Field:
    return Field(name=name, kind="unsigned", bits=bits, fixed=value)


def _choice(name: str, bits: int, numbers: Mapping[str, int]) -> Field:
    return Field(name=name, kind="choice", bits=bits, numbers=numbers)


def _identifier(name: str) -> str:
    return name.replace(".", "_")


def _first_line(doc: str) -> str:
    return doc.partition("\n")[0].replace("``", "")


_ENCODINGS: Final[Mapping[str, tuple[FieldKind, int]]] = {
    "integer": ("signed", 64),
    "number": ("float", 64),
    "choice": ("choice", 8),
    "truth": ("choice", 8),
    "text": ("text", 16),
    "json": ("text", 16),
    "bytes": ("bytes", 16),
}
