from __future__ import annotations

from telecommands.dashboard.service_queries import SCHEDULE_REQUEST, ServiceQueries
from telecommands.ground.errors import LinkError
from tests.unit.telecommands.flight_stand_in import housekeeping


def _asked(*seen: tuple[int, int], failing: int = 0) -> list[tuple[str, object]]:
    """What is sent after packets with this number of entries and boot; the first ones fail."""
    sent: list[tuple[str, object]] = []

    def submit(name: str, args: object) -> str:
        sent.append((name, args))
        if len(sent) <= failing:
            raise LinkError(name, "cannot be sent")
        return "id"

    queries = ServiceQueries(submit)
    for scheduled, boot in seen:
        queries.take(housekeeping(scheduled=scheduled), boot)
    return sent


def test_the_schedule_is_asked_for_when_its_length_changes() -> None:
    sent = _asked((0, 1), (2, 1), (2, 1), (0, 1), (0, 1))
    assert sent == [("GET_PARAMETER", {})] + [("LIST_SCHEDULE", SCHEDULE_REQUEST)] * 2


def test_the_parameters_are_asked_for_at_first_and_after_each_boot() -> None:
    assert _asked((0, 7), (0, 7), (0, 8)) == [("GET_PARAMETER", {})] * 2


def test_a_query_that_cannot_be_sent_is_asked_with_the_next_packet() -> None:
    assert _asked((0, 1), (0, 1), (0, 1), failing=1) == [("GET_PARAMETER", {})] * 2


def test_a_bridge_that_cannot_command_asks_nothing() -> None:
    ServiceQueries(None).take(housekeeping(scheduled=5), 1)
