"""DMA buffers with the kernel's heap played by memory files, and a runtime that reads them."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from flightsw.config import DimcSettings
from flightsw.dimc.simulator import runtime as simulator
from flightsw.dimc.tensors import TensorInfo
from flightsw.engines.dimc import input_buffers
from flightsw.engines.dimc.engine import open_dimc_engine
from tests.unit.flightsw.dimc.compiled_package import (
    SIZE,
    TinyNetwork,
    random_tiles,
    write_compiled_model,
)
from tests.unit.flightsw.engines.dimc.test_engine import Package, push_all

ALLOCATE, SYNC = 0xC0184800, 0x40086200  # linux/dma-heap.h, linux/dma-buf.h
NETWORK = TinyNetwork()
TILE = random_tiles(1)


class Heap:
    """The two system calls of the kernel's DMA heap."""

    def __init__(self) -> None:
        self.fds: list[int] = []
        self.syncs: list[tuple[int, int]] = []

    def ioctl(self, fd: int, request: int, argument: Any) -> None:
        if request == ALLOCATE:
            length, nothing, flags, heap_flags = struct.unpack("=QIIQ", argument)
            assert (nothing, flags, heap_flags) == (0, os.O_RDWR | os.O_CLOEXEC, 0)
            self.fds.append(os.memfd_create("tiles"))
            os.ftruncate(self.fds[-1], length)
            struct.pack_into("=I", argument, 8, self.fds[-1])
        else:
            assert request == SYNC
            self.syncs.append((fd, *struct.unpack("=Q", argument)))

    def still_open(self) -> list[int]:
        return [fd for fd in self.fds if Path(f"/proc/self/fd/{fd}").exists()]


class ReadsDmaBuffers:
    """A simulated instance whose inputs are file descriptors."""

    def __init__(self, instance: simulator.ModelInstance, shape: tuple[int, ...]) -> None:
        self.released = False
        self._instance = instance
        self._shape = shape

    def run(self, inputs: list[int], outputs: list[Any]) -> None:
        with mmap.mmap(inputs[0], 0, prot=mmap.PROT_READ) as memory:
            tiles = np.frombuffer(memory[:], np.int8).reshape(self._shape)
        self._instance.run([tiles], outputs)

    def release(self) -> None:
        self.released = True
        self._instance.release()


@pytest.fixture
def heap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Heap:
    heap = Heap()
    device = tmp_path / "system"
    device.touch()
    monkeypatch.setattr(input_buffers, "SYSTEM_HEAP", device)
    monkeypatch.setattr(input_buffers, "fcntl", SimpleNamespace(ioctl=heap.ioctl))
    return heap


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, int]]:
    """Properties of each instance that is asked for."""
    asked: list[dict[str, int]] = []
    load = simulator.Connection.load_model_instance

    def watched(connection: Any, model: Any, **properties: int) -> Any:
        asked.append(properties)
        return load(connection, model, **properties)

    monkeypatch.setattr(simulator.Connection, "load_model_instance", watched)
    return asked


@pytest.fixture
def dma_runtime(monkeypatch: pytest.MonkeyPatch) -> list[ReadsDmaBuffers]:
    """A runtime that offers DMA buffers for inputs."""
    instances: list[ReadsDmaBuffers] = []
    load: Callable[..., Any] = simulator.Connection.load_model_instance

    def with_dma(connection: Any, model: Any, *, input_dmabuf: int = 0, **properties: int) -> Any:
        instance = load(connection, model, **properties)
        if not input_dmabuf:
            return instance
        instances.append(ReadsDmaBuffers(instance, model.inputs()[0].shape))
        return instances[-1]

    monkeypatch.setattr(simulator.Connection, "load_model_instance", with_dma)
    return instances


@pytest.fixture
def package(tmp_path: Path) -> Package:
    write_compiled_model(tmp_path, input_padding=[0, 0, 3, 3, 3, 5, 0, 0])
    write_compiled_model(tmp_path, batch=4, arrangement="batch")
    return Package(folder=tmp_path)


def simulated(**settings: Any) -> DimcSettings:
    return DimcSettings(card="simulator", threads=1, **settings)


@pytest.mark.parametrize("double_buffer", [False, True])
@pytest.mark.parametrize("arrangement", ["spatial", "batch", "instances"])
def test_card_reads_the_tiles_from_dma_buffers_where_kernel_and_runtime_offer_them(
    package: Package,
    heap: Heap,
    dma_runtime: list[ReadsDmaBuffers],
    arrangement: str,
    double_buffer: bool,
) -> None:
    settings = simulated(arrangement=arrangement, double_buffer=double_buffer)
    with open_dimc_engine(package, settings) as engine:
        batches = [random_tiles(1 + seed % engine.info.batch, seed) for seed in range(9)]
        for tiles, answer in zip(batches, push_all(engine, batches), strict=True):
            np.testing.assert_array_equal(answer, NETWORK.answer(tiles))
    assert len(dma_runtime) == (4 if arrangement == "instances" else 1)
    assert len(heap.fds) == len(dma_runtime) * (3 if double_buffer else 1)
    assert heap.still_open() == []


def test_every_write_is_fenced_for_the_caches(
    package: Package, heap: Heap, dma_runtime: list[ReadsDmaBuffers]
) -> None:
    with open_dimc_engine(package, simulated(double_buffer=False)) as engine:
        heap.syncs.clear()
        engine.infer(random_tiles(1))
        (fd,) = heap.fds
        assert heap.syncs == [(fd, 2), (fd, 2 | 4)]  # DMA_BUF_SYNC_WRITE, and its end


def test_runtime_without_dma_buffers_reads_host_memory(
    package: Package, heap: Heap, loaded: list[dict[str, int]]
) -> None:
    with open_dimc_engine(package, simulated()) as engine:
        np.testing.assert_array_equal(engine.infer(TILE), NETWORK.answer(TILE))
    assert [properties.get("input_dmabuf", 0) for properties in loaded] == [1, 0]
    assert heap.fds
    assert heap.still_open() == []


def test_runtime_that_refuses_the_first_frame_reads_host_memory(
    package: Package,
    heap: Heap,
    dma_runtime: list[ReadsDmaBuffers],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise simulator.InvalidArgument("no such descriptor")

    monkeypatch.setattr(ReadsDmaBuffers, "run", refuse)
    with open_dimc_engine(package, simulated()) as engine:
        np.testing.assert_array_equal(engine.infer(TILE), NETWORK.answer(TILE))
    assert [instance.released for instance in dma_runtime] == [True]
    assert heap.still_open() == []


def test_kernel_without_the_heap_is_not_asked_of_the_runtime(
    package: Package,
    heap: Heap,
    loaded: list[dict[str, int]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(input_buffers, "SYSTEM_HEAP", tmp_path / "absent")
    open_dimc_engine(package, simulated()).close()
    assert [properties.get("input_dmabuf", 0) for properties in loaded] == [0]


def test_dma_buffers_that_are_off_are_not_asked_for(
    package: Package, heap: Heap, loaded: list[dict[str, int]]
) -> None:
    open_dimc_engine(package, simulated(dma_buffers="off")).close()
    assert [properties.get("input_dmabuf", 0) for properties in loaded] == [0]
    assert heap.fds == []


def test_fresh_dma_buffer_holds_the_zero_point(heap: Heap) -> None:
    tensor = TensorInfo((1, SIZE, SIZE, 4), zero_point=-100)
    buffer = input_buffers.DmaBuffer(tensor)
    with buffer.writing() as array:
        assert (array == -100).all()
    buffer.close()
    buffer.close()
