from __future__ import annotations

import io
import json
import logging
import threading
import warnings
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import structlog

from flightsw.telemetry.logs import configure_logs, log_for_people


class _Lines(io.StringIO):
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def lines() -> Iterator[_Lines]:
    root, ours = logging.getLogger(), logging.getLogger("flightsw")
    before = root.handlers[:], root.level, ours.level, threading.excepthook
    configure_logs("info", stream := _Lines())
    yield stream
    logging.captureWarnings(False)
    root.handlers[:], threading.excepthook = before[0], before[3]
    root.setLevel(before[1])
    ours.setLevel(before[2])
    structlog.reset_defaults()


def test_a_line_is_one_json_object_with_time_level_event_and_thread(lines: _Lines) -> None:
    structlog.get_logger("flightsw.service").info("started\nwell", boot=3)
    (record,) = lines.records()
    assert list(record)[:3] == ["time", "level", "event"]
    assert record["level"] == "info"
    assert record["event"] == "started\nwell"
    assert record["boot"] == 3
    assert record["thread"] == threading.current_thread().name
    assert record["logger"] == "flightsw.service"
    moment = datetime.fromisoformat(record["time"].replace("Z", "+00:00"))
    assert moment.utcoffset() == timedelta(0)


def test_secrets_are_taken_out_at_every_depth(lines: _Lines) -> None:
    structlog.get_logger("flightsw").info("x", key_id="ops", mac=b"s3cret", inner={"key": "s3cret"})
    assert "s3cret" not in lines.getvalue()
    assert lines.records()[0]["key_id"] == "ops"
    assert lines.records()[0]["inner"] == {}


def test_the_level_is_kept(lines: _Lines) -> None:
    structlog.get_logger("flightsw.a").debug("no")
    logging.getLogger("flightsw.a").debug("no")
    structlog.get_logger("flightsw.a").info("yes")
    assert [record["event"] for record in lines.records()] == ["yes"]


def test_libraries_are_heard_from_warning_on_and_in_the_same_form(lines: _Lines) -> None:
    logging.getLogger("rasterio").info("noise")
    logging.getLogger("rasterio").warning("no %s found", "driver")
    (record,) = lines.records()
    assert record["event"] == "no driver found"
    assert (record["level"], record["logger"]) == ("warning", "rasterio")


def test_warnings_are_logged(lines: _Lines) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("old habit", stacklevel=1)
        logging.captureWarnings(False)
    (record,) = lines.records()
    assert record["level"] == "warning"
    assert "old habit" in record["event"]


def test_an_exception_is_logged_with_its_stack_and_no_local_variables(lines: _Lines) -> None:
    def fails() -> None:
        hidden = "".join(("s3", "cret"))
        raise ValueError(len(hidden))

    try:
        fails()
    except ValueError:
        structlog.get_logger("flightsw").exception("failed")
    (record,) = lines.records()
    assert "ValueError: 6" in record["exception"]
    assert "s3cret" not in lines.getvalue()


def test_a_thread_that_ends_by_an_exception_is_logged(lines: _Lines) -> None:
    def fails() -> None:
        raise ValueError("reported")

    thread = threading.Thread(target=fails, name="flightsw-test")
    thread.start()
    thread.join()
    (record,) = lines.records()
    assert record["level"] == "critical"
    assert "flightsw-test" in record["event"]
    assert "ValueError: reported" in record["exception"]


def test_lines_of_many_threads_stay_whole(lines: _Lines) -> None:
    log = structlog.get_logger("flightsw")
    threads = [
        threading.Thread(target=lambda: [log.info("x", n=n) for n in range(100)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines.records()) == 400


def test_a_command_logs_for_people_whatever_was_configured_before(
    lines: _Lines, capsys: pytest.CaptureFixture[str]
) -> None:
    log_for_people()
    structlog.get_logger("flightsw").info("a scene begins", scene="one")
    assert lines.getvalue() == ""
    assert "a scene begins" in capsys.readouterr().err
