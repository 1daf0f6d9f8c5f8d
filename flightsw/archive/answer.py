"""What a worker answers for a scene."""

from __future__ import annotations

from typing import Literal

import msgspec

from flightsw.archive.agreement import Agreement
from flightsw.archive.outcome import Outcome


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome, ``computed`` now or ``recorded`` before, and its agreement with another run.

    ``unfit``: the worker cannot compute this scene nor any other, for the reason in ``outcome``.
    ``seconds`` is how long the answer took.
    """

    kind: Literal["computed", "recorded", "unfit"]
    outcome: Outcome
    worker: str = ""
    agreement: Agreement | None = None
    seconds: float = 0.0
