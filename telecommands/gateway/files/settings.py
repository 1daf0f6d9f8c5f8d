"""What the two ends of a CFDP link agree on, and the limits of this end."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

LONGEST_PDU: Final = 65_507
"""Bytes of the longest UDP datagram."""

ChecksumName: TypeAlias = Literal["modular", "crc32", "crc32c"]


class CfdpSettings(msgspec.Struct, frozen=True):
    """Ids of the two entities, lengths and times.

    ``pdu_bytes`` bounds the PDUs that are sent and ``silence_s`` the time for which the peer may be
    silent while something is expected of it; ``resend_s`` is that of NAK, EOF and Finished PDUs.
    """

    local: Annotated[int, Meta(ge=0, le=2**16 - 1)] = 1
    peer: Annotated[int, Meta(ge=0, le=2**16 - 1)] = 2
    pdu_bytes: Annotated[int, Meta(ge=64, le=LONGEST_PDU)] = 8192
    checksum: ChecksumName = "modular"
    resend_s: Annotated[float, Meta(gt=0, le=10**9)] = 2.0
    silence_s: Annotated[float, Meta(gt=0, le=10**9)] = 30.0
    bytes_per_second: Annotated[float, Meta(gt=0, le=10**12)] = 20e6
    largest_file: int = 200 * 10**6
    """Bytes of a file that is received."""
