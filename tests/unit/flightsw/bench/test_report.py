from __future__ import annotations

import json

import msgspec
import pytest

from flightsw.bench.reference import REFERENCE
from flightsw.bench.report import as_json, as_markdown, rows_of
from flightsw.bench.results import BenchResult, EngineResult, Protocol

_DIMC = EngineResult(
    title="the card",
    engine="dimc",
    settings="as set",
    device="metis-0:3:0",
    precision="int8",
    batch=1,
    tile_size=224,
    tiles=20,
    figures={"accelerator_mean": 0.47, "throughput": 1338.0, "agreement": 97.8},
    samples_ns={"accelerator": [470_000] * 20},
)
_TORCH = EngineResult(
    title="torch-cpu", engine="torch-cpu", settings="as set", figures={"throughput": 10.81}
)
_ABSENT = EngineResult(
    title="tensorrt",
    engine="tensorrt",
    settings="as set",
    absent="tensorrt: is not installed. Install it",
)


def _result(*engines: EngineResult, **changes: object) -> BenchResult:
    fields: dict[str, object] = {
        "partial": False,
        "started_at": "2026-11-22T12:00:00+00:00",
        "machine": "2 cores",
        "software_version": "0.1.0",
        "model_id": "model",
        "scene": "golden tiles",
        "protocol": Protocol(20, 4, 0.0),
        "engines": engines,
    }
    return BenchResult(**(fields | changes))  # type: ignore[arg-type]


def _line(markdown: str, start: str) -> list[str]:
    [line] = [line for line in markdown.splitlines() if line.startswith(f"| {start} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_card_is_held_against_the_reference_card_and_others_against_tensorrt() -> None:
    ratios = {(row["key"], row["title"]): row["ratio"] for row in rows_of([_DIMC, _TORCH])}
    assert ratios["accelerator_mean", "the card"] == pytest.approx(0.5)
    assert ratios["throughput", "the card"] == pytest.approx(2.0)
    assert ratios["throughput", "torch-cpu"] == pytest.approx(0.01)


def test_a_figure_without_a_counterpart_has_no_ratio() -> None:
    ratios = {(row["key"], row["title"]): row["ratio"] for row in rows_of([_DIMC, _TORCH])}
    assert ratios["f2", "the card"] is None  # not measured
    assert ratios["accelerator_mean", "torch-cpu"] is None


def test_every_figure_of_the_reference_has_a_line_with_both_columns() -> None:
    markdown = as_markdown(_result(_DIMC))
    assert markdown.count("\n| ") >= len(REFERENCE)
    assert _line(markdown, "tiles over inference wall time") == [
        "tiles over inference wall time", "tiles/s", "669.0", "1,081", "1,338 (2.00 x)",
    ]  # fmt: skip


def test_an_absent_engine_says_why_and_takes_no_column() -> None:
    markdown = as_markdown(_result(_DIMC, _ABSENT))
    assert _line(markdown, "tensorrt")[2] == "tensorrt: is not installed. Install it"
    assert len(_line(markdown, "tiles over inference wall time")) == 5


def test_a_partial_result_says_so_on_top_and_names_what_is_missing() -> None:
    markdown = as_markdown(_result(_DIMC, partial=True, planned=("the card", "torch-cpu")))
    assert markdown.splitlines()[2].startswith("**PARTIAL")
    assert _line(markdown, "torch-cpu")[2] == "not measured yet"
    assert "PARTIAL" not in as_markdown(_result(_DIMC, planned=("the card",)))


def test_the_json_reads_back_with_a_ratio_for_each_row() -> None:
    result = _result(_DIMC, _ABSENT, notes=("a note",))
    content = as_json(result)
    assert msgspec.json.decode(content, type=BenchResult) == result
    [row] = [row for row in json.loads(content)["rows"] if row["key"] == "throughput"]
    assert row["ratio"] == pytest.approx(2.0)
    assert row["reference"] == 669
