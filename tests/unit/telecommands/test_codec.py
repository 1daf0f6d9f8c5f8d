from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from telecommands.codec import (
    check_frames,
    convert_arguments,
    decode_as,
    decode_body,
    decode_header,
    decode_packet,
    encode,
    encode_packet,
    read_label,
)
from telecommands.dictionary import (
    MAX_BODY_BYTES,
    MAX_DEPTH,
    MAX_HEADER_BYTES,
    PACKETS,
    TELECOMMANDS,
    Code,
    DownlinkRequest,
    Event,
    Ping,
    Progress,
    Severity,
    Stage,
    TelecommandBody,
    TelecommandHeader,
    Verification,
)
from telecommands.refusal import Refusal


def _body(args: bytes) -> bytes:
    """A body whose arguments are these bytes."""
    return b"\x84\xa2id\xa1a\xa4name\xa4PING\xa7sent_at\x01\xa4args" + args


def _nested(depth: int) -> dict[str, Any]:
    args: dict[str, Any] = {}
    for _ in range(depth):
        args = {"a": args}
    return args


def _refused(call: Any) -> Code:
    with pytest.raises(Refusal) as caught:
        call()
    assert caught.value.cause
    assert len(str(caught.value)) < 2000
    return caught.value.code


_HOSTILE = [
    b"\x81\xa1x\xdd\xff\xff\xff\xff",  # four billion elements announced
    b"\x81\xa1x" + b"\xdd\x04\x00\x00\x00" * 50,
    b"\x81\xa1x\xdf\xff\xff\xff\xff",
    b"\x81\xa1x\xc6\xff\xff\xff\xff",
    b"\x81\xa1x" + b"\x91" * 60_000 + b"\x01",  # 60,000 lists in one another
    b"\x81\xa1x" + b"\x81\xa1a" * 20_000 + b"\x01",
    b"\x81\xa1x\x81\x80\x01",  # a map as key
    b"\x81\xa1x\x81\x91\x91\x80\x01",
    b"\x81\xa1x\x81\xd4\x05\x01\x01",  # an extension as key
    b"\x81\xa1x\xc7\x0c\xff" + b"\xff" * 12,  # a time that is none
    b"\x81\xa1x\xc7\x0c\xff" + b"\x00" * 4 + b"\x7f" * 8,
    b"\x81\xa1x\xa1\xff",  # no UTF-8
    b"\x81\x01\x01",
    b"\x81\xa1x\xc1",
    b"\x80\x00",  # more after the end
    b"\x80\x80",
    b"\x81\xa1x\xdb\xff\xff\xff\xff",  # text of four gigabytes announced
    b"\x81\xa1x\xa3\xed\xa0\x80",  # a surrogate
    b"\x81\xa1\xff\x01",  # no UTF-8 in a key
    b"\x81\xc4\x01a\x01",  # binary as key
    b"\x81\xa1x\x81\xc4\x01a\x01",  # the same further in
    b"\x81\xa1x\x81\x01\x01",  # a number as key
    b"\x81\xa1x\x81\xcb\x7f\xf8" + b"\x00" * 6 + b"\x01",  # not a number as key
    b"\x81\xa1x\x91\x81\x91\x01\x01",  # an array as key
    b"\x81\xa1x\xd4\x05\x01",  # an extension
    b"\x81\xa1x\x91\xc7\x00\x05",  # an empty one, further in
    b"\x81\xa1x\xd6\xff\x00\x00\x00\x01",  # a time
    b"",
]


@pytest.mark.parametrize("args", _HOSTILE, ids=range(len(_HOSTILE)))
def test_hostile_arguments_are_refused(args: bytes) -> None:
    assert _refused(lambda: decode_body(_body(args))) is Code.MALFORMED


def test_of_a_repeated_key_the_last_value_counts() -> None:
    assert decode_body(_body(b"\x82\xa1x\x01\xa1x\x02")).args == {"x": 2}
    repeated = b"\x85\xa2id\xa1b" + _body(b"\x80")[1:]
    assert decode_body(repeated).id == "a"


