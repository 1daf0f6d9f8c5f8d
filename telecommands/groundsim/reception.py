"""How long to go on receiving products: until nothing is left, or what was asked for came."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from telecommands.ground.downlink import DownlinkReceiver, ReceivedProduct
from telecommands.ground.errors import TransferFailed

POLL_S: Final = 0.25
"""Between two questions whether there is a product now."""

SILENCE_S: Final = 30.0
"""Without an answer so long the link counts as dead: a service that restarts needs less."""

MayWait: TypeAlias = Callable[[int, float], bool]
"""Told how many came and for how many seconds none did: whether to ask again."""


def receive_products(
    receiver: DownlinkReceiver,
    may_wait: MayWait,
    failed: Callable[[TransferFailed], None],
    *,
    most: int | None = None,
) -> Iterator[ReceivedProduct]:
    """Products as they come, ``most`` at most; ends when none goes down now and none is awaited.

    A product that cannot be received is told to ``failed`` and passed over; the same failure
    once more is raised.
    """
    count = 0
    told: set[str] = set()
    heard_at = time.monotonic()
    while most is None or count < most:
        try:
            product = receiver.receive_next(SILENCE_S)
        except TransferFailed as error:
            if str(error) in told:
                raise
            told.add(str(error))
            failed(error)
            continue
        if product is not None:
            count += 1
            yield product
            heard_at = time.monotonic()
        elif may_wait(count, time.monotonic() - heard_at):
            time.sleep(POLL_S)
        else:
            return
