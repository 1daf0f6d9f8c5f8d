"""Recovers a card that no longer answers, with the vendor's own tool."""

from __future__ import annotations

import shutil
import subprocess
from typing import Final

import structlog

from flightsw.config import DimcSettings

_log: Final = structlog.get_logger(__name__)

_TOOL: Final = "axdevice"
_REFRESH_SECONDS: Final = 90.0  # it takes about 30 s


def refresh_card(settings: DimcSettings) -> bool:
    """Run ``axdevice --refresh`` (about 30 s); whether it ran and succeeded.

    False for the simulator, and if the vendor's tool is not installed.
    """
    tool = shutil.which(_TOOL)
    if settings.card == "simulator" or tool is None:
        return False
    try:
        done = subprocess.run(
            [tool, "--refresh"],
            capture_output=True,
            check=False,
            timeout=_REFRESH_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        _log.warning("the card could not be refreshed", cause=str(error))
        return False
    if done.returncode:
        cause = done.stderr.decode(errors="replace")[-200:]
        _log.warning("the card could not be refreshed", status=done.returncode, cause=cause)
    return done.returncode == 0
