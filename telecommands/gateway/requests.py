"""PUS-C requests as telecommands of the dictionary.  No socket, no clock.

Services: 3 (one-shot reports, period), 8 (all telecommands), 11 (insert, delete), 17 (test) and 20
(parameters).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from spacepackets.ecss.tc import InvalidTcCrc16Error, PusTc
from spacepackets.exceptions import BytesTooShortError

from telecommands.dictionary import (
    PARAMETERS,
    TELECOMMANDS,
    GetParameter,
    Ping,
    ReportLatest,
    Schedule,
    SetHousekeepingRate,
    SetParameter,
    Unschedule,
)
from telecommands.gateway.framing import HEADER_BYTES
from telecommands.gateway.layout import LayoutError, layout_of
from telecommands.gateway.packets import value_format
from telecommands.gateway.status import Fault
from telecommands.gateway.times import LENGTH, read_time_code
from telecommands.ground.commanding import check_arguments
from telecommands.ground.errors import UsageError
from telecommands.numbers import PACKETS, numbers_of
from telecommands.numbers import PARAMETERS as PARAMETER_NUMBERS
from telecommands.numbers import TELECOMMANDS as FUNCTIONS

REQUEST_ID_BYTES: Final = 4

_MAP: Final = "Use the packet definitions that groundsim gateway --xtce writes"
_INSERTION: Final = (11, 4)
_LEAST_BYTES: Final = HEADER_BYTES + 5 + 2
_NAMES_OF_FUNCTIONS: Final = {number: name for name, number in FUNCTIONS.items()}
_NAMES_OF_PARAMETERS: Final = {number: name for name, number in PARAMETER_NUMBERS.items()}
_TOPICS: Final = {number: topic for topic, number in PACKETS.items()}


class Rejection(Exception):  # noqa: N818 - an answer, not a fault of the gateway
    """A request that is not sent: the kind of fault, cause and cure for its sender.

    ``inner`` is the id of the telecommand that the request would have scheduled, if it is known.
    """

    def __init__(self, fault: Fault, cause: str, cure: str = _MAP, inner: bytes = b"") -> None:
        self.fault: Fault = fault
        self.cause = cause
        self.cure = cure
        self.inner = inner
        super().__init__(fault, cause, cure)


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A telecommand to send.  ``id`` is the PUS request id, ``acks`` the reports of success wanted.

    ``inner`` is the request that an insertion schedules, with ``inner_acks``; ``entry_of`` the one
    whose schedule entry is to be removed: the caller gives its entry's id.
    """

    id: bytes
    service: int
    subtype: int
    acks: int
    name: str
    args: dict[str, Any]
    inner: bytes = b""
    inner_acks: int = 0
    entry_of: bytes = b""


def request_id(raw: bytes) -> bytes:
    """Packet id and sequence control of a packet."""
    return raw[:REQUEST_ID_BYTES]


def read_request(raw: bytes, apid: int, *, hazardous: bool) -> Request:
    """The telecommand that a whole packet asks for.

    ``hazardous``: whether hazardous telecommands are allowed.  Raises :class:`Rejection`.
    """
    request = _read(raw, apid)
    try:
        is_hazardous = not request.entry_of and check_arguments(request.name, request.args)
    except UsageError as error:
        raise Rejection("BAD_ARGUMENTS", error.sentence, error.cure, request.inner) from error
    if is_hazardous and not hazardous:
        cause = f"{request.name} is hazardous, which this gateway does not send"
        cure = "Start it with --hazardous, or use groundsim send"
        raise Rejection("HAZARDOUS", cause, cure, request.inner)
    return request


def _read(raw: bytes, apid: int) -> Request:
    packet = _unpack(raw, apid)
    service, data = (packet.service, packet.message_subtype), bytes(packet.app_data)
    reader = _READERS.get(service)
    if reader is None:
        cause = f"service {service[0]}, subtype {service[1]} is not offered"
        raise Rejection("UNKNOWN_SERVICE", cause)
    inner = request_id(data[2 + LENGTH :]) if service == _INSERTION else b""
    try:
        fields = reader(data, apid)
    except Rejection as rejection:  # of the telecommand inside an insertion
        raise Rejection(rejection.fault, rejection.cause, rejection.cure, inner) from rejection
    except (struct.error, IndexError) as error:
        cause = f"the data of service {service[0]}, subtype {service[1]} are cut short"
        raise Rejection("MALFORMED", cause, inner=inner) from error
    except (LayoutError, ValueError) as error:
        raise Rejection("BAD_ARGUMENTS", f"the data are wrong: {error}", inner=inner) from error
    return Request(
        id=request_id(raw),
        service=service[0],
        subtype=service[1],
        acks=packet.pus_tc_sec_header.ack_flags,
        **fields,
    )


def _unpack(raw: bytes, apid: int) -> PusTc:
    if len(raw) < _LEAST_BYTES:
        raise Rejection("MALFORMED", f"the packet has {len(raw)} bytes, fewer than {_LEAST_BYTES}")
    found = int.from_bytes(raw[:2], "big") & 0x7FF
    if found != apid:
        raise Rejection("WRONG_APID", f"the APID is {found}, not {apid}", "Send to the unit's APID")
    try:
        return PusTc.unpack(raw)
    except InvalidTcCrc16Error as error:
        raise Rejection(
            "WRONG_CHECKSUM", "the checksum (CRC-16) is wrong", "Send it again"
        ) from error
    except (BytesTooShortError, ValueError) as error:
        raise Rejection("MALFORMED", f"the packet is not a PUS-C telecommand: {error}") from error


