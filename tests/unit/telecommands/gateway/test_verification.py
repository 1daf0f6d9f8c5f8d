from __future__ import annotations

import struct
from typing import Any

import msgspec

from telecommands.dictionary import Code, Stage, Verification
from telecommands.gateway.layout import layout_of
from telecommands.gateway.packets import Report, Stamp
from telecommands.gateway.requests import Rejection, Request, read_request
from telecommands.gateway.schedule_file import ScheduledRequest
from telecommands.gateway.verification import Verifications
from telecommands.ground.commanding_link import ANSWER_S, FOLLOW_S
from telecommands.numbers import PARAMETERS as NUMBERS
from tests.unit.telecommands.gateway.samples import APID, NOW, function, insertion, request

_PREFIX = 5  # request id and subtype


def _request(raw: bytes) -> Request:
    return read_request(raw, APID, hazardous=False)


def _stage(stage: Stage, id: str = "t1", **fields: Any) -> Verification:  # noqa: A002
    return Verification(id=id, name="PING", stage=stage, at=NOW, key_id="operator", **fields)


def _read(report: Report) -> tuple[int, bytes, dict[str, Any]]:
    """Subtype, request id and record of a report of service 1."""
    assert (report.service, report.data[4]) == (1, report.subtype)
    stamp, end = layout_of(Stamp).decode(report.data, _PREFIX)
    assert stamp == {"boot": 0, "seq": 0, "t": report.t, "unit": "sat-a"}
    record, end = layout_of(Verification).decode(report.data, end)
    assert end == len(report.data)
    return report.subtype, report.data[:4], record


def _following(raw: bytes) -> tuple[Verifications, Request]:
    verifications, found = Verifications("sat-a"), _request(raw)
    verifications.open("t1", found, now=0.0)
    return verifications, found


def test_each_stage_is_reported_to_the_request_that_caused_it() -> None:
    raw = function("PING")
    verifications, _ = _following(raw)
    stages = (Stage.ACCEPTED, Stage.STARTED, Stage.PROGRESS, Stage.COMPLETED)
    found = [_read(r) for s in stages for r in verifications.answered(_stage(s), 1.0)]
    assert [subtype for subtype, _, _ in found] == [1, 3, 5, 7]
    assert {one for _, one, _ in found} == {raw[:4]}
    assert len(verifications) == 0


def test_all_failures_close_with_subtype_8_and_rejection_with_2() -> None:
    for stage in (Stage.REJECTED, Stage.FAILED, Stage.TIMED_OUT, Stage.CANCELLED):
        verifications, _ = _following(function("PING"))
        closing = _stage(stage, code=Code.UNKNOWN_JOB, cause="job x does not exist", cure="Look")
        ((subtype, _, record),) = map(_read, verifications.answered(closing, 1.0))
        assert subtype == (2 if stage is Stage.REJECTED else 8)
        assert (record["stage"], record["cause"]) == (stage.value, "job x does not exist")
        assert len(verifications) == 0


def test_success_is_reported_only_if_it_is_wanted_and_failure_always() -> None:
    verifications, _ = _following(request(8, 1, b"\0\x01", acks=0b0001))
    stages = (Stage.ACCEPTED, Stage.STARTED, Stage.COMPLETED)
    found = [_read(r)[0] for s in stages for r in verifications.answered(_stage(s), 1.0)]
    assert found == [7]
    verifications, _ = _following(request(8, 1, b"\0\x01", acks=0))
    assert [_read(r)[0] for r in verifications.answered(_stage(Stage.FAILED), 1.0)] == [8]


def test_a_scheduled_telecommand_is_accepted_with_its_insertion_and_closes_when_it_ran() -> None:
    inner = function("PING", count=9)
    outer = insertion(NOW, inner)
    verifications, _ = _following(outer)
    done = _stage(Stage.COMPLETED, data={"entry": "e1"})
    found = [_read(report)[:2] for report in verifications.answered(done, 1.0)]
    assert found == [(7, outer[:4]), (1, inner[:4])]
    assert verifications.entry_of(inner[:4]) == "e1"
    foreign = msgspec.structs.replace(_stage(Stage.COMPLETED, "e1"), key_id="somebody")
    assert list(verifications.published(foreign, "operator")) == []
    ended = verifications.published(_stage(Stage.COMPLETED, "e1"), "operator")
    assert [_read(report)[:2] for report in ended] == [(7, inner[:4])]
    assert verifications.entry_of(inner[:4]) is None


