"""The temperature of a real card, from a command that prints its log."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.rig.flight_unit import wait_until
from flightsw.engines.dimc.card_log import CardLog, celsius_of

LINE = "[04:58:54.012,603] <inf> collector: core_temps=[35,34,34,36,34]\\n"
"""As in the vendor's thermal guide."""


@pytest.mark.parametrize(
    ("log", "celsius"),
    [
        (b"[04:58:54.012,603] <inf> collector: core_temps=[35,34,34,35,34]\r\n", 35),
        (b"core_temps=[90,34,34,35,34]\ncore_temps=[35,34,37,35,34]\n", 37),
        (b"core_temps=[-5,-4,-4,-3,-9]\n", -3),
        (b"core_temps=[71]\n", 71),
        (b"core_temps=[71,]\n", None),
        (b"core_temps=[]\n", None),
        (b"core_temps=[99999999999]\n", None),
        (b"\xff\0 no temperatures\n", None),
        (b"", None),
    ],
)
def test_the_highest_of_the_last_temperatures_counts(log: bytes, celsius: float | None) -> None:
    assert celsius_of(log) == celsius


@contextmanager
def following(script: str, clock: Iterator[float] | None = None) -> Iterator[CardLog]:
    seconds = clock or iter(lambda: 100.0, None)
    log = CardLog([sys.executable, "-c", script], lambda: next(seconds))
    try:
        yield log
    finally:
        log.close()


def test_a_line_counts_when_its_end_has_come_although_the_command_flushes_nothing() -> None:
    script = f"print('{LINE}core_temps=[99,', end='\\n9'); import time; time.sleep(60)"
    with following(script) as log:
        wait_until(lambda: log.celsius() == 36)
        assert log.celsius() == 36


def test_a_log_that_falls_silent_gives_no_temperature_after_ten_seconds() -> None:
    now = [100.0]
    script = f"print('{LINE}', flush=True); import time; time.sleep(60)"
    with following(script, iter(lambda: now[0], None)) as log:
        wait_until(lambda: log.celsius() == 36)
        now[0] += 9.9
        assert log.celsius() == 36
        now[0] += 0.2
        assert log.celsius() is None


def test_a_command_that_ends_runs_again_after_half_a_minute(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now, runs = [100.0], tmp_path / "runs"
    script = f"open({str(runs)!r}, 'a').write('.'); print('{LINE}')"
    with following(script, iter(lambda: now[0], None)) as log:
        wait_until(lambda: log.celsius() is not None and caplog.messages)
        assert caplog.messages[0].endswith(" ended")
        assert log.celsius() == 36
        now[0] += 29.0
        assert log.celsius() is None
        assert runs.read_text() == "."
        now[0] += 1.0
        wait_until(lambda: log.celsius() == 36)
        assert runs.read_text() == ".."


def test_a_command_that_does_not_exist_is_one_warning_and_no_temperature(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seconds = iter(range(100, 500, 40))
    log = CardLog(["/nonexistent/axlogdevice", "--slog"], lambda: next(seconds))
    assert [log.celsius() for _ in range(5)] == [None] * 5
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "/nonexistent/axlogdevice --slog cannot run: " in caplog.text
    log.close()


def test_a_flood_of_lines_holds_nobody() -> None:
    with following(f"while True: print('{LINE}' * 1000)") as log:
        wait_until(lambda: log.celsius() == 36)
        assert {log.celsius() for _ in range(100)} == {36}


def test_a_closed_log_has_ended_its_command_and_starts_no_other(tmp_path: Path) -> None:
    number = tmp_path / "number"
    script = f"import os, time; open({str(number)!r}, 'w').write(str(os.getpid())); "
    script += f"print('{LINE}'); time.sleep(60)"
    with following(script) as log:
        wait_until(lambda: log.celsius() == 36)
    log.close()
    assert not Path(f"/proc/{number.read_text()}").exists()
    ended = number.read_text()
    assert log.celsius() == 36  # known for ten seconds
    assert number.read_text() == ended
