from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightsw.telemetry.redaction import plain
from telecommands.dictionary import Code


@pytest.mark.parametrize(
    "name",
    ["key", "mac", "secret", "telecommand_key", "curve_secret", "SECRET-KEY", "keys", "password"],
)
def test_what_is_named_like_a_secret_is_taken_out(name: str) -> None:
    assert plain({"a": [{name: "x", "kept": 1}]}) == {"a": [{"kept": 1}]}


@pytest.mark.parametrize("name", ["key_id", "key_file", "machine", "monkey", "keyboard"])
def test_other_names_stay(name: str) -> None:
    assert plain({name: "x"}) == {name: "x"}


def test_values_of_the_dictionary_stay_what_they_are() -> None:
    assert plain({"code": Code.BAD_MAC, "on": True, "none": None}) == {
        "code": "BAD_MAC",
        "on": True,
        "none": None,
    }


def test_what_holds_itself_ends() -> None:
    loop: dict[str, Any] = {}
    loop["again"] = loop
    assert "nested too deep" in json.dumps(plain(loop))


_ANYTHING = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.binary(),
        st.text(st.characters(codec=None)),
        st.dates(),
    ),
    lambda inner: st.one_of(
        st.lists(inner), st.dictionaries(st.one_of(st.text(), st.integers()), inner)
    ),
)


@given(_ANYTHING)
def test_json_and_msgpack_carry_every_outcome(value: Any) -> None:
    json.dumps(plain(value), allow_nan=False).encode()
    msgspec.msgpack.encode(plain(value))