@pytest.mark.parametrize("levels", [17, 511, 600])
def test_arrays_nested_too_deep_are_refused(levels: int) -> None:
    deep = _body(b"\x81\xa1x" + b"\x91" * levels + b"\x01")
    assert _refused(lambda: decode_body(deep)) is Code.OVERSIZED


def test_a_typed_field_does_not_follow_what_is_nested_in_it() -> None:
    deep = b"\x84\xa2id" + b"\x91" * 60_000 + b"\x01"
    assert _refused(lambda: decode_body(deep)) is Code.MALFORMED
    assert read_label(deep) == ("", "")


@given(st.binary(max_size=300), st.binary(max_size=300))
@example(b"\x94", b"\x91" * 60_000)
def test_bytes_of_any_kind_raise_nothing_but_refusals(first: bytes, second: bytes) -> None:
    for call in (
        lambda: check_frames([first, second]),
        lambda: decode_header(first),
        lambda: decode_body(second),
        lambda: decode_body(_body(second)),
        lambda: decode_packet(first, second),
        lambda: decode_packet(b"ver", second),
        lambda: decode_as(DownlinkRequest, second, "a request"),  # type: ignore[arg-type]
    ):
        with suppress(Refusal):  # and nothing else
            call()
    assert isinstance(read_label(second), tuple)


_anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(
    st.sampled_from([*TELECOMMANDS, "NO_SUCH", ""]),
    st.dictionaries(
        st.sampled_from(
            sorted({one for kind in TELECOMMANDS.values() for one in kind.__struct_fields__})
        ),
        _anything,
        max_size=4,
    ),
)
def test_arguments_of_any_kind_convert_or_are_refused(name: str, args: dict[str, Any]) -> None:
    sent = decode_body(encode(TelecommandBody(id="a", name=name or "x", args=args, sent_at=0)))
    with suppress(Refusal):  # and nothing else
        telecommand = convert_arguments(name, sent.args)
        assert type(telecommand) is TELECOMMANDS[name]
        assert convert_arguments(name, msgspec.to_builtins(telecommand)) == telecommand


def test_arguments_nested_as_deep_as_allowed_pass_and_deeper_ones_do_not() -> None:
    def sent(depth: int) -> bytes:
        return encode(TelecommandBody(id="a", name="PING", args=_nested(depth), sent_at=0))

    assert decode_body(sent(MAX_DEPTH)).args == _nested(MAX_DEPTH)
    assert _refused(lambda: decode_body(sent(MAX_DEPTH + 1))) is Code.OVERSIZED


@pytest.mark.parametrize("count", [0, 1, 3, 1000])
def test_a_telecommand_has_two_frames(count: int) -> None:
    assert _refused(lambda: check_frames([b"x"] * count)) is Code.MALFORMED


def test_frames_may_be_as_long_as_laid_down_and_no_longer() -> None:
    longest = (b"h" * MAX_HEADER_BYTES, b"b" * MAX_BODY_BYTES)
    assert check_frames(longest) == longest
    assert _refused(lambda: check_frames((longest[0] + b"h", b""))) is Code.OVERSIZED
    assert _refused(lambda: check_frames((b"", longest[1] + b"b"))) is Code.OVERSIZED


@pytest.mark.parametrize(
    "header",
    [
        [2, "u", "a", 1],
        [2, "u", "a", 1, b"m" * 32, 0],
        [True, "u", "a", 1, b"m" * 32],
        [2.0, "u", "a", 1, b"m" * 32],
        [2, "", "a", 1, b"m" * 32],
        [2, "u/v", "a", 1, b"m" * 32],
        [2, ".u", "a", 1, b"m" * 32],
        [2, "u" * 21, "a", 1, b"m" * 32],
        [2, "u", "", 1, b"m" * 32],
        [2, "u", "a/b", 1, b"m" * 32],
        [2, "u", "a\n", 1, b"m" * 32],
        [2, "u", "a" * 65, 1, b"m" * 32],
        [2, "u", "a", 0, b"m" * 32],
        [2, "u", "a", 2**62 + 1, b"m" * 32],
        [2, "u", "a", "1", b"m" * 32],
        [2, "u", "a", 1, b"m" * 31],
        [2, "u", "a", 1, b"m" * 33],
        {"version": 2, "unit": "u", "key_id": "a", "sequence": 1, "mac": b"m" * 32},
    ],
)
def test_a_header_has_five_fields_of_their_types_and_ranges(header: Any) -> None:
    assert _refused(lambda: decode_header(msgspec.msgpack.encode(header))) is Code.MALFORMED


