"""Values, table rows and gaps as the page's data, with UTC milliseconds."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from telecommands.dashboard.points.reduction import Gap, Sample
from telecommands.dictionary import Record, Verification

NS_PER_MS: Final = 1e6


def milliseconds(t: int | None) -> float | None:
    """UTC nanoseconds as UTC milliseconds."""
    return None if t is None else t / NS_PER_MS


def value_datum(sample: Sample) -> dict[str, Any]:
    """One value, as coded by the point."""
    t, value, seq, boot = sample
    return {"timestamp": t / NS_PER_MS, "value": value, "seq": seq, "boot": boot}


def row_datum(packet_t: int, seq: int | None, boot: int | None, record: Record) -> dict[str, Any]:
    """A row of the events or of the verification stages; structures as JSON."""
    datum = {name: _cell(value) for name, value in msgspec.to_builtins(record).items()}
    datum |= {"timestamp": packet_t / NS_PER_MS, "seq": seq, "boot": boot}
    if isinstance(record, Verification):
        datum["at"] = record.at / NS_PER_MS
    return datum


def gap_datum(gap: Gap) -> dict[str, Any]:
    """A gap of missing packets."""
    return {"timestamp": gap.t / NS_PER_MS, "value": None, "gap": gap.missing}


def _cell(value: Any) -> Any:
    if isinstance(value, (dict, list)):
        return msgspec.json.encode(value).decode() if value else ""
    return value
