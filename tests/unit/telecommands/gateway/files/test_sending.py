from __future__ import annotations

import time
from pathlib import Path

import pytest
from spacepackets.cfdp import Direction
from spacepackets.cfdp.pdu import FinishedPdu, NakPdu

from telecommands.gateway.files.library import read_pdu, transaction_of
from telecommands.ground.errors import OutputNotWritable
from tests.unit.telecommands.gateway.files.two_ends import TwoEnds, is_file_data

CONTENT = bytes(range(256)) * 20


@pytest.fixture
def ends(tmp_path: Path) -> TwoEnds:
    return TwoEnds(tmp_path)


def _silent(ends: TwoEnds) -> None:
    """The file was sent, and no answer arrives."""
    ends.change = lambda _pdu, _down: []
    (ends.folder / "file").write_bytes(CONTENT)
    ends.sender.begin(ends.folder / "file", "m.tar", time.monotonic())
    for _ in range(20):
        ends.pass_on()


def test_a_silent_peer_ends_the_transaction_with_its_reason(ends: TwoEnds) -> None:
    _silent(ends)
    assert ends.sender.busy
    ends.sender.emit(1000, time.monotonic() + 11)
    assert not ends.sender.busy
    assert ends.sender.outcome == "the peer was silent for 10 s"


def test_each_transaction_has_a_number_of_its_own(ends: TwoEnds) -> None:
    numbers = set()
    ends.change = lambda pdu, _: numbers.add(transaction_of(read_pdu(pdu))) or [pdu]  # type: ignore[func-returns-value]
    assert [ends.send(CONTENT) for _ in range(3)] == ["", "", ""]
    assert numbers == {(1, 1), (1, 2), (1, 3)}


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
        ends.sender.begin(ends.folder / "absent", "m", 0.0)
    assert not ends.sender.busy
