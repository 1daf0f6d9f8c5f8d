"""What is asked of CUDA, against stand-ins that take only what torch's own calls take."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from flightsw.engines.torch.devices import CudaDevice, CudaQueue

Journal = list[tuple[Any, ...]]


@pytest.fixture
def journal(monkeypatch: pytest.MonkeyPatch) -> Journal:
    """What happened, in order, each thing in the stream that was current."""
    happened: Journal = []
    current: list[Any] = ["the default stream"]

    class Stream:
        def wait_stream(self, stream: Stream) -> None:
            happened.append(("wait", self, stream))

    class Event:
        def record(self, stream: Stream) -> None:
            happened.append(("event", stream))

    class Graph:
        def replay(self) -> None:
            happened.append(("replay", self, current[-1]))

    @contextmanager
    def stream_of(stream: Stream) -> Iterator[None]:
        current.append(stream)
        yield
        current.pop()

    @contextmanager
    def capture(*arguments: Any, **keywords: Any) -> Iterator[None]:
        given = capture_call.bind(None, *arguments, **keywords).arguments
        happened.append(("capture", given["cuda_graph"], given["pool"], given["stream"]))
        with stream_of(given["stream"]):
            yield
        happened.append(("captured",))

    capture_call = inspect.signature(torch.cuda.graph.__init__)
    for name, stand_in in (
        ("Stream", Stream),
        ("Event", Event),
        ("CUDAGraph", Graph),
        ("stream", stream_of),
        ("graph", capture),
        ("graph_pool_handle", lambda: "pool"),
        ("synchronize", lambda: happened.append(("synchronize",))),
    ):
        monkeypatch.setattr(torch.cuda, name, stand_in)
    happened.append(("current", lambda: current[-1]))
    return happened


def working(journal: Journal) -> Callable[[], None]:
    """Work that reports its stream, and whether TF32 and slow kernels are ruled out."""
    _, stream = journal.pop(0)

    def work() -> None:
        exact = torch.backends.cudnn.conv.fp32_precision == "ieee"  # type: ignore[attr-defined]
        journal.append(("work", stream(), exact, torch.backends.cudnn.benchmark))

    return work


def test_recording_warms_up_once_and_captures_in_the_same_stream(journal: Journal) -> None:
    work = working(journal)
    device = CudaDevice()
    queue = device.queue()
    before = torch.backends.cudnn.conv.fp32_precision  # type: ignore[attr-defined]
    first, second = (device.record(work, queue) for _ in range(2))
    assert first != second
    worked = ("work", queue.stream, True, True)
    assert [step if step[0] != "capture" else ("capture", *step[2:]) for step in journal] == [
        ("synchronize",),
        *[worked] * 3,
        ("synchronize",),
        ("capture", "pool", queue.stream),
        worked,
        ("captured",),
        ("synchronize",),
        ("capture", "pool", queue.stream),
        worked,
        ("captured",),
    ]
    assert torch.backends.cudnn.conv.fp32_precision == before  # type: ignore[attr-defined]
    assert not torch.backends.cudnn.benchmark


def test_a_graph_is_replayed_in_the_queue_s_stream(journal: Journal) -> None:
    device = CudaDevice()
    queue, other = device.queue(), device.queue()
    recorded = device.record(working(journal), queue)
    journal.clear()
    other.run(recorded)
    assert journal == [("replay", recorded.__self__, other.stream)]  # type: ignore[attr-defined]


def test_queues_wait_for_each_other_on_the_device(journal: Journal) -> None:
    queue, other = CudaQueue(), CudaQueue()
    journal.clear()
    queue.after(other)
    queue.mark()
    assert journal == [("wait", queue.stream, other.stream), ("event", queue.stream)]


def test_copies_run_in_the_queue_s_stream_and_hold_nobody(journal: Journal) -> None:
    _, stream = journal.pop(0)
    queue = CudaQueue()
    asked: list[tuple[Any, ...]] = []

    class Buffer:
        def copy_(self, source: Any, non_blocking: bool = False) -> None:
            asked.append((source, non_blocking, stream()))

    queue.copy(Buffer(), "host")  # type: ignore[arg-type]
    assert asked == [("host", True, queue.stream)]
