from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from tests.unit.flightsw.commanding.harness import Harness


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    one = Harness(tmp_path)
    yield one
    one.state.close()


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[EventDict]]:
    """What was logged."""
    with capture_logs() as entries:
        yield entries