@pytest.mark.parametrize("version", [0, 1, 3, 255, 2**40])
def test_another_version_is_refused(version: int) -> None:
    frame = encode(TelecommandHeader(version, "sat-a", "a", 1, b"m" * 32))
    assert _refused(lambda: decode_header(frame)) is Code.WRONG_VERSION


def test_a_header_of_version_1_is_refused_for_its_version() -> None:
    frame = msgspec.msgpack.encode([1, "a", 1, b"m" * 32])
    assert _refused(lambda: decode_header(frame)) is Code.WRONG_VERSION


@pytest.mark.parametrize(
    "change",
    [
        {"id": ""},
        {"id": "a b"},
        {"id": 1},
        {"name": ""},
        {"name": "x" * 65},
        {"args": []},
        {"args": {1: 1}},
        {"sent_at": -1},
        {"sent_at": 2**63},
        {"extra": 1},
    ],
)
def test_a_body_has_its_fields_no_others_of_their_types_and_ranges(change: dict[str, Any]) -> None:
    body = {"id": "a", "name": "PING", "args": {}, "sent_at": 1}
    decode_body(msgspec.msgpack.encode(body))
    frame = msgspec.msgpack.encode(body | change)
    assert _refused(lambda: decode_body(frame)) is Code.MALFORMED


def test_a_label_is_read_from_bodies_that_are_otherwise_wrong() -> None:
    assert read_label(msgspec.msgpack.encode({"id": "a", "name": "X", "extra": 1})) == ("a", "X")
    assert read_label(_body(b"\xc1")) == ("", "")
    assert read_label(msgspec.msgpack.encode({"id": "a\n", "name": "X"})) == ("", "")
    assert read_label(b"\x80") == ("", "")


@pytest.mark.parametrize(
    ("name", "args", "code"),
    [
        ("PING", {"x" * 60_000: 1}, Code.BAD_ARGUMENTS),
        ("PROCESS_SCENE", {}, Code.BAD_ARGUMENTS),
        ("PROCESS_SCENE", {"scene": "a", "products": []}, Code.BAD_ARGUMENTS),
        ("PROCESS_SCENE", {"scene": "a", "products": ["exe"]}, Code.BAD_ARGUMENTS),
        ("PROCESS_SCENE", {"scene": "a", "priority": 10}, Code.BAD_ARGUMENTS),
        ("PROCESS_SCENE", {"scene": "a", "priority": True}, Code.BAD_ARGUMENTS),
        ("PROCESS_SCENE", {"scene": "a", "ground_sample_distance": 30}, Code.BAD_ARGUMENTS),
        ("PROCESS_SCENE", {"scene": b"a"}, Code.BAD_ARGUMENTS),
        ("SET_HOUSEKEEPING_RATE", {"period_s": float("nan")}, Code.BAD_ARGUMENTS),
        ("OPEN_CONTACT", {"bytes": 1, "seconds": float("inf")}, Code.BAD_ARGUMENTS),
        ("OPEN_CONTACT", {"bytes": 1, "seconds": 0}, Code.BAD_ARGUMENTS),
        ("SET_PARAMETER", {"name": "x", "value": []}, Code.BAD_ARGUMENTS),
        ("SCHEDULE", {"at": 1, "telecommand": {"name": "PING", "x": 1}}, Code.BAD_ARGUMENTS),
        ("ping", {}, Code.UNKNOWN_TELECOMMAND),
    ],
)
def test_arguments_that_do_not_fit_are_refused_by_name(
    name: str, args: dict[str, Any], code: Code
) -> None:
    with pytest.raises(Refusal) as caught:
        convert_arguments(name, args)
    assert caught.value.code is code
    assert caught.value.cause.startswith(name)
    assert len(caught.value.cause) < 400


