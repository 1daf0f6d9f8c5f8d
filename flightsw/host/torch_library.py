"""Whether torch is installed: the card's engine and its simulator do without it."""

from __future__ import annotations

from importlib.util import find_spec

from flightsw.errors import EngineUnavailable


def require_torch(user: str) -> None:
    """Raise :class:`EngineUnavailable` if torch, which ``user`` needs, is not installed."""
    if find_spec("torch") is None:
        raise EngineUnavailable(
            user,
            "needs torch, which is not installed",
            'Install it with pip install "flightsw[torch]", or leave it out of the settings',
        )
