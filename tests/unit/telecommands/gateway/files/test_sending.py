from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spacepackets.cfdp import Direction
from spacepackets.cfdp.pdu import FinishedPdu, NakPdu

from telecommands.gateway.files.library import read_pdu, transaction_of
from telecommands.gateway.files.sending import FileSender
from telecommands.gateway.files.settings import CfdpSettings
from telecommands.ground.errors import DiskFull, OutputNotWritable
from tests.unit.telecommands.gateway.files.two_ends import TwoEnds, is_file_data

CONTENT = bytes(range(256)) * 20


@pytest.fixture
def ends(tmp_path: Path) -> TwoEnds:
    return TwoEnds(tmp_path)


def _silent(ends: TwoEnds) -> None:
    """The file was sent, and no answer arrives."""
    ends.change = lambda _pdu, _down: []
    (ends.folder / "file").write_bytes(CONTENT)
    ends.sender.begin(ends.folder / "file", "m.tar", 1, time.monotonic())
    for _ in range(20):
        ends.pass_on()


def test_a_silent_peer_ends_the_transaction_with_its_reason(ends: TwoEnds) -> None:
    _silent(ends)
    assert ends.sender.busy
    ends.sender.emit(1000, time.monotonic() + 11)
    assert not ends.sender.busy
    assert ends.sender.outcome == "the peer was silent for 10 s"


def test_each_transaction_has_the_number_that_it_was_given(ends: TwoEnds) -> None:
    numbers = set()
    ends.change = lambda pdu, _: numbers.add(transaction_of(read_pdu(pdu))) or [pdu]  # type: ignore[func-returns-value]
    assert [ends.send(CONTENT, number=number) for number in (7, 8, 9)] == ["", "", ""]
    assert numbers == {(1, 7), (1, 8), (1, 9)}
    assert ends.completed == [7, 8, 9]


@settings(deadline=None, max_examples=15)
@given(turns=st.integers(min_value=1, max_value=30))
def test_a_sender_that_is_killed_at_any_turn_resumes_the_transaction(turns: int) -> None:
    with TemporaryDirectory() as folder:
        ends = TwoEnds(Path(folder))
        sent = _killed(ends, turns)
        assert ends.send(CONTENT, number=1, resumed=True) == ""
        assert ends.completed == [1]
        assert [path.read_bytes() for path in ends.files()] == [CONTENT]
        assert {transaction_of(read_pdu(pdu)) for pdu in sent} == {(1, 1)}


def test_a_file_that_the_peer_has_is_not_sent_again_after_a_kill(ends: TwoEnds) -> None:
    sent = _killed(ends, 100)
    assert len(ends.files()) == 1
    assert ends.completed == []
    assert ends.send(CONTENT, number=1, resumed=True) == ""
    assert ends.completed == [1]
    assert not any(map(is_file_data, sent))


def test_a_report_that_arrives_before_its_transaction_is_resumed_is_kept(ends: TwoEnds) -> None:
    sent = _killed(ends, 100)
    deadline = time.monotonic() + 10
    while not ends.completed:
        assert time.monotonic() < deadline
        ends.pass_on()
    assert ends.completed == [1]
    # Its order was given before that: the peer no longer knows the transaction.
    assert ends.send(CONTENT, number=1, resumed=True) == ""
    assert not any(map(is_file_data, sent))


def test_a_resumed_transaction_that_the_peer_does_not_know_is_sent_whole(ends: TwoEnds) -> None:
    assert ends.send(CONTENT, number=1, resumed=True) == ""
    assert [path.read_bytes() for path in ends.files()] == [CONTENT]


def test_a_report_that_cannot_be_kept_is_not_acknowledged(ends: TwoEnds) -> None:
    def full(_number: int) -> None:
        raise DiskFull("handed", "has no space left", "Free some")

    ends.sender = FileSender(CfdpSettings(pdu_bytes=300), ends.counts, full)
    (ends.folder / "file").write_bytes(CONTENT)
    ends.sender.begin(ends.folder / "file", "m.tar", 1, time.monotonic())
    for _ in range(100):
        ends.pass_on()
    assert len(ends.files()) == 1
    assert ends.sender.busy
    assert ends.counts["not acknowledged: DISK_FULL"] > 0


def _killed(ends: TwoEnds, turns: int) -> list[bytes]:
    """A sender that was killed before the peer's report arrived; what the next one sends."""
    (ends.folder / "file").write_bytes(CONTENT)
    ends.sender.begin(ends.folder / "file", "m.tar", 1, time.monotonic())
    ends.change = lambda pdu, down: [pdu] if down or not is_finished(pdu) else []
    for _ in range(turns):
        ends.pass_on()
    ends.kill_sender()
    sent: list[bytes] = []

    def watch(pdu: bytes, down: bool) -> list[bytes]:
        if down:
            sent.append(pdu)
        return [pdu]

    ends.change = watch
    return sent


def is_finished(pdu: bytes) -> bool:
    return isinstance(read_pdu(pdu), FinishedPdu)


def test_a_lost_acknowledgement_of_the_eof_does_not_stop_the_finished_report(ends: TwoEnds) -> None:
    ends.change = lambda pdu, down: [pdu] if down or isinstance(read_pdu(pdu), FinishedPdu) else []
    assert ends.send(CONTENT) == ""


def test_a_report_that_is_repeated_after_the_end_is_acknowledged(ends: TwoEnds) -> None:
    reports = []
    ends.change = lambda pdu, down: ((down or reports.append(pdu)) and [pdu]) or [pdu]  # type: ignore[func-returns-value]
    assert ends.send(CONTENT) == ""
    (finished,) = [pdu for pdu in reports if isinstance(read_pdu(pdu), FinishedPdu)]
    (answer,) = ends.sender.take(read_pdu(finished), time.monotonic())
    assert read_pdu(answer).direction == Direction.TOWARDS_RECEIVER
    assert ends.counts["of an ended transaction"] == 1


def test_a_request_for_everything_is_answered_in_parts(ends: TwoEnds) -> None:
    _silent(ends)
    config = ends.sender._handler.pdu_conf
    nak = read_pdu(bytes(NakPdu(config, 0, 2**32 - 1, [(0, 2**32 - 1), (9, 3)]).pack()))
    ends.sender.take(nak, time.monotonic())
    pdus = ends.sender.emit(1000, time.monotonic())
    assert 0 < sum(map(len, pdus)) < 3000
    while more := [pdu for pdu in ends.sender.emit(1000, time.monotonic()) if is_file_data(pdu)]:
        pdus += more
    assert b"".join(read_pdu(pdu).file_data for pdu in pdus if is_file_data(pdu)) == CONTENT


def test_a_file_that_is_absent_cannot_be_sent(ends: TwoEnds) -> None:
    with pytest.raises(OutputNotWritable):
        ends.sender.begin(ends.folder / "absent", "m", 1, 0.0)
    assert not ends.sender.busy
