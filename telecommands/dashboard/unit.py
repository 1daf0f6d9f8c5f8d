"""One unit's part of the bridge: archive, link, commanding and products, with their threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from typing_extensions import Self

from telecommands.dashboard.archive.reader import ReaderPool
from telecommands.dashboard.archive.writer import Archive
from telecommands.dashboard.commanding import Commanding
from telecommands.dashboard.link import LinkState, TelemetryFeed, encoded, error_message
from telecommands.dashboard.points.catalogue import PointCatalogue
from telecommands.dashboard.products import ReceivedProducts
from telecommands.dashboard.publisher import Publisher
from telecommands.dashboard.reception import Reception
from telecommands.dashboard.service_queries import ServiceQueries
from telecommands.dashboard.stages import StageLog
from telecommands.dashboard.unit_settings import UnitSettings
from telecommands.dictionary import PACKETS
from telecommands.ground.errors import GroundError

_READERS: Final = 4
_MISSION: Final = "flightsw"


class Unit:
    """Owns the parts of one unit; a context manager.  ``runs`` need a thread each.

    Without ``received`` there are no products; with ``fetch`` this unit's are received into it,
    otherwise another process fills the folder.  Raises
    :class:`~telecommands.ground.errors.ArchiveError`.
    """

    def __init__(self, settings: UnitSettings, received: Path | None, *, fetch: bool) -> None:
        self.name = settings.name or _MISSION
        self.base = f"/units/{settings.name}" if settings.name else ""
        """Of the addresses of its interface; empty for the only unit."""
        self.operator = settings.operator
        self.catalogue, self.publisher = PointCatalogue(), Publisher()
        self._parts = ExitStack()
        with ExitStack() as opened:
            self.archive = opened.enter_context(Archive(settings.archive, self.catalogue))
            self.readers = ReaderPool(settings.archive, _READERS)
            opened.callback(self.readers.close)
            key_id = settings.operator.key_id if settings.operator else None
            self.stages = StageLog(self._publish_stage, key_id)
            self.commanding = Commanding(settings.station, self.stages, self.archive.write_sent)
            queries = ServiceQueries(self.commanding.submit if settings.operator else None)
            self._feed = TelemetryFeed(
                settings.station,
                self.archive,
                self.catalogue,
                self.publisher,
                self.stages.take,
                queries.take,
                _dropped(self.readers),
                settings.name,
            )
            self.products = ReceivedProducts(received, settings.name)
            self.runs: Mapping[str, Callable[[threading.Event], None]] = self._runs(
                settings, received, fetch=fetch
            )
            self._parts = opened.pop_all()

    def link(self) -> LinkState:
        """State of the telemetry link.  For any thread."""
        return self._feed.state

    def interrupt(self) -> None:
        """Abort the running queries before the bridge stops."""
        self.readers.interrupt()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.close()

    def _runs(
        self, settings: UnitSettings, received: Path | None, *, fetch: bool
    ) -> Mapping[str, Callable[[threading.Event], None]]:
        runs = {"telemetry": self._feed.run}
        if settings.operator is not None:
            runs["commanding"] = self.commanding.run
        if received is not None:
            runs["products"] = self.products.run
            if fetch:
                runs["reception"] = Reception(settings.station, received, self._publish_error).run
        return runs

    def _publish_stage(self, datum: dict[str, Any]) -> None:
        if self.publisher.wants("ver"):
            self.publisher.publish("ver", encoded({"key": "ver", "datum": datum}))

    def _publish_error(self, error: GroundError) -> None:
        self.publisher.publish_all([error_message(error.code, error.sentence, error.cure)])


def _dropped(readers: ReaderPool) -> dict[str, int]:
    """Missing packets by topic, as the archive counts them."""
    with readers.borrowed() as reader:
        counts = {topic: [one.value for one in reader.dropped(topic)] for topic in PACKETS}
    return {topic: values[-1] for topic, values in counts.items() if values}