# Each reads the data of one request into fields of a Request.
_Fields = dict[str, Any]


def _function(data: bytes, _: int) -> _Fields:
    (number,) = struct.unpack_from(">H", data)
    name = _NAMES_OF_FUNCTIONS.get(number)
    if name is None:
        raise ValueError(f"function {number} does not exist")
    kind = TELECOMMANDS[name]
    layout = layout_of(kind)
    args, end = layout.decode(data, 2)
    _check_end(data, end)
    given = {leaf.path[0] for leaf in layout.leaves if leaf.default is msgspec.NODEFAULT}
    args = {key: value for key, value in args.items() if value is not None or key in given}
    return {"name": name, "args": _without_empty(args)}


def _without_empty(args: Mapping[str, Any]) -> dict[str, Any]:
    """A structure's own map may be left empty, which is read as null."""
    return {
        key: {one: {} if content is None else content for one, content in value.items()}
        if key == "telecommand"
        else value
        for key, value in args.items()
    }


def _connection_test(data: bytes, _: int) -> _Fields:
    _check_end(data, 0)
    return {"name": Ping.NAME, "args": {}}


def _one_shot(data: bytes, _: int) -> _Fields:
    """TC(3,27): the latest packet of each structure."""
    count, numbers = data[0], data[1:]
    _check_end(numbers, count)
    topics = []
    for number in numbers:
        if number not in _TOPICS:
            raise ValueError(f"structure {number} does not exist")
        topics.append(_TOPICS[number])
    if not topics:
        raise ValueError("no structure is given")
    return {"name": ReportLatest.NAME, "args": {"topics": topics}}


def _period(data: bytes, _: int) -> _Fields:
    """TC(3,31): the period in seconds, as a float of 64 bits; only housekeeping has one."""
    count, number, seconds = struct.unpack_from(">BBd", data)
    _check_end(data, struct.calcsize(">BBd"))
    if (count, _TOPICS.get(number)) != (1, "hk"):
        raise ValueError(f"only the period of structure {PACKETS['hk']} can be set")
    return {"name": SetHousekeepingRate.NAME, "args": {"period_s": seconds}}


def _insertion(data: bytes, apid: int) -> _Fields:
    """TC(11,4): sub-schedule, number, then time and telecommand."""
    if data[1] != 1:
        raise ValueError(f"{data[1]} activities are inserted; insert them one by one")
    at = read_time_code(data[2 : 2 + LENGTH])
    inner = _read(data[2 + LENGTH :], apid)
    if inner.service == 11:
        raise ValueError("a schedule entry cannot change the schedule")
    telecommand = {"name": inner.name, "args": inner.args}
    return {
        "name": Schedule.NAME,
        "args": {"at": at, "telecommand": telecommand},
        "inner": inner.id,
        "inner_acks": inner.acks,
    }


def _deletion(data: bytes, _: int) -> _Fields:
    """TC(11,5): number, then source id, APID and sequence count of the inserted telecommand."""
    count, _source, apid, sequence = struct.unpack_from(">BHHH", data)
    _check_end(data, struct.calcsize(">BHHH"))
    if count != 1:
        raise ValueError(f"{count} activities are deleted; delete them one by one")
    inner = struct.pack(">HH", 0x1800 | (apid & 0x7FF), 0xC000 | (sequence & 0x3FFF))
    return {"name": Unschedule.NAME, "args": {}, "entry_of": inner}


def _parameter_query(data: bytes, _: int) -> _Fields:
    """TC(20,1): one parameter; none for all."""
    count = data[0]
    numbers = struct.unpack_from(f">{count}H", data, 1)
    _check_end(data, 1 + 2 * count)
    if count > 1:
        raise ValueError(f"{count} parameters are asked for; ask for one, or for none to get all")
    return {"name": GetParameter.NAME, "args": {"name": _parameter(numbers[0]) if count else ""}}


def _parameter_setting(data: bytes, _: int) -> _Fields:
    """TC(20,3): one parameter with its value."""
    count, number = struct.unpack_from(">BH", data)
    if count != 1:
        raise ValueError(f"{count} parameters are set; set them one by one")
    name = _parameter(number)
    parameter = PARAMETERS[name]
    (value,) = struct.unpack_from(value_format(parameter), data, 3)
    _check_end(data, 3 + struct.calcsize(value_format(parameter)))
    if parameter.choices:
        members = {number: member for member, number in numbers_of(parameter.choices).items()}
        if value not in members:
            raise ValueError(f"{name} has no choice with the number {value}")
        value = members[value]
    elif isinstance(parameter.default, bool):
        value = bool(value)
    return {"name": SetParameter.NAME, "args": {"name": name, "value": value}}


def _parameter(number: int) -> str:
    name = _NAMES_OF_PARAMETERS.get(number)
    if name is None:
        raise ValueError(f"parameter {number} does not exist")
    return name


def _check_end(data: bytes, end: int) -> None:
    if len(data) != end:
        raise ValueError(f"they have {len(data)} bytes, not {end}")


_READERS: Final[Mapping[tuple[int, int], Callable[[bytes, int], _Fields]]] = {
    (3, 27): _one_shot,
    (3, 31): _period,
    (8, 1): _function,
    _INSERTION: _insertion,
    (11, 5): _deletion,
    (17, 1): _connection_test,
    (20, 1): _parameter_query,
    (20, 3): _parameter_setting,
}
