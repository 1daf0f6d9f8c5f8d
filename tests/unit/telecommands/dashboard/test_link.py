from __future__ import annotations

import json
import threading

from telecommands.dashboard.archive.writer import Archive
from telecommands.dashboard.link import TelemetryFeed
from telecommands.dashboard.points.catalogue import PointCatalogue
from telecommands.dashboard.publisher import Mailbox, Publisher
from telecommands.ground.errors import UsageError
from telecommands.ground.station import Station


def _nowhere() -> Station:
    raise UsageError("endpoints.json", "cannot be read", "Start the service")


def test_a_page_that_connects_first_gets_what_was_dropped_so_far(
    archive: Archive, catalogue: PointCatalogue
) -> None:
    publisher, page = Publisher(), Mailbox(lambda: None)
    page.keys = frozenset({"link.dropped", "link.dropped.hk", "link.dropped.evt"})
    publisher.add(page)
    stop = threading.Event()
    stop.set()
    feed = TelemetryFeed(
        _nowhere, archive, catalogue, publisher, lambda *_: None, lambda *_: None, {"hk": 3}
    )
    feed.run(stop)
    messages = [json.loads(message) for message in page.take()[1]]
    assert {one["key"]: one["datum"]["value"] for one in messages} == {
        "link.dropped": 3,
        "link.dropped.hk": 3,
        "link.dropped.evt": 0,
    }
