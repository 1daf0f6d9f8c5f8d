from __future__ import annotations

import csv
from pathlib import Path

import pytest
from pyarrow import parquet

from telecommands.dashboard.archive.writer import Archive
from telecommands.dashboard.points.catalogue import PointCatalogue
from telecommands.groundsim.cli import main
from tests.unit.telecommands.dashboard.conftest import SECOND, START, arrival


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "archive.sqlite"
    with Archive(path, PointCatalogue()) as archive:
        archive.write([arrival(1), arrival(2), arrival(5), arrival(1, topic="evt")])
    return path


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


def test_csv_has_a_row_a_value_and_a_row_a_gap(
    archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(archive), "--keys", "hk.card_power_w"]) == 0
    rows = _rows(capsys.readouterr().out)
    assert [(row["value"], row["gap"], row["seq"]) for row in rows] == [
        ("9.0", "", "1"),
        ("9.0", "", "2"),
        ("", "2", ""),
        ("9.0", "", "5"),
    ]
    assert rows[0]["t"] == str(START + SECOND)


def test_parquet_holds_the_same_as_csv(archive: Path, tmp_path: Path) -> None:
    outputs = [tmp_path / f"out{suffix}" for suffix in (".csv", ".parquet")]
    for output in outputs:
        assert main(["export", str(archive), "-o", str(output)]) == 0
    rows = _rows(outputs[0].read_text())
    table = parquet.read_table(outputs[1]).to_pylist()
    assert len(rows) == len(table) > 100
    for row, same in zip(rows, table, strict=True):
        assert row == {name: "" if value is None else str(value) for name, value in same.items()}
    assert {"hk.heartbeats.commanding", "evt", "hk.mode"} <= {row["key"] for row in rows}


def test_a_time_range_and_beginnings_of_keys_choose(
    archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = str(START + 2 * SECOND)
    arguments = ["export", str(archive), "--keys", "hk.jobs.", "--start", start, "--end", start]
    assert main(arguments) == 0
    rows = _rows(capsys.readouterr().out)
    assert {row["key"] for row in rows} == {
        f"hk.jobs.{state}"
        for state in ("queued", "running", "completed", "failed", "cancelled", "timed_out")
    }
    assert {row["seq"] for row in rows if not row["gap"]} == {"2"}


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        (["--keys", "hk.nonsense"], "is not a key"),
        (["--start", "yesterday"], "not a time"),
        (["--start", "2030-01-01", "--end", "2029-01-01"], "later than"),
        (["-o", "out.xls"], "neither .csv nor .parquet"),
        (["-o", "/nowhere/out.csv"], "cannot be written"),
    ],
)
def test_invalid_options_are_reported_on_one_line(
    archive: Path, capsys: pytest.CaptureFixture[str], options: list[str], cause: str
) -> None:
    assert main(["export", str(archive), *options]) in (1, 2)
    captured = capsys.readouterr()
    assert cause in captured.err
    assert captured.err.count("\n") == 1


def test_a_missing_archive_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tmp_path / "none.sqlite")]) == 1
    assert "does not exist" in capsys.readouterr().err
