from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telecommands.dictionary import PARAMETERS, TELECOMMANDS
from telecommands.gateway.packets import encode_value
from telecommands.gateway.requests import Rejection, Request, read_request
from telecommands.gateway.times import time_code
from telecommands.numbers import PARAMETERS as NUMBERS
from tests.unit.telecommands.gateway.samples import APID, NOW, function, insertion, request

_LATER = NOW // 10**9 * 10**9
_ARGUMENTS: dict[str, dict[str, Any]] = {
    "PROCESS_SCENE": {"scene": "X.SAFE", "products": ["mask"], "stop_above": 0.5},
    "CANCEL_JOB": {"job": "job-1"},
    "SET_MODE": {"mode": "SAFE"},
    "SET_PARAMETER": {"name": "processing.fusion", "value": "blend"},
    "SET_HOUSEKEEPING_RATE": {"period_s": 2.0},
    "ARM": {"telecommand": {"name": "SET_MODE", "args": {"mode": "SAFE"}}},
    "SCHEDULE": {"at": _LATER, "telecommand": {"name": "PING", "args": {}}, "if_missed": "run"},
    "UNSCHEDULE": {"entry": "e1"},
    "HOLD_PRODUCT": {"product": "p1"},
    "RELEASE_PRODUCT": {"product": "p1"},
    "PRIORITISE_PRODUCT": {"product": "p1", "priority": 9},
    "DELETE_PRODUCT": {"product": "p1"},
    "OPEN_CONTACT": {"bytes": 10**9, "seconds": 60.0},
    "STAGE_MODEL": {"package": "m", "sha256": "0" * 64},
    "ACTIVATE_MODEL": {"model": "m"},
    "BEGIN_UPLINK": {"name": "m", "size": 9, "sha256": "0" * 64},
    "UPLINK_CHUNK": {"name": "m", "offset": 0, "data": b"package"},
    "END_UPLINK": {"name": "m"},
    "DELETE_UPLINK": {"name": "m"},
    "ROTATE_KEY": {"public": "a" * 40, "nonce": "0" * 32, "secret": "1" * 64, "old_until": NOW},
}


def _read(raw: bytes, *, hazardous: bool = True) -> Request:
    return read_request(raw, APID, hazardous=hazardous)


@pytest.mark.parametrize("name", TELECOMMANDS)
def test_every_telecommand_is_a_function_of_service_8(name: str) -> None:
    args = _ARGUMENTS.get(name, {})
    found = _read(function(name, **args))
    kind = TELECOMMANDS[name]
    assert found.name == name
    assert msgspec.convert(found.args, kind) == msgspec.convert(args, kind)


@pytest.mark.parametrize("name", ["SET_MODE", "DELETE_PRODUCT", "SHUT_DOWN"])
def test_a_hazardous_telecommand_is_rejected_unless_the_gateway_allows_it(name: str) -> None:
    raw = function(name, **_ARGUMENTS.get(name, {}))
    with pytest.raises(Rejection, match="is hazardous") as caught:
        _read(raw, hazardous=False)
    assert caught.value.fault == "HAZARDOUS"
    assert _read(raw).name == name


def test_hazards_inside_other_requests_count_too() -> None:
    inner = function("SET_MODE", mode="SAFE", count=9)
    number = struct.pack(">BH", 1, NUMBERS["fdir.hot_c"]) + struct.pack(">d", 90.0)
    for raw in (insertion(_LATER, inner), request(20, 3, number)):
        with pytest.raises(Rejection, match="is hazardous"):
            _read(raw, hazardous=False)
    with pytest.raises(Rejection) as caught:
        _read(insertion(_LATER, inner), hazardous=False)
    assert caught.value.inner == inner[:4]


def test_an_insertion_schedules_the_telecommand_inside_it() -> None:
    inner = function("PING", count=9)
    found = _read(insertion(_LATER, inner))
    assert found.name == "SCHEDULE"
    assert found.args == {"at": _LATER, "telecommand": {"name": "PING", "args": {}}}
    assert (found.inner, found.inner_acks) == (inner[:4], 15)


@pytest.mark.parametrize("cut", [0, 3])
def test_what_is_wrong_with_an_insertion_rejects_the_telecommand_inside_it(cut: int) -> None:
    inner = function("PING", count=9)
    data = b"\x01\x01" + (bytes(8) if not cut else time_code(_LATER)) + inner[: len(inner) - cut]
    with pytest.raises(Rejection) as caught:
        _read(request(11, 4, data))
    assert caught.value.inner == inner[:4]


def test_a_deletion_names_the_telecommand_that_was_inserted() -> None:
    inner = function("PING", count=9)
    found = _read(request(11, 5, struct.pack(">BHHH", 1, 0, APID, 9)))
    assert (found.name, found.entry_of) == ("UNSCHEDULE", inner[:4])


