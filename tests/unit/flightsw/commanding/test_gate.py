from __future__ import annotations

from pathlib import Path

import pytest

from flightsw.commanding.gate import Gate
from flightsw.state import StateFile
from telecommands.auth import AHEAD, SECRET_BYTES, WINDOW, TelecommandKey, sign
from telecommands.codec import encode
from telecommands.dictionary import MAX_BODY_BYTES, Code, Role, TelecommandBody, TelecommandHeader
from telecommands.refusal import Refusal
from tests.unit.flightsw.commanding.harness import KEY, UNIT, Harness

OTHER = TelecommandKey("other", b"o" * 32)


def _frames(
    sequence: int, key: TelecommandKey = KEY, name: str = "PING", id_: str = "x"
) -> tuple[bytes, bytes]:
    return sign(key, UNIT, sequence, TelecommandBody(id=id_, name=name, sent_at=0))


def _gate(state: StateFile, rate: float = 1000) -> Gate:
    keys = {key.key_id: (key,) for key in (KEY, OTHER)}
    return Gate(state, UNIT, lambda: keys, lambda _key_id, _role: True, lambda: rate)


def _code(gate: Gate, frames: tuple[bytes, ...], monotonic: float = 0) -> Code | None:
    try:
        gate.admit(frames, monotonic)
    except Refusal as refusal:
        return refusal.code
    return None


def test_an_authentic_fresh_telecommand_is_admitted(harness: Harness) -> None:
    admitted = harness.gate.admit(_frames(7), 0)
    assert (admitted.key_id, admitted.sequence, admitted.body.id) == ("ground", 7, "x")


def test_each_refusal_has_its_code_and_uses_up_no_sequence_number(harness: Harness) -> None:
    header, body = _frames(1)
    version = encode(TelecommandHeader(1, UNIT, "ground", 1, b"m" * 32))
    for frames, code in [
        ((header,), Code.MALFORMED),
        ((header, body, b""), Code.MALFORMED),
        ((header[:-1], body), Code.MALFORMED),
        ((header + b"\0", body), Code.MALFORMED),
        ((b"h" * 257, body), Code.OVERSIZED),
        ((header, b"b" * (MAX_BODY_BYTES + 1)), Code.OVERSIZED),
        ((version, body), Code.WRONG_VERSION),
        (_frames(1, TelecommandKey("nobody", b"n" * 32)), Code.UNKNOWN_KEY),
        (_frames(1, TelecommandKey("ground", b"n" * 32)), Code.BAD_MAC),
        ((header, body[:-1] + b"\1"), Code.BAD_MAC),
        (_frames(AHEAD + 1), Code.OUT_OF_WINDOW),
    ]:
        assert _code(harness.gate, frames) is code
    assert _code(harness.gate, (header, body)) is None
    assert _code(harness.gate, (header, body)) is Code.REPLAYED


def test_a_refusal_names_the_telecommand_where_its_body_can_be_read(harness: Harness) -> None:
    frames = sign(
        TelecommandKey("nobody", b"n" * 32),
        UNIT,
        1,
        TelecommandBody(id="me", name="PING", sent_at=0),
    )
    with pytest.raises(Refusal) as caught:
        harness.gate.admit(frames, 0)
    assert caught.value.data == {"id": "me", "name": "PING", "key_id": "nobody"}
    with pytest.raises(Refusal) as caught:
        harness.gate.admit((frames[0], b"\xc1"), 0)
    assert caught.value.data == {"id": "", "name": "", "key_id": "nobody"}


def test_an_authentic_body_that_is_none_uses_up_its_sequence_number(harness: Harness) -> None:
    header, body = sign(KEY, UNIT, 1, {"id": "x"})  # type: ignore[arg-type]
    assert _code(harness.gate, (header, body)) is Code.MALFORMED
    assert _code(harness.gate, (header, body)) is Code.REPLAYED


def test_twice_the_rate_passes_immediately_and_then_the_rate(tmp_path: Path) -> None:
    with StateFile(tmp_path) as state:
        gate = _gate(state, rate=10)
        codes = [_code(gate, _frames(n), 5.0) for n in range(1, 41)]
        assert codes == [None] * 20 + [Code.RATE_LIMITED] * 20
        codes = [_code(gate, _frames(n), 6.0) for n in range(21, 41)]
        assert codes == [None] * 10 + [Code.RATE_LIMITED] * 10
        assert _code(gate, _frames(1, OTHER), 6.0) is None  # another key has its own allowance
        codes = [_code(gate, _frames(n), 1e6) for n in range(41, 81)]
        assert codes.count(None) == 20


def test_a_rate_limited_telecommand_may_be_sent_again_as_it_was(tmp_path: Path) -> None:
    with StateFile(tmp_path) as state:
        gate = _gate(state, rate=1)
        assert [_code(gate, _frames(n)) for n in (1, 2, 3)] == [None, None, Code.RATE_LIMITED]
        assert _code(gate, _frames(3), 1) is None


