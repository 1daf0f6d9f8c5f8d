from __future__ import annotations

from telecommands.gateway.packets import Report
from telecommands.gateway.report_hold import ReportHold
from tests.unit.telecommands.gateway.samples import function

_PING, _OTHER = function("PING", count=1), function("PING", count=2)


def _report(raw: bytes, service: int = 1, subtype: int = 1) -> Report:
    return Report(service, subtype, 0, raw[:4] + bytes([subtype]))


def test_reports_wait_until_their_telecommand_is_old_enough_and_keep_their_order() -> None:
    hold = ReportHold(0.25)
    hold.received(_PING, 10.0)
    accepted, completed = _report(_PING), _report(_PING, subtype=7)
    answer = Report(17, 2, 0, b"")
    hold.add([accepted])
    hold.add([completed, answer])
    assert hold.due(10.2) == []
    assert hold.due(10.25) == [accepted, completed, answer]
    assert hold.due(10.3) == []


def test_a_report_of_an_older_telecommand_does_not_wait_for_a_new_one() -> None:
    hold = ReportHold(0.25)
    hold.received(_PING, 10.0)
    hold.received(_OTHER, 10.2)
    hold.add([_report(_OTHER)])
    hold.add([_report(_PING)])
    assert hold.due(10.3) == [_report(_PING)]
    hold.add([_report(_PING, subtype=7)])
    assert hold.due(10.3) == [_report(_PING, subtype=7)]
    assert hold.due(10.5) == [_report(_OTHER)]


def test_a_report_of_a_scheduled_telecommand_is_not_held() -> None:
    hold = ReportHold(0.25)
    hold.received(_PING, 10.0)
    hold.received(_OTHER, 11.0)  # by now the first one is forgotten
    hold.add([_report(_PING, subtype=7)])
    assert hold.due(11.0) == [_report(_PING, subtype=7)]
