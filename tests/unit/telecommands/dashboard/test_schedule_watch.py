from __future__ import annotations

from telecommands.dashboard.schedule_watch import REQUEST, ScheduleWatch
from telecommands.ground.errors import LinkError


def test_the_schedule_is_asked_for_when_its_length_changes_until_it_is_sent() -> None:
    sent: list[tuple[str, object]] = []
    fails = True

    def submit(name: str, args: object) -> str:
        sent.append((name, args))
        if fails:
            raise LinkError(name, "cannot be sent")
        return "id"

    watch = ScheduleWatch(submit)
    for count in (0, 2):
        watch.saw(count)
    fails = False
    for count in (2, 2, 0, 0):
        watch.saw(count)
    assert sent == [("LIST_SCHEDULE", REQUEST)] * 3


def test_a_bridge_that_cannot_command_asks_nothing() -> None:
    ScheduleWatch(None).saw(5)
