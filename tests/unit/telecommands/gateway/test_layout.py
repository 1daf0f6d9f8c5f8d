from __future__ import annotations

import math
import struct
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telecommands.dictionary import (
    PACKETS,
    TELECOMMANDS,
    Event,
    Housekeeping,
    ListJobs,
    ProcessScene,
    Record,
    SetMode,
    SetParameter,
    Severity,
    Topic,
)
from telecommands.gateway.layout import MOST_JSON, Layout, LayoutError, layout_of
from telecommands.gateway.leaves import leaves_of
from tests.unit.telecommands.gateway.samples import RECORDS, nested


@pytest.mark.parametrize("topic", PACKETS)
def test_every_leaf_of_every_packet_comes_back(topic: Topic) -> None:
    record = RECORDS[topic]
    layout = layout_of(type(record))
    content = layout.encode(record)
    found, end = layout.decode(content)
    assert end == len(content)
    counts = found.get("telecommands", {}).get("rejected_by_code")
    if counts is not None:  # a count that is absent is 0
        found["telecommands"]["rejected_by_code"] = {k: v for k, v in counts.items() if v}
    assert found == nested(record)
    assert msgspec.convert(found, type(record), strict=False) == record


@pytest.mark.parametrize("kind", [*PACKETS.values(), *TELECOMMANDS.values()])
def test_names_of_leaves_are_identifiers_that_differ(kind: type[Record]) -> None:
    names = [leaf.name for leaf in leaves_of(kind)]
    assert all(name.isidentifier() for name in names)
    assert len(set(names)) == len(names)


@given(kind=st.sampled_from([*PACKETS.values(), *TELECOMMANDS.values()]), content=st.binary())
def test_any_bytes_are_decoded_or_refused(kind: type[Record], content: bytes) -> None:
    with suppress(LayoutError):
        _, end = layout_of(kind).decode(content)
        assert end <= len(content)


@given(cut=st.integers(min_value=0, max_value=40))
def test_a_record_that_is_cut_short_names_the_leaf(cut: int) -> None:
    layout = layout_of(Event)
    content = layout.encode(RECORDS["evt"])
    with pytest.raises(LayoutError, match=r"is cut short"):
        layout.decode(content[: min(cut, len(content) - 1)])


def test_integers_are_signed_and_have_64_bits_and_choices_one_byte() -> None:
    record = Event(event="", severity=Severity.CRITICAL, message="", squelched=258)
    content = layout_of(Event).encode(record)
    assert content == b"\0\0" + b"\x05" + b"\0\0" + b"\0\x02{}" + struct.pack(">q", 258)


@pytest.mark.parametrize(
    ("field", "value"),
    [("threshold_percent", None), ("threshold_percent", 40), ("fusion", None), ("fusion", "blend"),
     ("buffer_m", None), ("buffer_m", 30.5), ("nodata", None), ("ground_sample_distance", 20),
     ("deadline", None), ("deadline", 0)],
)  # fmt: skip
def test_null_is_distinguished_from_every_value_of_an_argument(field: str, value: Any) -> None:
    layout = layout_of(ProcessScene)
    telecommand = msgspec.convert({"scene": "X.SAFE", field: value}, ProcessScene)
    found, _ = layout.decode(layout.encode(telecommand))
    assert found[field] == value


def test_a_number_that_is_not_finite_is_null_or_refused() -> None:
    layout = layout_of(ProcessScene)
    content = layout.encode(ProcessScene(scene="X", buffer_m=12.0))
    for number in (math.nan, math.inf, -math.inf):
        found, _ = layout.decode(
            content.replace(struct.pack(">d", 12.0), struct.pack(">d", number))
        )
        assert found["buffer_m"] is None
    with pytest.raises(LayoutError, match="period_s is nan, not a finite number"):
        layout_of(TELECOMMANDS["SET_HOUSEKEEPING_RATE"]).decode(struct.pack(">d", math.nan))


def test_a_number_without_a_member_is_refused() -> None:
    with pytest.raises(LayoutError, match="mode has no member with the number 77"):
        layout_of(SetMode).decode(b"\x4d")
    layout, record = layout_of(Housekeeping), RECORDS["hk"]
    content = layout.encode(record)
    other = layout.encode(msgspec.structs.replace(record, clock_trusted=False))
    (place,) = (at for at, (one, two) in enumerate(zip(content, other, strict=True)) if one != two)
    with pytest.raises(LayoutError, match="clock_trusted is 2, neither 0 nor 1"):
        layout.decode(content[:place] + b"\x02" + content[place + 1 :])


def test_json_that_is_too_long_is_left_out_and_its_length_given() -> None:
    record = Event(event="A", severity=Severity.CRITICAL, message="", fields={"x": "y" * MOST_JSON})
    found, _ = layout_of(Event).decode(layout_of(Event).encode(record))
    assert found["fields"] == {"bytes_left_out": MOST_JSON + len('{"x":""}')}


def test_lists_and_values_of_several_types_are_json() -> None:
    for record in (ListJobs(states=()), SetParameter(name="a", value=True)):
        layout = layout_of(type(record))
        found, _ = layout.decode(layout.encode(record))
        assert msgspec.convert(found, type(record)) == record
    with pytest.raises(LayoutError, match="value is not JSON"):
        layout_of(SetParameter).decode(b"\0\x01a" + b"\0\x01{")


def test_values_that_do_not_fit_are_refused() -> None:
    with pytest.raises(LayoutError, match="out of range"):
        layout_of(ListJobs).encode(ListJobs(limit=2**63))
    long = Event(event="", severity=Severity.CRITICAL, message="x" * 70_000)
    with pytest.raises(LayoutError, match="70000 bytes in one field"):
        layout_of(Event).encode(long)


def test_text_that_may_be_null_has_no_layout() -> None:
    class Uncertain(Record, frozen=True, kw_only=True):
        remark: str | None = None

    with pytest.raises(TypeError, match="remark may be None, for which text has no value"):
        Layout(Uncertain)
