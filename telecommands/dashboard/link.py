"""From the telemetry link into the archive and on to the pages, on a thread of its own."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import msgspec

from telecommands.dashboard.archive.writer import Archive, Arrival, Stored
from telecommands.dashboard.hub import Hub
from telecommands.dashboard.points.catalogue import PointCatalogue
from telecommands.dashboard.points.data import NS_PER_MS, gap_datum, row_datum, value_datum
from telecommands.dashboard.points.point import LINK_DROPPED, LINK_STATE, TABLES
from telecommands.dashboard.points.reduction import Gap, Sample
from telecommands.dictionary import PACKETS, Verification
from telecommands.ground.commanding import TelemetryClient
from telecommands.ground.errors import ArchiveError, GroundError
from telecommands.ground.handshake import SILENT
from telecommands.ground.station import Station

TURN_S: Final = 0.1
"""Packets are archived and shown in batches of so long."""

MOST_UNWRITTEN: Final = 10_000
"""Packets kept while the archive cannot be written; the oldest go first, counted."""

_BATCH: Final = 2000
_MOST_NUMBER: Final = 2**62  # no service counts so far, and no database
_LOOK_AGAIN_S: Final = 1.0


class LinkState(msgspec.Struct, frozen=True):
    """What a page is told of the link; times are UTC milliseconds."""

    state: str
    since: float
    last_packet: float | None
    unreadable: int = 0
    unarchived: int = 0
    cause: str = ""
    cure: str = ""


class TelemetryFeed:
    """Owns the archive's writing end and the subscription.

    ``station`` is asked again while the link is down: a restarted service may listen elsewhere, and
    keys may have been exchanged.
    ``stage`` is told each stage of a telecommand.
    """

    def __init__(
        self,
        station: Callable[[], Station],
        archive: Archive,
        catalogue: PointCatalogue,
        hub: Hub,
        stage: Callable[[Verification, int, int], None],
        dropped: dict[str, int],
    ) -> None:
        self._station = station
        self._archive = archive
        self._catalogue = catalogue
        self._hub = hub
        self._stage = stage
        self._dropped = Counter(dropped)
        self._points = len(catalogue)
        self._unwritten: list[Arrival] = []
        self._last_packet: float | None = None
        self._unreadable = 0
        self._absurd = 0
        self._unarchived = 0
        self._trouble = ""
        self.state = LinkState("down", _now_ms(), None, cause="nobody answered yet")
        """Replaced as a whole; any thread may read it."""

    def run(self, stop: threading.Event) -> None:
        """Until ``stop`` is set; goes on over every end of the link."""
        self._record_link(up=False)
        self._tell_dropped(time.time_ns(), *PACKETS)
        while not stop.is_set():
            try:
                station = self._station()
                with station.telemetry(monitored=True) as client:
                    self._follow(client, station, stop)
            except GroundError as error:
                self._tell_state("down", error.cause, error.cure)
                stop.wait(_LOOK_AGAIN_S)
        self._write([])

    def _follow(self, client: TelemetryClient, station: Station, stop: threading.Event) -> None:
        """While the service is where it was, with the same keys, and the link may come about."""
        unreadable_before = self._unreadable - self._absurd
        look_again_at = time.monotonic() + _LOOK_AGAIN_S
        while not stop.is_set():
            batch = self._batch(client)
            self._unreadable = self._absurd + client.unreadable + unreadable_before
            if batch:
                self._last_packet = _now_ms()
            finding = client.finding
            if finding is SILENT:
                self._tell_state("up")
            elif finding is not None:
                cause = f"{station.endpoints.telemetry}: {finding.cause}"
                self._tell_state("down", cause, finding.cure)
            self._write(batch)
            if finding is not SILENT and time.monotonic() >= look_again_at:
                if self._station() != station or (finding is not None and finding.is_final):
                    return
                look_again_at = time.monotonic() + _LOOK_AGAIN_S

    def _batch(self, client: TelemetryClient) -> list[Arrival]:
        """What comes within a turn."""
        batch = []
        for topic, packet, record in client.packets(TURN_S):
            if max(packet.seq, abs(packet.boot)) > _MOST_NUMBER:
                self._absurd += 1
                continue
            batch.append(Arrival(topic, packet, record))
            if len(batch) >= _BATCH:
                break
        return batch

    def _write(self, batch: list[Arrival]) -> None:
        """Archive, then show: whatever a page was shown, it finds again."""
        self._unwritten += batch
        if not self._unwritten:
            return
        try:
            stored = self._archive.write(self._unwritten)
        except ArchiveError as error:
            too_many = len(self._unwritten) - MOST_UNWRITTEN
            if too_many > 0:
                del self._unwritten[:too_many]
                self._unarchived += too_many
            self._tell_trouble(error)
            return
        self._trouble = ""
        self._unwritten.clear()
        self._tell_growth()
        for one in stored:
            self._show(one)

    def _tell_growth(self) -> None:
        """Pages look up what is new among the points."""
        if len(self._catalogue) != self._points:
            self._points = len(self._catalogue)
            self._hub.tell_all([encoded({"points": self._points})])

    def _show(self, stored: Stored) -> None:
        (topic, packet, record), gap = stored
        if gap is not None:
            self._show_gap(topic, gap)
        if isinstance(record, Verification):
            self._stage(record, packet.seq, packet.boot)
        elif topic in TABLES:
            self._tell(topic, row_datum(packet.t, packet.seq, packet.boot, record))
        for point, value in self._catalogue.values(topic, record):
            if self._hub.wants(point.key):
                if gap is not None:
                    self._tell(point.key, gap_datum(gap))
                sample = Sample(packet.t, value, packet.seq, packet.boot)
                self._tell(point.key, value_datum(sample))

    def _show_gap(self, topic: str, gap: Gap) -> None:
        self._dropped[topic] += gap.missing
        timestamp = gap_datum(gap)["timestamp"]
        told = {"topic": topic, "count": gap.missing, "timestamp": timestamp}
        self._hub.tell_all([encoded({"dropped": told})])
        if topic in TABLES:
            self._tell(topic, gap_datum(gap))
        self._tell_dropped(gap.before, topic)

    def _tell_dropped(self, t: int, *topics: str) -> None:
        self._tell(LINK_DROPPED, value_datum(Sample(t, self._dropped.total())))
        for topic in topics:
            self._tell(f"{LINK_DROPPED}.{topic}", value_datum(Sample(t, self._dropped[topic])))

    def _tell_state(self, state: str, cause: str = "", cure: str = "") -> None:
        before = self.state
        changed = state != before.state
        self.state = LinkState(
            state=state,
            since=_now_ms() if changed else before.since,
            last_packet=self._last_packet,
            unreadable=self._unreadable,
            unarchived=self._unarchived,
            cause=cause,
            cure=cure,
        )
        if changed:
            self._record_link(up=state == "up")
        if changed or cause != before.cause or self._unreadable != before.unreadable:
            self._hub.tell_all([encoded({"link": self.state})])

    def _record_link(self, *, up: bool) -> None:
        now = time.time_ns()
        try:
            self._archive.write_link(now, up=up)
        except ArchiveError as error:
            self._tell_trouble(error)
        self._tell(LINK_STATE, value_datum(Sample(now, int(up))))

    def _tell_trouble(self, error: ArchiveError) -> None:
        """The same once only: it is tried ten times a second."""
        if str(error) != self._trouble:
            self._trouble = str(error)
            self._hub.tell_all([encoded({"error": error.as_record()})])

    def _tell(self, key: str, datum: dict[str, Any]) -> None:
        if self._hub.wants(key):
            self._hub.tell(key, encoded({"key": key, "datum": datum}))


def encoded(message: Any) -> bytes:
    """A message to a page."""
    return msgspec.json.encode(message)


def _now_ms() -> float:
    return time.time_ns() / NS_PER_MS