def test_what_was_scheduled_is_kept_until_it_ends() -> None:
    inner, kept = function("PING", count=9), list[list[ScheduledRequest]]()
    verifications = Verifications("sat-a", (), lambda all_of_them: kept.append([*all_of_them]))
    verifications.open("t1", _request(insertion(NOW, inner)), now=0.0)
    list(verifications.answered(_stage(Stage.ACCEPTED), 1.0))
    assert kept == []
    list(verifications.answered(_stage(Stage.COMPLETED, data={"entry": "e1"}), 1.0))
    assert kept == [[ScheduledRequest("e1", inner[:4], 15)]]
    restarted = Verifications("sat-a", kept[-1], lambda all_of_them: kept.append([*all_of_them]))
    assert restarted.entry_of(inner[:4]) == "e1"
    started = restarted.published(_stage(Stage.STARTED, "e1"), "operator")
    ended = restarted.published(_stage(Stage.COMPLETED, "e1"), "operator")
    found = [_read(report)[:2] for reports in (started, ended) for report in reports]
    assert found == [(3, inner[:4]), (7, inner[:4])]
    assert kept[1:] == [[]]


def test_an_insertion_that_is_rejected_rejects_the_telecommand_inside_it_too() -> None:
    inner = function("PING", count=9)
    outer = insertion(NOW, inner)
    verifications, _ = _following(outer)
    passed = _stage(Stage.REJECTED, code=Code.TIME_PASSED, cause="the time is in the past")
    found = [_read(report)[:2] for report in verifications.answered(passed, 1.0)]
    assert found == [(2, outer[:4]), (2, inner[:4])]
    rejection = Rejection("HAZARDOUS", "X is hazardous", inner=inner[:4])
    found = [_read(report)[:2] for report in verifications.rejected(outer[:4], rejection, NOW)]
    assert found == [(2, outer[:4]), (2, inner[:4])]


def test_a_connection_test_and_a_parameter_are_answered_by_their_services() -> None:
    verifications, _ = _following(request(17, 1))
    found = list(verifications.answered(_stage(Stage.COMPLETED), 1.0))
    assert [(one.service, one.subtype) for one in found] == [(1, 7), (17, 2)]
    verifications, _ = _following(request(20, 1, b"\0"))
    values = {"parameters": [
        {"name": "processing.fusion", "value": "blend", "default": "or"},
        {"name": "processing.attempts", "value": 3, "default": 2},
    ]}  # fmt: skip
    found = list(verifications.answered(_stage(Stage.COMPLETED, data=values), 1.0))
    assert [(one.service, one.subtype) for one in found] == [(1, 7), (20, 2), (20, 2)]
    assert found[1].data[:4] == struct.pack(">BHB", 1, NUMBERS["processing.fusion"], 2)
    assert found[2].data[:11] == struct.pack(">BHq", 1, NUMBERS["processing.attempts"], 3)


def test_a_telecommand_without_an_answer_is_given_up_and_one_without_an_end_later() -> None:
    verifications, _ = _following(function("PING"))
    assert list(verifications.overdue(ANSWER_S - 1, NOW)) == []
    ((telecommand, (report,)),) = verifications.overdue(ANSWER_S, NOW)
    assert (telecommand, _read(report)[0]) == ("t1", 2)
    verifications, _ = _following(function("PING"))
    list(verifications.answered(_stage(Stage.ACCEPTED), 1.0))
    assert list(verifications.overdue(FOLLOW_S, NOW)) == []
    ((_, (report,)),) = verifications.overdue(FOLLOW_S + 1.0, NOW)
    assert _read(report)[0] == 8
    assert len(verifications) == 0


def test_a_link_that_is_lost_closes_all_its_telecommands() -> None:
    verifications, _ = _following(function("PING"))
    ((telecommand, (report,)),) = verifications.lost("the link is down", "Look", NOW)
    subtype, _, record = _read(report)
    assert (telecommand, subtype, record["cause"]) == ("t1", 2, "the link is down")
    assert len(verifications) == 0


def test_stages_of_other_clients_are_not_reported() -> None:
    verifications, _ = _following(function("PING"))
    assert list(verifications.answered(_stage(Stage.COMPLETED, "another"), 1.0)) == []