def test_the_other_services_become_telecommands() -> None:
    assert _read(request(17, 1)).name == "PING"
    assert _read(request(3, 27, b"\x02\x02\x04")).args == {"topics": ["hk", "sci.cloud_fraction"]}
    found = _read(request(3, 31, struct.pack(">BBd", 1, 2, 2.5)))
    assert (found.name, found.args) == ("SET_HOUSEKEEPING_RATE", {"period_s": 2.5})
    assert _read(request(20, 1, b"\0")).args == {"name": ""}
    assert _read(request(20, 1, b"\x01\x00\x06")).args == {"name": "processing.fusion"}


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_parameter_can_be_set_by_its_number(name: str) -> None:
    value = PARAMETERS[name].default
    data = struct.pack(">BH", 1, NUMBERS[name]) + encode_value(PARAMETERS[name], value)
    found = _read(request(20, 3, data))
    assert (found.name, found.args) == ("SET_PARAMETER", {"name": name, "value": value})


@pytest.mark.parametrize(
    ("raw", "fault", "cause"),
    [
        (request(17, 1, apid=7), "WRONG_APID", "the APID is 7, not 100"),
        (request(17, 1)[:-1] + b"\x00", "WRONG_CHECKSUM", "checksum"),
        (request(17, 1)[:8], "MALFORMED", "has 8 bytes, fewer than 13"),
        (b"\x18\x64\xc0\x00\x00\x06" + bytes(7), "MALFORMED", "not a PUS-C telecommand"),
        (request(6, 2), "UNKNOWN_SERVICE", "service 6, subtype 2 is not offered"),
        (request(8, 1), "MALFORMED", "cut short"),
        (request(8, 1, b"\xff\xff"), "BAD_ARGUMENTS", "function 65535 does not exist"),
        (request(8, 1, b"\0\x01\0"), "BAD_ARGUMENTS", "they have 3 bytes, not 2"),
        (request(8, 1, b"\0\x03\0\x09job"), "BAD_ARGUMENTS", "job is cut short"),
        (request(8, 1, b"\0\x03\0\0"), "BAD_ARGUMENTS", "job"),
        (request(17, 1, b"x"), "BAD_ARGUMENTS", "they have 1 bytes, not 0"),
        (request(3, 27, b""), "MALFORMED", "cut short"),
        (request(3, 27, b"\0"), "BAD_ARGUMENTS", "no structure is given"),
        (request(3, 27, b"\x01\x63"), "BAD_ARGUMENTS", "structure 99 does not exist"),
        (request(3, 31, struct.pack(">BBd", 1, 4, 2)), "BAD_ARGUMENTS", "only the period"),
        (request(3, 31, struct.pack(">BBd", 1, 2, 0)), "BAD_ARGUMENTS", "period_s"),
        (request(11, 4, b"\1"), "MALFORMED", "cut short"),
        (request(11, 4, b"\1\2" + bytes(30)), "BAD_ARGUMENTS", "one by one"),
        (request(11, 4, b"\1\1" + bytes(30)), "BAD_ARGUMENTS", "not a time code"),
        (insertion(_LATER, function("PING")[:-1]), "MALFORMED", "not a PUS-C"),
        (insertion(_LATER, insertion(_LATER, function("PING"))), "BAD_ARGUMENTS", "the schedule"),
        (request(11, 5, struct.pack(">BHHH", 2, 0, APID, 9)), "BAD_ARGUMENTS", "one by one"),
        (request(20, 1, b"\2\0\1\0\2"), "BAD_ARGUMENTS", "ask for one"),
        (request(20, 1, b"\1\xff\xff"), "BAD_ARGUMENTS", "parameter 65535 does not exist"),
        (request(20, 3, b"\2\0\1"), "BAD_ARGUMENTS", "one by one"),
        (request(20, 3, b"\1\0\6\x63"), "BAD_ARGUMENTS", "no choice with the number 99"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_request_is_named(raw: bytes, fault: str, cause: str) -> None:
    with pytest.raises(Rejection) as caught:
        _read(raw)
    assert caught.value.fault == fault
    assert cause in caught.value.cause
    assert caught.value.cure


@given(data=st.binary(max_size=80), service=st.sampled_from([3, 8, 11, 17, 20]),
       subtype=st.sampled_from([1, 3, 4, 5, 27, 31]))  # fmt: skip
def test_any_data_are_read_or_rejected(data: bytes, service: int, subtype: int) -> None:
    with suppress(Rejection):
        found = _read(request(service, subtype, data))
        assert found.name in TELECOMMANDS


@given(raw=st.binary(max_size=60))
def test_any_packet_is_read_or_rejected(raw: bytes) -> None:
    with pytest.raises(Rejection):
        _read(raw)
