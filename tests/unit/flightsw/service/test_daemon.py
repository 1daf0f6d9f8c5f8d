from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs
from zmq.auth.thread import AuthenticationThread

from flightsw.config import DimcSettings, PipelineSettings, ServiceSettings, Settings
from flightsw.errors import EngineUnavailable, UsageError
from flightsw.fdir.boots import CLEAN_SHUTDOWN, RESTART_COMMANDED, BootRecord
from flightsw.fdir.notify import ServiceNotifier
from flightsw.keys import KeyFolder
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
    settings = _settings(tmp_path)
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


def _settings(folder: Path, *, curve: bool = False) -> Settings:
    return Settings(
        dimc=DimcSettings(card="simulator"),
        service=ServiceSettings(
            unit="sat-a",
            state_dir=folder,
            scene_root=folder,
            telecommand_port=0,
            telemetry_port=0,
            downlink_port=0,
            curve=curve,
        ),
    )


def _spoil(owner: object, name: str, fault: BaseException) -> None:
    """From now on this method of the service fails."""

    def fail(*_: object, **__: object) -> None:
        raise fault

    setattr(owner, name, fail)


def _no_engine(*_: object) -> None:
    raise EngineUnavailable("the engine", "is not needed here", "Continue")


_THREADS: dict[str, Callable[[FlightService], tuple[object, str]]] = {
    "commanding": lambda service: (service._commanding, "_serve"),
    "telemetry": lambda service: (service._telemetry, "_serve"),
    "downlink": lambda service: (service._downlink, "_serve"),
    "processing": lambda service: (service._processing, "_serve_task"),
    "main": lambda service: (service._health, "check"),
}


@pytest.mark.parametrize("thread", _THREADS)
@pytest.mark.parametrize(
    "fault",
    [MemoryError(), ImportError("libonnx.so is absent"), ValueError("unforeseen")],
    ids=repr,
)
def test_a_thread_that_ends_by_a_fault_is_reported_and_ends_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, thread: str, fault: Exception
) -> None:
    monkeypatch.setattr("flightsw.jobs.worker.open_chain", _no_engine)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    with capture_logs() as logs:
        service = FlightService(_settings(tmp_path), ServiceNotifier())
        _spoil(*_THREADS[thread](service), fault)
        assert service.run() == 70
    (event,) = [line for line in logs if line["event"] == "THREAD_ENDED"]
    assert event["fields"] == {"thread": thread}
    assert repr(fault) in event["message"]
    assert not [line for line in logs if line["event"] == "SERVICE_STOPPING"]
    with StateFile(tmp_path) as state:
        assert not BootRecord(state).begin(1).last_was_clean  # a boot loop ends in SAFE


def test_a_thread_that_exits_without_a_word_is_noticed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flightsw.jobs.worker.open_chain", _no_engine)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    service = FlightService(_settings(tmp_path), ServiceNotifier())
    _spoil(service._processing, "_serve_task", SystemExit())
    assert service.run() == 70


def test_the_end_of_the_thread_that_lets_clients_in_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(thread: AuthenticationThread) -> None:
        thread.started.set()
        thread.pipe.close()

    monkeypatch.setattr("flightsw.jobs.worker.open_chain", _no_engine)
    monkeypatch.setattr(AuthenticationThread, "run", end)
    KeyFolder(tmp_path / "keys").generate("sat-a")
    with capture_logs() as logs:
        service = FlightService(_settings(tmp_path, curve=True), ServiceNotifier())
        assert service.run() == 70
    assert [line["fields"] for line in logs if line["event"] == "THREAD_ENDED"] == [
        {"thread": "authentication"}
    ]


@pytest.mark.parametrize(
    "lacks", [(), ("landlock_version",), ("landlock_version", "seccomp_works")]
)
def test_what_confines_decoders_less_than_wholly_is_an_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacks: tuple[str, ...]
) -> None:
    monkeypatch.setattr("flightsw.jobs.worker.open_chain", _no_engine)
    for name in ("landlock_version", "seccomp_works"):
        monkeypatch.setattr(
            f"flightsw.scene.confined.{name}", lambda there=name not in lacks: there
        )
    with capture_logs() as logs:
        service = FlightService(_settings(tmp_path), ServiceNotifier())
        service.end(0)
        service.run()
    found = [line["message"] for line in logs if line["event"] == "DECODERS_UNCONFINED"]
    assert len(found) == len(lacks)
    assert all("in the kernel, a decoder can" in message for message in found)


def test_reading_in_the_services_process_is_an_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flightsw.jobs.worker.open_chain", _no_engine)
    settings = _settings(tmp_path)
    section = replace(settings.service, confined_decoders=False)
    with capture_logs() as logs:
        service = FlightService(replace(settings, service=section), ServiceNotifier())
        service.end(0)
        service.run()
    (event,) = [line for line in logs if line["event"] == "DECODERS_UNCONFINED"]
    assert event["message"] == "service.confined_decoders is false"


def test_the_gpu_cannot_be_demanded_of_confined_decoders(tmp_path: Path) -> None:
    settings = replace(_settings(tmp_path), pipeline=PipelineSettings(decoder="gpu"))
    with pytest.raises(UsageError, match=r"decoder is gpu, .* have no access to the GPU"):
        FlightService(settings, ServiceNotifier())