@pytest.mark.parametrize(
    ("name", "args", "cause"),
    [
        ("PING", {"x": 1}, "PING has no argument x; it has none"),
        ("GET_PARAMETER", {"nam": 1}, "GET_PARAMETER has no argument nam; valid are name"),
        ("PROCESS_SCENE", {}, "PROCESS_SCENE needs the argument scene"),
        (
            "PROCESS_SCENE",
            {"scene": "a", "offset": 5.0},
            "PROCESS_SCENE got offset = 5.0, which is not a number from -10000 to 0",
        ),
        (
            "PROCESS_SCENE",
            {"scene": "a", "bounds": [11.0, "b"]},
            "PROCESS_SCENE got bounds = [11.0, 'b'], which is not a list of a number from -360 to",
        ),
        (
            "PROCESS_SCENE",
            {"scene": "a", "ground_sample_distance": 15},
            "PROCESS_SCENE got ground_sample_distance = 15, which is not one of 10, 20, 40",
        ),
        (
            "CANCEL_JOB",
            {"job": "a b"},
            "CANCEL_JOB got job = 'a b', which is not text of 1 to 64 characters that matches ^[A",
        ),
        ("SCHEDULE", {"at": 1, "telecommand": {}}, "SCHEDULE needs the argument telecommand.name"),
        (
            "SCHEDULE",
            {"at": 1, "telecommand": {"name": 5}},
            "SCHEDULE got telecommand.name = 5, which is not text of 1 to 64 characters",
        ),
    ],
)
def test_the_cause_of_a_refusal_names_the_argument_its_value_and_valid_values(
    name: str, args: dict[str, Any], cause: str
) -> None:
    with pytest.raises(Refusal) as caught:
        convert_arguments(name, args)
    assert caught.value.cause.startswith(cause)


def test_arguments_left_out_have_their_defaults() -> None:
    assert convert_arguments("PING", {}) == Ping()
    assert convert_arguments("PROCESS_SCENE", {"scene": "a"}).products == ("geotiff", "report")  # type: ignore[attr-defined]


@given(st.integers(1, 2**31), st.integers(1, 2**53), st.integers(0, 2**63 - 1), st.text())
def test_packets_come_back_as_they_were_sent(boot: int, sequence: int, t: int, text: str) -> None:
    for topic, body in (
        ("ver", Verification(id="a", name="X", stage=Stage.FAILED, at=t, code=Code.MISSED)),
        ("evt", Event(event="E", severity=Severity.CRITICAL, message=text, fields={"x": [text]})),
        ("sci.progress", Progress(job="J", scene=text, rows_done=1, rows=2, elapsed_s=0.5)),
    ):
        frames = encode_packet(topic, body, unit="sat-a", boot=boot, sequence=sequence, t=t)  # type: ignore[arg-type]
        packet, read = decode_packet(*frames)
        assert read == body
        assert (packet.boot, packet.seq, packet.t) == (boot, sequence, t)
        assert packet.kind == type(body).__name__


def test_packets_of_another_topic_version_or_type_are_refused() -> None:
    topic, frame = encode_packet(
        "ver",
        Verification(id="a", name="X", stage=Stage.FAILED, at=0),
        unit="sat-a",
        boot=1,
        sequence=1,
        t=0,
    )
    assert _refused(lambda: decode_packet(b"no", frame)) is Code.MALFORMED
    assert _refused(lambda: decode_packet(b"\xff", frame)) is Code.MALFORMED
    assert _refused(lambda: decode_packet(b"evt", frame)) is Code.MALFORMED
    for version in (1, 3):
        other = msgspec.msgpack.encode(msgspec.msgpack.decode(frame) | {"v": version})
        assert _refused(lambda other=other: decode_packet(topic, other)) is Code.WRONG_VERSION
    assert set(PACKETS) == {"ver", "hk", "evt", "sci.cloud_fraction", "sci.progress"}
