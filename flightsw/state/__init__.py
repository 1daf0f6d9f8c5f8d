"""The service's memory: rows with checksums in one SQLite file, and what restores them."""

from __future__ import annotations

from flightsw.state.file import StateFile
from flightsw.state.recovery import StateLoss

__all__ = ["StateFile", "StateLoss"]
