"""INT8 values for all 65,536 digital numbers, against float64 arithmetic."""

from __future__ import annotations

import gc
import math
import sys
import weakref
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from structlog.testing import capture_logs

from flightsw.errors import EngineUnavailable
from flightsw.pipeline import quantisation
from flightsw.pipeline.quantisation import (
    CpuQuantiser,
    open_quantiser,
    quantisation_table,
    scene_tables,
)
from flightsw.pipeline.torch_quantisation import TorchQuantiser
from tests.unit.flightsw.small_parts import ArithmeticEngine, scene_metadata


def _by_the_formula(number: int, offset: int, scale: float, zero_point: int) -> int:
    """One digital number in Python's own float64; ``round`` is half to even."""
    if number == 65_535:
        return 127
    reflectance = 0.0 if number == 0 else (number + offset) / 10_000
    return max(-128, min(127, round(reflectance / scale + zero_point)))


@pytest.mark.parametrize("offset", [-1000, 0])
@pytest.mark.parametrize(
    ("scale", "zero_point"),
    [(0.004, -128), (1 / 255, -128), (0.0078125, 0), (0.005, -100), (1e-4, -128), (0.5, 127)],
)
def test_every_digital_number_has_the_value_of_the_formula(
    offset: int, scale: float, zero_point: int
) -> None:
    table = quantisation_table(offset, 10_000, scale, zero_point)
    expected = [_by_the_formula(number, offset, scale, zero_point) for number in range(65_536)]
    np.testing.assert_array_equal(table, expected)


@given(
    scale=st.floats(1e-5, 10, allow_nan=False),
    zero_point=st.integers(-128, 127),
    offset=st.integers(-2000, 0),
    number=st.integers(0, 65_535),
)
def test_any_scale_has_the_value_of_the_formula(
    scale: float, zero_point: int, offset: int, number: int
) -> None:
    table = quantisation_table(offset, 10_000, scale, zero_point)
    assert table[number] == _by_the_formula(number, offset, scale, zero_point)


def test_halves_round_to_the_even_neighbour() -> None:
    table = quantisation_table(0, 1, 1.0, 0)
    assert [int(table[number]) for number in (1, 2, 3)] == [1, 2, 3]
    halves = quantisation_table(0, 2, 1.0, 0)
    assert [int(halves[number]) for number in (1, 3, 5)] == [0, 2, 2]


def test_no_data_is_reflectance_zero_and_not_minus_the_offset() -> None:
    table = quantisation_table(-1000, 10_000, 0.004, -100)
    assert table[0] == -100
    assert table[1] == math.floor(-999 / 10_000 / 0.004 - 100 + 0.5)


def test_opencv_and_torch_give_identical_bytes_for_every_digital_number() -> None:
    engine = ArithmeticEngine().info
    tables = scene_tables(
        scene_metadata(1, 1, offsets={"B02": -1000, "B03": 0, "B04": -900, "B08": -1}), engine
    )
    every = np.arange(65_536, dtype=np.uint16).reshape(256, 256)
    numbers = np.stack([every, every[::-1], every.T, every[:, ::-1]])
    expected = np.stack([table[band] for table, band in zip(tables, numbers, strict=True)], axis=-1)
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    by_torch = [TorchQuantiser(tables, torch.device(device)) for device in devices]
    for quantise in (CpuQuantiser(tables), *by_torch):
        wider = np.zeros((256, 300, 4), dtype=np.int8)
        quantise(np.array_split(numbers, 3, axis=1), wider[:, :256])
        np.testing.assert_array_equal(wider[:, :256], expected)
        assert not wider[:, 256:].any()


def test_each_band_has_its_own_offset_in_the_engines_band_order() -> None:
    offsets = {"B02": -1000, "B03": -900, "B04": -800, "B08": 0}
    bands = ("B08", "B04", "B03", "B02")
    tables = scene_tables(
        scene_metadata(1, 1, offsets=offsets, bands=bands), ArithmeticEngine(bands=bands).info
    )
    assert [int(table[1000]) for table in tables] == [-103, -123, -126, -128]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is present")
