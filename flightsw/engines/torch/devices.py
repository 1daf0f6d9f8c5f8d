"""The devices of torch: memory, queues of work, and work that is recorded once and run often.

Two devices with the same interface.  On the CPU a queue does its work immediately; on CUDA a queue
is a stream, and what is recorded is a CUDA graph.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

import torch
from torch import Tensor, nn
from typing_extensions import Self

Work = Callable[[], object]

_WARM_UPS: Final = 3  # TorchScript specialises itself in its first two runs


class QueueMark(Protocol):
    """A place in a queue."""

    def query(self) -> bool:
        """Whether everything that was queued before it is done; raises what failed there."""
        ...


class Queue(Protocol):
    """Work in order.  Queues run in parallel, except for what :meth:`after` says."""

    def copy(self, into: Tensor, source: Tensor) -> None:
        """Copy between host and device; the caller continues before it is done."""
        ...

    def run(self, recorded: Work) -> None:
        """Run what :meth:`Device.record` gave."""
        ...

    def after(self, other: Self) -> None:
        """Hold later work until everything that is in ``other`` now is done."""
        ...

    def mark(self) -> QueueMark:
        """The place after everything that is queued now."""
        ...


QueueT = TypeVar("QueueT", bound=Queue)


class Device(Protocol[QueueT]):
    """Memory and queues of one device.  All raise ``RuntimeError``, as torch does."""

    @property
    def name(self) -> str:
        """What computes, for people."""
        ...

    def place(self, network: nn.Module) -> nn.Module:
        """The network, moved to the device."""
        ...

    def host_buffer(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Zeros in the host memory from which copies to the device are fastest."""
        ...

    def device_buffer(self, host: Tensor) -> Tensor:
        """The device's counterpart of a host buffer; on the CPU the buffer itself."""
        ...

    def queue(self) -> QueueT:
        """A new queue."""
        ...

    def record(self, work: Work, queue: QueueT) -> Work:
        """Prepare ``work`` for :meth:`Queue.run` on ``queue``, always on the same tensors."""
        ...


class HostDevice:
    """The CPU, with ``threads`` threads, a setting that torch keeps for the whole process."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._configured = threading.local()  # OpenMP counts for each calling thread

    @property
    def name(self) -> str:
        """The CPU and its threads."""
        return f"CPU, {self._threads} thread" + ("s" if self._threads > 1 else "")

    def place(self, network: nn.Module) -> nn.Module:
        """The network as it is."""
        return network

    def host_buffer(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Zeros."""
        return torch.zeros(shape, dtype=dtype)

    def device_buffer(self, host: Tensor) -> Tensor:
        """The same memory."""
        return host

    def queue(self) -> HostQueue:
        """A queue that is always empty."""
        return HostQueue()

    def record(self, work: Work, queue: HostQueue) -> Work:
        """Run ``work`` once; it then always runs with the threads of the settings."""

        def run() -> None:
            if not hasattr(self._configured, "threads"):
                torch.set_num_threads(self._threads)
                self._configured.threads = self._threads
            work()

        queue.run(run)
        return run


class HostQueue:
    """Does its work immediately."""

    def copy(self, into: Tensor, source: Tensor) -> None:
        """Copy now; copying a buffer onto itself costs nothing."""
        into.copy_(source)

    def run(self, recorded: Work) -> None:
        """Run now."""
        recorded()

    def after(self, other: HostQueue) -> None:
        """Nothing to wait for."""

    def mark(self) -> HostQueue:
        """The queue itself: everything is done."""
        return self

    def query(self) -> bool:
        """True: everything is done."""
        return True


class CudaDevice:
    """The current CUDA device.  Graphs share their working memory, so one queue runs them all.

    Torch allows this if graphs of one pool never run at the same time and their results lie in
    separate buffers (torch documentation, "Graph memory management").
    """

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()
        self._warm = False

    @property
    def name(self) -> str:
        """The card, as its driver names it."""
        return torch.cuda.get_device_name()

    def place(self, network: nn.Module) -> nn.Module:
        """The network on the card."""
        return network.to("cuda")

    def host_buffer(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Pinned zeros: only pinned memory is copied without blocking the caller."""
        return torch.zeros(shape, dtype=dtype, pin_memory=True)

    def device_buffer(self, host: Tensor) -> Tensor:
        """Zeros on the device."""
        return torch.zeros_like(host, device="cuda")

    def queue(self) -> CudaQueue:
        """A stream."""
        return CudaQueue()

    def record(self, work: Work, queue: CudaQueue) -> Work:
        """Capture ``work`` as a CUDA graph, after the warm-up that torch requires.

        cuDNN chooses its fastest kernels in the warm-up, without TF32.  They stay in the graph, so
        the settings need not outlive this call; a reopened engine may choose other kernels, which
        round in another order.
        """
        graph = torch.cuda.CUDAGraph()
        with torch.backends.cudnn.flags(
            enabled=True, benchmark=True, allow_tf32=False, fp32_precision="ieee"
        ):
            torch.cuda.synchronize()  # buffers were filled in another stream
            if not self._warm:
                with torch.cuda.stream(queue.stream):
                    for _ in range(_WARM_UPS):
                        work()
                torch.cuda.synchronize()
                self._warm = True
            with torch.cuda.graph(
                graph, pool=self._pool, stream=queue.stream, capture_error_mode="thread_local"
            ):
                work()
        return graph.replay


class CudaQueue:
    """A CUDA stream."""

    def __init__(self) -> None:
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def copy(self, into: Tensor, source: Tensor) -> None:
        """Copy in the stream."""
        with torch.cuda.stream(self.stream):
            into.copy_(source, non_blocking=True)

    def run(self, recorded: Work) -> None:
        """Replay a graph in the stream."""
        with torch.cuda.stream(self.stream):
            recorded()

    def after(self, other: CudaQueue) -> None:
        """Make the stream wait for the other stream; the caller does not wait."""
        self.stream.wait_stream(other.stream)

    def mark(self) -> torch.cuda.Event:
        """An event recorded in the stream."""
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record(self.stream)
        return event
