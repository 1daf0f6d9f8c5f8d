from __future__ import annotations

import pytest

from telecommands.groundsim.transfer_bar import transfer_bar


def test_each_file_is_shown_from_its_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    with transfer_bar() as show:
        show("mask.tif", 2_000_000, 2_000_000)
        show("report.json", 500, 1000)
    shown = capsys.readouterr().err
    assert "report.json" in shown
    assert "500/1,000 bytes" in shown or "0.5/1.0 kB" in shown


def test_nothing_is_shown_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with transfer_bar() as show:
        show("mask.tif", 1, 2)
    assert capsys.readouterr().err == ""
