"""Writes the telemetry link to the archive and the pages, on its own thread."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import msgspec

from telecommands.dashboard.archive.writer import Archive, ArchivedPacket, Arrival
from telecommands.dashboard.points.catalogue import PointCatalogue
from telecommands.dashboard.points.data import NS_PER_MS, gap_datum, row_datum, value_datum
from telecommands.dashboard.points.point import LINK_DROPPED, LINK_STATE, TABLES
from telecommands.dashboard.points.reduction import Gap, Sample
from telecommands.dashboard.publisher import Publisher
from telecommands.dictionary import PACKETS, Housekeeping, Verification
from telecommands.ground.errors import ArchiveError, GroundError, LinkError
from telecommands.ground.handshake import SILENT
from telecommands.ground.station import Station
from telecommands.ground.telemetry import TelemetryClient

BATCH_S: Final = 0.1
"""Duration of a batch of packets, which is archived and shown together."""

MOST_UNWRITTEN: Final = 10_000
"""Packets kept while the archive cannot be written; the oldest are dropped first, and counted."""

_BATCH: Final = 2000
_MOST_NUMBER: Final = 2**62  # beyond it are neither valid counters nor database integers
_RECHECK_S: Final = 1.0


class LinkState(msgspec.Struct, frozen=True):
    """The link's state as shown on the page; times are UTC milliseconds."""

    state: str
    since: float
    last_packet: float | None
    unreadable: int = 0
    unarchived: int = 0
    cause: str = ""
    cure: str = ""


