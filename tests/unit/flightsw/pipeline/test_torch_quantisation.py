"""The lookup by torch: bytes, lanes, and the CUDA kernel compiled for the host."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from structlog.testing import capture_logs

from flightsw.errors import EngineUnavailable
from flightsw.pipeline import cuda_lookup, torch_quantisation
from flightsw.pipeline.torch_quantisation import TorchQuantiser, open_cuda_quantiser

_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device answers")
_DEVICES = ["cpu", pytest.param("cuda", marks=_CUDA)]
_DTYPES = [np.int8, np.float16, np.float32]


def random_tables(dtype: Any, bands: int = 4) -> NDArray[Any]:
    """Values that differ from number to number and from band to band."""
    chance = np.random.default_rng(bands)
    if dtype == np.int8:
        return chance.integers(-128, 128, (bands, 65_536)).astype(np.int8)
    return chance.normal(0, 0.3, (bands, 65_536)).astype(dtype)


def every_number(bands: int = 4) -> NDArray[np.uint16]:
    """All 65,536 in each band, each band in an order of its own: ``(bands, 128, 512)``."""
    every = np.arange(65_536, dtype=np.uint16)
    return np.stack([np.roll(every, 4099 * band) for band in range(bands)]).reshape(bands, 128, 512)


def looked_up(tables: NDArray[Any], numbers: NDArray[np.uint16]) -> NDArray[Any]:
    return np.stack([table[band] for table, band in zip(tables, numbers, strict=True)], axis=-1)


@pytest.mark.parametrize("device", _DEVICES)
@pytest.mark.parametrize("dtype", _DTYPES)
@pytest.mark.parametrize("bands", [1, 3, 4])
def test_every_number_of_every_band_has_its_tables_bytes(
    device: str, dtype: Any, bands: int
) -> None:
    tables, numbers = random_tables(dtype, bands), every_number(bands)
    out = np.zeros((128, 600, bands), dtype)
    TorchQuantiser(tables, torch.device(device))([numbers], out[:, 40:552])
    assert out[:, 40:552].tobytes() == looked_up(tables, numbers).tobytes()
    assert not out[:, :40].any()
    assert not out[:, 552:].any()


@pytest.mark.parametrize("device", _DEVICES)
def test_not_a_number_and_minus_zero_keep_their_bits(device: str) -> None:
    tables = np.zeros((1, 65_536), np.float32)
    tables.view(np.uint32)[0, :3] = (0x7FC0_1234, 0x8000_0000, 0xFF80_0000)
    out = np.zeros((1, 3, 1), np.float32)
    TorchQuantiser(tables, torch.device(device))([np.array([[[0, 1, 2]]], np.uint16)], out)
    np.testing.assert_array_equal(out.view(np.uint32)[0, :, 0], tables.view(np.uint32)[0, :3])


@pytest.mark.parametrize("device", _DEVICES)
def test_calls_of_any_size_follow_each_other(device: str) -> None:
    tables, numbers = random_tables(np.int8), every_number()
    quantise = TorchQuantiser(tables, torch.device(device))

    @settings(max_examples=40)
    @given(
        top=st.integers(0, 127),
        rows=st.integers(1, 40),
        left=st.integers(0, 511),
        pieces=st.integers(1, 4),
    )
    def check(top: int, rows: int, left: int, pieces: int) -> None:
        part = numbers[:, top : top + rows, left:]
        out = np.empty((*part.shape[1:], 4), np.int8)
        quantise(np.array_split(part, pieces, axis=1), out)
        np.testing.assert_array_equal(out, looked_up(tables, part))

    check()


@pytest.mark.parametrize("device", _DEVICES)
def test_all_pieces_of_a_call_are_looked_up_together(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[tuple[int, ...]] = []
    name = "cuda_lookup" if device == "cuda" else "torch_lookup"
    original = getattr(cuda_lookup, name)

    def watched(tables: torch.Tensor) -> cuda_lookup.Lookup:
        look_up = original(tables)

        def count(numbers: torch.Tensor, out: torch.Tensor) -> None:
            looked.append(tuple(numbers.shape))
            look_up(numbers, out)

        return count

    monkeypatch.setattr(torch_quantisation, name, watched)
    quantise = TorchQuantiser(random_tables(np.int8), torch.device(device))
    quantise(np.array_split(every_number(), 3, axis=1), np.empty((128, 512, 4), np.int8))
    assert looked == [(4, 128, 512)]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is present")
def test_where_no_kernel_can_be_compiled_torch_looks_up_and_the_log_says_so() -> None:
    tables, numbers = random_tables(np.int8), every_number()
    there = torch.from_numpy(np.roll(tables, 32_768, axis=1))
    with capture_logs() as logs:
        look_up = cuda_lookup.cuda_lookup(there)
    assert [entry["event"] for entry in logs] == [
        "the lookup takes two kernel launches instead of one"
    ]
    out = torch.empty((128, 512, 4), dtype=torch.int8)
    look_up(torch.from_numpy(numbers.view(np.int16)), out)
    np.testing.assert_array_equal(out.numpy(), looked_up(tables, numbers))


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is present")
def test_cuda_absent_is_said() -> None:
    with pytest.raises(EngineUnavailable, match="no CUDA device answers"):
        open_cuda_quantiser(random_tables(np.int8))


@_CUDA
def test_the_kernel_and_torch_give_the_same_bytes_on_cuda() -> None:
    with capture_logs() as logs:
        tables = torch.from_numpy(random_tables(np.float16).view(np.int16)).to("cuda")
        looks = [cuda_lookup.cuda_lookup(tables), cuda_lookup.torch_lookup(tables)]
    assert not logs, "the kernel was not compiled"
    numbers = torch.from_numpy(every_number().view(np.int16)).to("cuda")
    outs = [torch.zeros((128, 512, 4), dtype=torch.int16, device="cuda") for _ in looks]
    for look_up, out in zip(looks, outs, strict=True):
        look_up(numbers, out)
    assert torch.equal(*outs)


@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
@pytest.mark.parametrize("dtype", _DTYPES)
def test_the_kernels_own_lines_give_the_same_bytes_on_the_host(tmp_path: Path, dtype: Any) -> None:
    tables, numbers = random_tables(dtype), every_number()[:, :101, :333]  # no whole blocks
    numbers = np.ascontiguousarray(numbers)
    rolled = np.roll(tables, 32_768, axis=1)
    out = np.zeros((101, 333, 4), dtype)
    launch = _compiled_for_the_host(tmp_path, tables.itemsize)
    launch(
        *(array.ctypes.data_as(ctypes.c_void_p) for array in (rolled, numbers, out)), 101 * 333, 4
    )
    assert out.tobytes() == looked_up(tables, numbers).tobytes()


def _compiled_for_the_host(folder: Path, value_bytes: int) -> Callable[..., None]:
    """The CUDA source, its threads run one after the other."""
    program = f"""
        #include <cstddef>
        #define __global__
        struct Place {{ unsigned x; }};
        static Place blockIdx, blockDim, threadIdx;
        {cuda_lookup.kernel_source(value_bytes)}
        extern "C" void launch(
            const Value* tables, const short* numbers, Value* out, int pixels, int bands) {{
            blockDim.x = 256;
            for (blockIdx.x = 0; blockIdx.x * 256 < (unsigned)pixels; blockIdx.x++)
                for (threadIdx.x = 0; threadIdx.x < 256; threadIdx.x++)
                    look_up(tables, numbers, out, pixels, bands);
        }}
    """
    (folder / "kernel.cpp").write_text(program)
    command = [
        "c++",
        "-O1",
        "-shared",
        "-fPIC",
        "-Wall",
        "-Werror",
        "kernel.cpp",
        "-o",
        "kernel.so",
    ]
    subprocess.run(command, cwd=folder, check=True, timeout=60)
    launch: Callable[..., None] = ctypes.CDLL(str(folder / "kernel.so")).launch
    return launch