def test_cuda_asked_for_and_absent_says_so() -> None:
    with pytest.raises(EngineUnavailable, match="no CUDA device"):
        open_quantiser(np.zeros((4, 65_536), np.int8), "cuda")


def test_without_torch_a_cuda_device_leaves_quantisation_to_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flightsw.pipeline.quantisation.cuda_answers", lambda: True)
    monkeypatch.setitem(sys.modules, "torch", None)
    tables = np.zeros((4, 65_536), np.int8)
    assert isinstance(open_quantiser(tables, "auto"), CpuQuantiser)
    with pytest.raises(EngineUnavailable, match="needs torch, which is not installed"):
        open_quantiser(tables, "cuda")


class _FailingLater:
    """A device that quantises once and then is gone, half a row written."""

    windows = None

    def __init__(self, tables: NDArray[np.int8]) -> None:
        self.calls = 0
        self._tables = tables

    def __call__(self, pieces: Sequence[NDArray[np.uint16]], out: NDArray[np.int8]) -> None:
        self.calls += 1
        if self.calls > 1:
            out[:, ::2] = 99
            raise RuntimeError("CUDA error: unspecified launch failure\nCUDA kernel errors might")
        CpuQuantiser(self._tables)(pieces, out)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[weakref.ref[_FailingLater]]]:
    """CUDA devices that fail; what was opened on them, and nobody else keeps."""
    opened: list[weakref.ref[_FailingLater]] = []

    def open_device(tables: NDArray[np.int8]) -> _FailingLater:
        device = _FailingLater(tables)
        opened.append(weakref.ref(device))
        return device

    monkeypatch.setattr("flightsw.pipeline.quantisation.cuda_answers", lambda: True)
    monkeypatch.setattr("flightsw.pipeline.torch_quantisation.open_cuda_quantiser", open_device)
    yield opened
    quantisation._GIVEN_UP.clear()


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_if_cuda_fails_in_the_middle_of_a_scene_the_cpu_continues_with_the_same_bytes(
    device: Literal["auto", "cuda"], failing: list[weakref.ref[_FailingLater]]
) -> None:
    tables = np.random.default_rng(3).integers(-128, 128, (4, 65_536)).astype(np.int8)
    quantise = open_quantiser(tables, device)
    assert quantise.windows is None
    numbers = np.random.default_rng(4).integers(0, 65_536, (4, 20, 30), np.uint16)
    expected = np.stack([t[band] for t, band in zip(tables, numbers, strict=True)], axis=-1)
    with capture_logs() as logged:
        for _ in range(3):
            out = np.zeros((20, 30, 4), np.int8)
            quantise([numbers], out)
            np.testing.assert_array_equal(out, expected)
    (warning,) = logged
    assert "launch failure" in warning["cause"]
    assert quantise.windows == CpuQuantiser.windows
    del quantise
    gc.collect()
    (left,) = failing
    still = left()
    assert still is not None, "what a failed device holds was freed, which would end the process"
    assert still.calls == 2


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_a_device_that_failed_is_not_asked_again_by_later_scenes(
    device: Literal["auto", "cuda"], failing: list[weakref.ref[_FailingLater]]
) -> None:
    tables = np.zeros((4, 65_536), np.int8)
    numbers, out = np.zeros((4, 2, 2), np.uint16), np.zeros((2, 2, 4), np.int8)
    quantise = open_quantiser(tables, device)
    for _ in range(2):
        quantise([numbers], out)
    assert isinstance(open_quantiser(tables, device), CpuQuantiser)
    assert len(failing) == 1


def test_a_gpu_that_cannot_be_used_is_logged_if_the_choice_was_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(_: object) -> CpuQuantiser:
        raise EngineUnavailable("pipeline.device cuda", "fails (out of memory)")

    monkeypatch.setattr("flightsw.pipeline.quantisation.cuda_answers", lambda: True)
    monkeypatch.setattr("flightsw.pipeline.torch_quantisation.open_cuda_quantiser", full)
    with capture_logs() as logged:
        assert isinstance(open_quantiser(np.zeros((4, 65_536), np.int8), "auto"), CpuQuantiser)
    assert "out of memory" in logged[0]["cause"]
