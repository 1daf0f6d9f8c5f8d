"""What of all that was sent is in the archive."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deploy.benchmark.dashboard.telemetry import telemetry_of, values_of
from telecommands.codec import decode_as
from telecommands.dashboard.archive.reader import ArchiveReader
from telecommands.dictionary import PACKETS


@dataclass(frozen=True)
class Account:
    """Values, counted packet by packet and number by number; ``sent`` since the bridge listened."""

    sent: int = 0
    archived: int = 0
    missing: int = 0
    repeated: int = 0
    wrong: int = 0

    def __add__(self, other: Account) -> Account:
        return Account(
            self.sent + other.sent,
            self.archived + other.archived,
            self.missing + other.missing,
            self.repeated + other.repeated,
            self.wrong + other.wrong,
        )


def account_of(path: Path, boot: int, periods: int) -> Account:
    """Compare the archive's packets of a boot with those that were sent."""
    total = Account()
    with ArchiveReader(path) as reader:
        for topic in telemetry_of(1, boot):
            total += _account_of(reader, topic, boot, periods)
    return total


def _account_of(reader: ArchiveReader, topic: str, boot: int, periods: int) -> Account:
    found: dict[int, int] = {}
    wrong = 0
    for _, its_boot, seq, body in reader.bodies(topic, 0, 2**62):
        if its_boot != boot:
            continue
        found[seq] = found.get(seq, 0) + 1
        sent = telemetry_of(seq, boot)[topic]  # type: ignore[index]
        wrong += decode_as(PACKETS[topic], body, "the archive") != sent  # type: ignore[index]
    first = min(found, default=1)
    values = values_of(topic, telemetry_of(1, boot)[topic])  # type: ignore[index]
    sent_periods = periods - first + 1
    archived = sum(found.values())
    missing = len(set(range(first, periods + 1)) - set(found))
    repeated = archived - len(found)
    return Account(*(values * one for one in (sent_periods, archived, missing, repeated, wrong)))