def test_forgeries_use_up_nobodys_allowance(tmp_path: Path) -> None:
    forger = TelecommandKey("ground", b"n" * 32)
    with StateFile(tmp_path) as state:
        gate = _gate(state, rate=1)
        assert {_code(gate, _frames(n, forger)) for n in range(1, 50)} == {Code.BAD_MAC}
        assert _code(gate, _frames(1)) is None


def test_replays_use_up_nobodys_allowance(tmp_path: Path) -> None:
    with StateFile(tmp_path) as state:
        gate = _gate(state, rate=1)
        heard = _frames(1)
        assert _code(gate, heard) is None
        assert {_code(gate, heard) for _ in range(50)} == {Code.REPLAYED}
        assert _code(gate, _frames(2)) is None


def test_windows_are_each_keys_own_and_come_back_after_flush(tmp_path: Path) -> None:
    with StateFile(tmp_path) as state:
        gate = _gate(state)
        for sequence in (1, 2, 5000, 5000 - WINDOW + 1):
            assert _code(gate, _frames(sequence)) is None
        assert _code(gate, _frames(3, OTHER)) is None
        gate.flush()
    with StateFile(tmp_path) as state:
        gate = _gate(state)
        for sequence in (5000, 5000 - WINDOW + 1):
            assert _code(gate, _frames(sequence)) is Code.REPLAYED
        assert _code(gate, _frames(3, OTHER)) is Code.REPLAYED
        assert _code(gate, _frames(5000 - WINDOW)) is Code.OUT_OF_WINDOW
        assert _code(gate, _frames(4000)) is None
        assert _code(gate, _frames(5001)) is None


def test_a_window_is_kept_with_the_transaction_it_belongs_to_and_only_then(tmp_path: Path) -> None:
    def keep(*, in_vain: bool) -> None:
        with state.transaction():
            gate.keep(KEY)
            if in_vain:
                raise ZeroDivisionError

    with StateFile(tmp_path) as state:
        gate = _gate(state)
        gate.admit(_frames(1), 0)
        keep(in_vain=False)
        gate.admit(_frames(2), 0)
        with pytest.raises(ZeroDivisionError):
            keep(in_vain=True)
        kept = _gate(state)
        assert _code(kept, _frames(1)) is Code.REPLAYED
        assert _code(kept, _frames(2)) is None
        gate.flush()  # makes up for what was rolled back
        assert _code(_gate(state), _frames(2)) is Code.REPLAYED


def test_flush_writes_only_what_changed(harness: Harness) -> None:
    harness.gate.admit(_frames(1), 0)
    harness.gate.flush()
    statements: list[str] = []
    with harness.state.reading() as db:
        db.set_trace_callback(statements.append)
        harness.gate.flush()
        assert statements == []
        harness.gate.admit(_frames(2), 0)
        harness.gate.flush()
        db.set_trace_callback(None)
    assert statements


def test_each_of_two_keys_of_a_name_has_a_window_of_its_own(tmp_path: Path) -> None:
    new = TelecommandKey(KEY.key_id, b"n" * SECRET_BYTES)
    keys = {KEY.key_id: (KEY,)}

    def gate(state: StateFile) -> Gate:
        return Gate(state, UNIT, lambda: keys, lambda _key_id, _role: True, lambda: 100)

    with StateFile(tmp_path) as state:
        during = gate(state)
        during.admit(_frames(5000), 0)
        keys[KEY.key_id] = (KEY, new)
        for number in (1, 2):
            body = TelecommandBody(id=f"n{number}", name="PING", sent_at=0)
            assert during.admit(sign(new, UNIT, number, body), 0).key == new
        assert _code(during, _frames(5000)) is Code.REPLAYED
        during.flush()
        keys[KEY.key_id] = (new,)
        after = gate(state)
        assert _code(after, _frames(5001)) is Code.BAD_MAC
        repeated = sign(new, UNIT, 2, TelecommandBody(id="n2", name="PING", sent_at=0))
        assert _code(after, repeated) is Code.REPLAYED


def test_the_window_of_an_earlier_release_becomes_that_of_the_key(tmp_path: Path) -> None:
    with StateFile(tmp_path) as state:
        _gate(state).admit(_frames(7), 0)
        old = _gate(state)
        old.admit(_frames(9), 0)
        old.flush()
        with state.transaction() as db:
            db.execute("UPDATE sequence_windows SET key_id = ?", (KEY.key_id,))
        assert _code(_gate(state), _frames(9)) is Code.REPLAYED
        assert _code(_gate(state), _frames(9)) is Code.REPLAYED  # kept under its new name


def test_a_client_without_the_role_uses_up_no_number(harness: Harness) -> None:
    harness.roles[KEY.key_id] = frozenset({Role.WATCH})
    assert _code(harness.gate, _frames(1)) is Code.NOT_PERMITTED
    harness.roles.clear()
    assert _code(harness.gate, _frames(1)) is None
