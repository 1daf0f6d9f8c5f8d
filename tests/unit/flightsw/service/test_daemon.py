from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from flightsw.config import DimcSettings, ServiceSettings, Settings
from flightsw.errors import EngineUnavailable
from flightsw.fdir.boots import CLEAN_SHUTDOWN, RESTART_COMMANDED, BootRecord
from flightsw.fdir.notify import ServiceNotifier
from flightsw.service.daemon import FlightService
from flightsw.service.handlers import RESTART_STATUS
from flightsw.state import StateFile

_PATIENCE_S = 60


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        (lambda service: service.end(0), CLEAN_SHUTDOWN),
        (lambda service: service.end(RESTART_STATUS), RESTART_COMMANDED),
        (lambda service: service.end_by_signal(), CLEAN_SHUTDOWN),
    ],
)
def test_an_orderly_end_while_the_engine_still_opens_is_a_clean_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    end: Callable[[FlightService], None],
    cause: str,
) -> None:
    opening, give_up = threading.Event(), threading.Event()

    def open_slowly(*_: object) -> None:
        opening.set()
        assert give_up.wait(_PATIENCE_S)
        raise EngineUnavailable("the engine", "took too long", "Wait")

    monkeypatch.setattr("flightsw.jobs.worker.open_chain", open_slowly)
    monkeypatch.setattr("flightsw.jobs.worker._STOP_SECONDS", 0.1)
    settings = Settings(
        dimc=DimcSettings(card="simulator"),
        service=ServiceSettings(
            state_dir=tmp_path,
            scene_root=tmp_path,
            telecommand_port=0,
            telemetry_port=0,
            downlink_port=0,
            curve=False,
        ),
    )
    service = FlightService(settings, ServiceNotifier())
    running = threading.Thread(target=service.run)
    running.start()
    try:
        assert opening.wait(_PATIENCE_S)
        end(service)
        running.join(_PATIENCE_S)
        assert not running.is_alive()
        assert not service.processing_ended
        with StateFile(tmp_path) as state:
            boot = BootRecord(state).begin(1)
        assert (boot.last_was_clean, boot.unclean_count, boot.reset_cause) == (True, 0, cause)
    finally:
        give_up.set()
        service._processing._thread.join(_PATIENCE_S)
