from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telecommands.auth import (
    AHEAD,
    WINDOW,
    SequenceWindow,
    TelecommandKey,
    mac,
    sign,
    verify,
)
from telecommands.codec import decode_body, decode_header
from telecommands.dictionary import VERSION, Code, TelecommandBody, TelecommandHeader
from telecommands.refusal import Refusal

KEY = TelecommandKey("ground", bytes(range(32)))
UNIT = "sat-a"
BODY = TelecommandBody(id="a", name="PING", sent_at=1)

_NUMBERS = st.lists(
    st.one_of(
        st.integers(1, 3000),  # close together
        st.integers(1, 2**62),
        st.sampled_from([n + d for n in (WINDOW, 2 * WINDOW, AHEAD) for d in (-1, 0, 1)]),
    ),
    max_size=200,
)


class SetModel:
    """The rule of the window in its plainest form: every number ever used, in a set."""

    def __init__(self) -> None:
        self.used: set[int] = set()

    def take(self, sequence: int) -> Code | None:
        highest = max(self.used, default=0)
        if not highest - WINDOW < sequence <= highest + AHEAD:
            return Code.OUT_OF_WINDOW
        if sequence in self.used:
            return Code.REPLAYED
        self.used.add(sequence)
        return None


@given(_NUMBERS)
def test_the_window_takes_and_refuses_what_a_set_of_all_numbers_would(numbers: list[int]) -> None:
    window, model = SequenceWindow(), SetModel()
    for sequence in numbers:
        expected = model.take(sequence)
        if expected:
            with pytest.raises(Refusal) as caught:
                window.take(sequence)
            assert caught.value.code is expected
            assert caught.value.data == {"highest": window.highest}
        else:
            window = window.take(sequence)
            assert window.highest == max(model.used)
        assert window.seen < 1 << WINDOW


@given(st.permutations(range(1, 65)))
def test_whatever_the_order_of_close_numbers_each_passes_once(numbers: list[int]) -> None:
    window = SequenceWindow()
    for sequence in numbers:
        window = window.take(sequence)
    for sequence in numbers:
        with pytest.raises(Refusal) as caught:
            window.take(sequence)
        assert caught.value.code is Code.REPLAYED


def test_the_code_is_computed_as_the_interface_lays_it_down() -> None:
    signed = b"\x02" + (7).to_bytes(8, "big") + b"\x00\x05sat-a\x00\x06ground" + b"body"
    assert mac(KEY, 2, "sat-a", 7, b"body") == hmac.new(KEY.secret, signed, hashlib.sha256).digest()


@given(st.integers(1, 2**62), st.text(max_size=20), st.binary(min_size=32, max_size=32))
def test_what_is_signed_is_read_and_verified(sequence: int, argument: str, secret: bytes) -> None:
    key = TelecommandKey("k", secret)
    body = TelecommandBody(id="a", name="PING", args={"x": argument}, sent_at=0)
    header_frame, body_frame = sign(key, UNIT, sequence, body)
    header = decode_header(header_frame)
    assert header.version == VERSION
    assert (header.unit, header.key_id, header.sequence) == (UNIT, "k", sequence)
    verify(header, body_frame, key)
    assert decode_body(body_frame) == body


@given(st.data())
def test_a_changed_bit_anywhere_in_the_body_is_noticed(data: st.DataObject) -> None:
    header_frame, body = sign(KEY, UNIT, 1, BODY)
    bit = data.draw(st.integers(0, len(body) * 8 - 1))
    changed = bytearray(body)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Refusal) as caught:
        verify(decode_header(header_frame), bytes(changed), KEY)
    assert caught.value.code is Code.BAD_MAC


@pytest.mark.parametrize(
    "claimed",
    [
        {"sequence": 2},
        {"version": 1},
        {"unit": "sat-b"},
        {"mac": b"\0" * 32},
    ],
)
def test_a_changed_header_is_noticed(claimed: dict[str, object]) -> None:
    header_frame, body = sign(KEY, UNIT, 1, BODY)
    header = decode_header(header_frame)
    fields = {name: getattr(header, name) for name in header.__struct_fields__} | claimed
    with pytest.raises(Refusal) as caught:
        verify(TelecommandHeader(**fields), body, KEY)
    assert caught.value.code is Code.BAD_MAC


def test_the_key_id_is_part_of_what_is_signed() -> None:
    renamed = TelecommandKey("other", KEY.secret)
    assert mac(KEY, 2, UNIT, 1, b"") != mac(renamed, 2, UNIT, 1, b"")


def test_a_key_does_not_show_its_secret() -> None:
    for shown in (repr(KEY), str(KEY), f"{KEY}", f"{[KEY]}"):
        assert shown.strip("[]") == "TelecommandKey('ground')"
