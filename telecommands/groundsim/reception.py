"""Receives products until none is left, or until the requested number has been received."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from telecommands.ground.downlink import DownlinkReceiver, ReceivedProduct
from telecommands.ground.errors import TransferFailed

POLL_S: Final = 0.25
"""Pause between two requests for the next product."""

SILENCE_S: Final = 30.0
"""A link without an answer for this long is considered dead: a service restarts faster."""

_MOST_FAILURES: Final = 100  # one after the other
_MOST_REPEATS: Final = 3  # of a product without a byte: it may have been released again

MayWait: TypeAlias = Callable[[int, float], bool]
"""Whether to request again, given the number received and the seconds since the last one."""


def receive_products(
    receiver: DownlinkReceiver,
    may_wait: MayWait,
    failed: Callable[[TransferFailed], None],
    *,
    most: int | None = None,
) -> Iterator[ReceivedProduct]:
    """Yield products as they are received, ``most`` at most.

    Ends when no product is offered and ``may_wait`` returns false.  A product that cannot be
    received is reported to ``failed`` and skipped; if the same failure is repeated, it is raised,
    and so is one after many others.  Raises :class:`TransferFailed` for a product that is offered
    again and again although it was confirmed.
    """
    count = failures = 0
    repeats: Counter[str] = Counter()
    reported: set[str] = set()
    heard_at = time.monotonic()
    while most is None or count < most:
        try:
            product = receiver.receive_next(SILENCE_S)
        except TransferFailed as error:
            failures += 1
            if str(error) in reported or failures > _MOST_FAILURES:
                raise
            reported.add(str(error))
            failed(error)
            continue
        if product is not None:
            count, failures = count + 1, 0
            repeats[product.product] += not product.transferred
            if repeats[product.product] > _MOST_REPEATS:
                cause = "is offered again and again although it was confirmed"
                raise TransferFailed(product.product, cause, "Check the service log")
            yield product
            heard_at = time.monotonic()
        elif may_wait(count, time.monotonic() - heard_at):
            time.sleep(POLL_S)
        else:
            return
