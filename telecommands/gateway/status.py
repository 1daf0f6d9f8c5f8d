"""What the gateway counts, and the packet that reports it."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Final, Literal, TypeAlias, get_args

from msgspec import Meta

from telecommands.dictionary import Count, Record

Fault: TypeAlias = Literal[
    "FRAMING",
    "TRUNCATED",
    "MALFORMED",
    "WRONG_CHECKSUM",
    "WRONG_APID",
    "UNKNOWN_SERVICE",
    "BAD_ARGUMENTS",
    "HAZARDOUS",
    "QUEUE_FULL",
    "NOT_SENT",
    "TOO_MANY_PEERS",
    "PEER_LOST",
    "PEER_SLOW",
    "NOT_ENCODED",
]
FAULTS: Final[tuple[Fault, ...]] = get_args(Fault)
"""FRAMING: a peer's bytes are not space packets; TRUNCATED: a packet did not arrive whole in time;
MALFORMED to BAD_ARGUMENTS: what is wrong with a telecommand; HAZARDOUS: a hazardous telecommand,
which this gateway does not send; QUEUE_FULL, NOT_SENT: a telecommand that did not reach the link;
TOO_MANY_PEERS, PEER_LOST: connections; PEER_SLOW: packets dropped because a peer does not read;
NOT_ENCODED: telemetry that has no form as a space packet, such as one that is too long."""


class GatewayStatus(Record, frozen=True, kw_only=True):
    """What the gateway counted since it started."""

    link_up: Annotated[
        bool, Meta(description="whether the service's telemetry link is established")
    ]
    peers: Annotated[Count, Meta(description="connected mission-control systems")]
    telemetry: Annotated[Count, Meta(description="packets received from the service")]
    lost: Annotated[Count, Meta(description="packets of the service that are missing")]
    sent: Annotated[Count, Meta(description="space packets made")]
    telecommands: Annotated[Count, Meta(description="space packets received")]
    waiting: Annotated[Count, Meta(description="telecommands that are not closed yet")]
    faults: Annotated[
        dict[str, int],
        Meta(description="faults by kind (docs/mission-control.md)", extra={"known": (FAULTS,)}),
    ]


class Tally:
    """Counters of one gateway.  Threads that share it hold the lock of its owner."""

    def __init__(self) -> None:
        self.faults: Counter[Fault] = Counter()
        self.telemetry = 0
        self.sent = 0
        self.telecommands = 0
        self.link_up = False
        self.lost = 0

    def status(self, peers: int, waiting: int) -> GatewayStatus:
        """The counters now."""
        return GatewayStatus(
            link_up=self.link_up,
            peers=peers,
            telemetry=self.telemetry,
            lost=self.lost,
            sent=self.sent,
            telecommands=self.telecommands,
            waiting=waiting,
            faults=dict(self.faults.items()),
        )
