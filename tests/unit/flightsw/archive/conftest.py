"""An order of the shipped model, and a chain that computes nothing."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deploy.archive.stubs import StubChain
from flightsw.archive.run_order import RunOrder, make_order
from flightsw.archive.work import Chain, SceneStation
from flightsw.chain import ProcessedScene, SceneRequest
from flightsw.config import Settings
from flightsw.errors import FlightError


@dataclass
class CountingChain:
    """Answers as :class:`StubChain`, or raises; notes what it was asked to process."""

    error: FlightError | None = None
    requests: list[SceneRequest] = field(default_factory=list)

    def process(self, request: SceneRequest) -> ProcessedScene:
        self.requests.append(request)
        if self.error:
            raise self.error
        return StubChain().process(request)

    def station(self, order: RunOrder) -> SceneStation:
        def opened(_order: RunOrder, _held: ExitStack) -> Chain:
            return self

        return SceneStation(order, opened, "tcp://here:1")


@pytest.fixture
def order(tmp_path: Path) -> RunOrder:
    return make_order(Settings(), tmp_path / "out", ("stac",))


@pytest.fixture
def chain() -> CountingChain:
    return CountingChain()
