"""A device whose queues keep only the order that was asked for, as CUDA streams do."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from flightsw.engines.torch.devices import Work


class UnorderedDevice:
    """Computes on the CPU, but a step of any queue at a time, chosen at random, when it is asked.

    Its own memory is apart from the host's and full of NaN, so that what is read too early shows.
    ``room`` is the largest batch that its memory holds.
    """

    name = "a device without order"

    def __init__(self, seed: int = 0, room: int = 1000) -> None:
        self._random = random.Random(seed)
        self._room = room
        self._queues: list[UnorderedQueue] = []

    def place(self, network: nn.Module) -> nn.Module:
        return network

    def host_buffer(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        if shape[0] > self._room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return torch.full(shape, torch.nan, dtype=dtype)

    def device_buffer(self, host: Tensor) -> Tensor:
        return torch.full_like(host, torch.nan)

    def queue(self) -> UnorderedQueue:
        self._queues.append(UnorderedQueue(self))
        return self._queues[-1]

    def record(self, work: Work, queue: UnorderedQueue) -> Work:
        return work

    def step(self) -> None:
        able = [queue for queue in self._queues if queue.can_step()]
        self._random.choice(able).step()


@dataclass(frozen=True)
class _Place:
    queue: UnorderedQueue
    end: int

    def query(self) -> bool:
        if not self.reached:
            self.queue.device.step()
        return self.reached

    @property
    def reached(self) -> bool:
        return self.queue.done >= self.end


class UnorderedQueue:
    def __init__(self, device: UnorderedDevice) -> None:
        self.device = device
        self.done = 0
        self._waiting: deque[Work | _Place] = deque()

    def copy(self, into: Tensor, source: Tensor) -> None:
        self._waiting.append(lambda: into.copy_(source))

    def run(self, recorded: Work) -> None:
        self._waiting.append(recorded)

    def after(self, other: UnorderedQueue) -> None:
        self._waiting.append(other.mark())

    def mark(self) -> _Place:
        return _Place(self, self.done + len(self._waiting))

    def can_step(self) -> bool:
        if not self._waiting:
            return False
        following = self._waiting[0]
        return not isinstance(following, _Place) or following.reached

    @torch.inference_mode()
    def step(self) -> None:
        following = self._waiting.popleft()
        if not isinstance(following, _Place):
            following()
        self.done += 1
