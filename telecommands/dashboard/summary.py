"""A unit at a glance, for the table of all units."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeVar

import msgspec

from telecommands.codec import decoder_of
from telecommands.dashboard.alarms import Alarm, AlarmSeverity
from telecommands.dashboard.archive.reader import ArchiveReader
from telecommands.dashboard.archive.timeline import next_contact
from telecommands.dashboard.link import LinkState
from telecommands.dashboard.points.data import NS_PER_MS, milliseconds
from telecommands.dictionary import CloudFraction, Housekeeping, OpenContact, Record

_ALWAYS: Final = 2**63 - 1
_WORST: Final[tuple[AlarmSeverity, ...]] = ("CRITICAL", "WARNING", "WATCH")

Kind = TypeVar("Kind", bound=Record)


class UnitSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Times are UTC milliseconds; None: not known.

    ``base`` begins the addresses of the unit's interface.  ``beyond`` is the number of values
    beyond their limits, ``worst`` their highest severity.  A contact that is open has
    ``contact_seconds`` left; ``next_contact`` is planned.  ``cloud`` is the contaminated fraction
    of the last ``scene``.  ``error`` says why the rest is missing.
    """

    name: str
    base: str
    link: LinkState
    mode: str | None = None
    last_packet: float | None = None
    beyond: int = 0
    worst: AlarmSeverity | None = None
    contact_seconds: float | None = None
    next_contact: float | None = None
    cloud: float | None = None
    scene: str | None = None
    error: str = ""


def summary_of(
    name: str,
    base: str,
    link: LinkState,
    alarms: Iterable[Alarm],
    reader: ArchiveReader,
    now: int,
) -> UnitSummary:
    """From the newest packets of the archive; ``now`` is UTC nanoseconds."""
    _, _, last = reader.extent()
    housekeeping = _newest(reader, "hk", Housekeeping)
    cloud = _newest(reader, "sci.cloud_fraction", CloudFraction)
    beyond = [one.beyond for one in alarms if one.beyond is not None]
    contact = housekeeping.contact if housekeeping is not None else None
    planned = next_contact(reader, OpenContact.NAME, now)
    return UnitSummary(
        name=name,
        base=base,
        link=link,
        mode=housekeeping.mode.value if housekeeping is not None else None,
        last_packet=milliseconds(last),
        beyond=len(beyond),
        worst=next((one for one in _WORST if one in beyond), None),
        contact_seconds=contact.seconds_left if contact is not None and contact.open else None,
        next_contact=None if planned is None else planned / NS_PER_MS,
        cloud=cloud.contaminated if cloud is not None else None,
        scene=cloud.scene if cloud is not None else None,
    )


def _newest(reader: ArchiveReader, topic: str, kind: type[Kind]) -> Kind | None:
    for stored in reader.bodies(topic, 0, _ALWAYS, 1, newest=True):
        newest: Kind = decoder_of(kind).decode(stored.body)
        return newest
    return None