class TelemetryFeed:
    """Owns the archive's writer and the subscription.

    ``station`` is called again while the link is down: a restarted service may have other
    endpoints, and keys may have changed.  ``stage`` is called with each stage of a telecommand,
    ``seen`` with each packet of housekeeping and its boot.  With a ``unit``, packets of all
    other units are refused: the link is down, and says whose they are.
    """

    def __init__(
        self,
        station: Callable[[], Station],
        archive: Archive,
        catalogue: PointCatalogue,
        publisher: Publisher,
        stage: Callable[[Verification, int, int], None],
        seen: Callable[[Housekeeping, int], None],
        dropped: dict[str, int],
        unit: str = "",
    ) -> None:
        self._station = station
        self._archive = archive
        self._catalogue = catalogue
        self._publisher = publisher
        self._stage = stage
        self._seen = seen
        self._dropped = Counter(dropped)
        self._unit = unit
        self._stranger = ""
        self._points = len(catalogue)
        self._limits = catalogue.limit_changes
        self._unwritten: list[Arrival] = []
        self._last_packet: float | None = None
        self._unreadable = 0
        self._out_of_range = 0
        self._unarchived = 0
        self._reported = ""
        self.state = LinkState("down", _now_ms(), None, cause="The service has not answered yet")
        """Replaced as a whole; any thread may read it."""

    def run(self, stop: threading.Event) -> None:
        """Follow the link until ``stop`` is set; reconnects after each loss."""
        self._record_link(up=False)
        self._publish_dropped(time.time_ns(), *PACKETS)
        while not stop.is_set():
            try:
                station = self._station()
                with station.telemetry(monitored=True) as client:
                    self._follow(client, station, stop)
            except GroundError as error:
                self._set_state("down", error)
                stop.wait(_RECHECK_S)
        self._write([])

    def _follow(self, client: TelemetryClient, station: Station, stop: threading.Event) -> None:
        """Follow the link while endpoints and keys stay the same and it can be established."""
        unreadable_before = self._unreadable - self._out_of_range
        self._stranger = ""
        recheck_at = time.monotonic() + _RECHECK_S
        while not stop.is_set():
            batch = self._batch(client)
            self._unreadable = self._out_of_range + client.unreadable + unreadable_before
            if batch:
                self._last_packet = _now_ms()
            finding = client.finding
            if self._stranger:
                endpoint = station.endpoints.telemetry
                cause = f"is the unit {self._stranger}, not {self._unit}"
                self._set_state("down", LinkError(endpoint, cause, "Correct the stations file"))
            elif finding is SILENT:
                self._set_state("up")
            elif finding is not None:
                endpoint = station.endpoints.telemetry
                self._set_state("down", LinkError(endpoint, finding.predicate, finding.cure))
            self._write(batch)
            if finding is not SILENT and time.monotonic() >= recheck_at:
                if self._station() != station or (finding is not None and finding.is_final):
                    return
                recheck_at = time.monotonic() + _RECHECK_S

    def _batch(self, client: TelemetryClient) -> list[Arrival]:
        """The packets of a batch's duration."""
        batch = []
        for topic, packet, record in client.packets(BATCH_S):
            self._stranger = packet.unit if self._unit and packet.unit != self._unit else ""
            if self._stranger:
                self._out_of_range += 1
                continue
            if max(packet.seq, abs(packet.boot)) > _MOST_NUMBER:
                self._out_of_range += 1
                continue
            batch.append(Arrival(topic, packet, record))
            if len(batch) >= _BATCH:
                break
        return batch

    def _write(self, batch: list[Arrival]) -> None:
        """Archive, then show: every packet shown is in the archive."""
        self._unwritten += batch
        if not self._unwritten:
            return
        alarms = self._archive.alarm_changes
        try:
            stored = self._archive.write(self._unwritten)
        except ArchiveError as error:
            too_many = len(self._unwritten) - MOST_UNWRITTEN
            if too_many > 0:
                del self._unwritten[:too_many]
                self._unarchived += too_many
            self._report_error(error)
            return
        self._reported = ""
        self._unwritten.clear()
        self._publish_growth()
        self._publish_limits()
        for one in stored:
            self._show(one)
        if self._archive.alarm_changes != alarms:
            publish_alarms(self._publisher, self._archive)

    def _publish_growth(self) -> None:
        """Let pages request the new points."""
        if len(self._catalogue) != self._points:
            self._points = len(self._catalogue)
            self._publisher.publish_all([encoded({"points": self._points})])

    def _publish_limits(self) -> None:
        """Let pages request the limits that parameters changed."""
        if self._catalogue.limit_changes != self._limits:
            self._limits = self._catalogue.limit_changes
            self._publisher.publish_all([encoded({"limits": self._limits})])

    def _show(self, stored: ArchivedPacket) -> None:
        (topic, packet, record), gap = stored
        if gap is not None:
            self._show_gap(topic, gap)
        if isinstance(record, Verification):
            self._stage(record, packet.seq, packet.boot)
        elif isinstance(record, Housekeeping):
            self._seen(record, packet.boot)
        elif topic in TABLES:
            self._publish(topic, row_datum(packet.t, packet.seq, packet.boot, record))
        for point, value in self._catalogue.values(topic, record):
            if self._publisher.wants(point.key):
                if gap is not None:
                    self._publish(point.key, gap_datum(gap))
                sample = Sample(packet.t, value, packet.seq, packet.boot)
                self._publish(point.key, value_datum(sample))

    def _show_gap(self, topic: str, gap: Gap) -> None:
        self._dropped[topic] += gap.missing
        timestamp = gap_datum(gap)["timestamp"]
        loss = {"topic": topic, "count": gap.missing, "timestamp": timestamp}
        self._publisher.publish_all([encoded({"dropped": loss})])
        if topic in TABLES:
            self._publish(topic, gap_datum(gap))
        self._publish_dropped(gap.before, topic)

    def _publish_dropped(self, t: int, *topics: str) -> None:
        self._publish(LINK_DROPPED, value_datum(Sample(t, self._dropped.total())))
        for topic in topics:
            self._publish(f"{LINK_DROPPED}.{topic}", value_datum(Sample(t, self._dropped[topic])))

    def _set_state(self, state: str, error: GroundError | None = None) -> None:
        before = self.state
        cause = error.sentence if error is not None else ""
        changed = state != before.state
        self.state = LinkState(
            state=state,
            since=_now_ms() if changed else before.since,
            last_packet=self._last_packet,
            unreadable=self._unreadable,
            unarchived=self._unarchived,
            cause=cause,
            cure=error.cure if error is not None else "",
        )
        if changed:
            self._record_link(up=state == "up")
        if changed or cause != before.cause or self._unreadable != before.unreadable:
            self._publisher.publish_all([encoded({"link": self.state})])

    def _record_link(self, *, up: bool) -> None:
        now = time.time_ns()
        try:
            self._archive.write_link(now, up=up)
        except ArchiveError as error:
            self._report_error(error)
        self._publish(LINK_STATE, value_datum(Sample(now, int(up))))

    def _report_error(self, error: ArchiveError) -> None:
        """Report a repeated error once: writing is retried ten times a second."""
        if str(error) != self._reported:
            self._reported = str(error)
            self._publisher.publish_all([error_message(error.code, error.sentence, error.cure)])

    def _publish(self, key: str, datum: dict[str, Any]) -> None:
        if self._publisher.wants(key):
            self._publisher.publish(key, encoded({"key": key, "datum": datum}))


def publish_alarms(publisher: Publisher, archive: Archive) -> None:
    """Let pages request the alarms again."""
    publisher.publish_all([encoded({"alarms": archive.alarm_changes})])


def encoded(message: Any) -> bytes:
    """Encode a message for a page."""
    return msgspec.json.encode(message)


def error_message(code: str, cause: str, cure: str) -> bytes:
    """An error for a page; ``cause`` is a sentence without its full stop."""
    return encoded({"error": {"code": code, "cause": cause, "cure": cure}})


def _now_ms() -> float:
    return time.time_ns() / NS_PER_MS
