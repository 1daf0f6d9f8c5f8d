"""Scenes to workers through a window: few are under way, however long the list."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from itertools import islice
from queue import Empty, Queue
from time import monotonic
from typing import Any, Final

import msgspec

from flightsw.archive.answer import Answer
from flightsw.archive.cluster import CARD, Cluster, end_workers
from flightsw.archive.dask_worker import answer_scenes
from flightsw.archive.outcome import Outcome
from flightsw.errors import FlightError, LinkError, UsageError
from flightsw.host.location import location_of, name_of, shown

LOST: Final = "WORKER_LOST"
"""Code of a scene at which several workers in turn ended; it is not recorded."""

_PER_WORKER: Final = 4  # scenes under way: one is computed, others wait beside the worker
_LEAST: Final = 8
_LOOK_SECONDS: Final = 5.0  # between two counts of the workers
_WAIT_SECONDS: Final = 0.5
_PATIENCE_SECONDS: Final = 600.0  # without any worker
_TASK_SECONDS: Final = 1.0  # scenes that take less go several together: recorded ones take little
_MOST_TOGETHER: Final = 64
_NEW: Final = 0.1  # weight of the last task in the mean time of a scene
_MOST_TRIES: Final = 3  # of a scene, on workers that were unfit


class Submission:
    """The scenes under way of one run; used by one thread."""

    def __init__(
        self, cluster: Cluster, check: Callable[[], None], warn: Callable[[str], None]
    ) -> None:
        self._cluster = cluster
        self._check = check
        self._warn = warn
        self._run = secrets.token_hex(4)
        self._number = 0
        self._under_way: dict[Any, list[str]] = {}
        self._ended: Queue[Any] = Queue()  # holds no more than are under way
        self._again: deque[str] = deque()  # likewise
        self._tries: dict[str, int] = {}
        self._scene_seconds = _TASK_SECONDS
        self._workers = 1
        self._counted_at = 0.0
        self._worker_seen_at = monotonic()

    def answers(self, scenes: Iterator[str]) -> Iterator[tuple[str, Answer]]:
        """Each scene with its answer, in the order in which they end.

        Raises :class:`LinkError` if the scheduler goes away or no worker is left, and the error of
        the last worker that was unfit.
        """
        while True:
            self._count_workers()
            while len(self._under_way) < max(_LEAST, _PER_WORKER * self._workers):
                if not (together := self._next_scenes(scenes)):
                    break
                self._submit(together)
            if not self._under_way:
                return
            future = self._next_ended()
            if future is None:
                continue
            together = self._under_way.pop(future)
            answers = self._answers(together, future)
            future.release()
            self._again.extend(together[len(answers) :])
            for scene, answer in zip(together, answers, strict=False):
                if answer.kind == "unfit":
                    self._part_with(scene, answer)
                    continue
                self._tries.pop(scene, None)
                self._scene_seconds += _NEW * (answer.seconds - self._scene_seconds)
                yield scene, answer

    def _next_scenes(self, scenes: Iterator[str]) -> list[str]:
        """The scenes of the next task, none if all are under way; a repeated one is alone."""
        if self._again:
            return [self._again.popleft()]
        together = _TASK_SECONDS / max(self._scene_seconds, _TASK_SECONDS / _MOST_TOGETHER)
        return list(islice(scenes, max(1, int(together))))

    def _submit(self, scenes: list[str]) -> None:
        self._number += 1
        future = self._cluster.client.submit(
            answer_scenes,
            scenes,
            key=(f"scene-{self._run}", self._number),
            pure=False,
            resources={CARD: 1},
        )
        self._under_way[future] = scenes
        future.add_done_callback(self._ended.put)

    def _next_ended(self) -> Any:
        """A future that ended, None if none did for a while."""
        self._check()
        try:
            return self._ended.get(timeout=_WAIT_SECONDS)
        except Empty:
            if self._cluster.client.status not in ("running", "connecting"):
                raise self._scheduler_lost() from None
            return None

    def _answers(self, scenes: list[str], future: Any) -> list[Answer]:
        """The answers to the first of the scenes; the others are to be submitted again."""
        from distributed import KilledWorker  # noqa: PLC0415

        try:
            return msgspec.json.decode(future.result(), type=list[Answer])
        except KilledWorker as error:
            if len(scenes) > 1:  # which one it was shows when each is alone
                return []
            ended = error.allowed_failures + 1
            cause = f"ended {ended} workers: memory may have run out, or a library crashed"
            lost = LinkError(shown(scenes[0]), cause, "Process it alone with flightsw process")
            outcome = _without_record(scenes[0], lost, LOST)
            return [Answer(kind="computed", outcome=outcome, seconds=_TASK_SECONDS)]
        except (CancelledError, OSError) as error:
            raise self._scheduler_lost() from error

    def _part_with(self, scene: str, answer: Answer) -> None:
        """Retire the worker that cannot compute, and give the scene to another one."""
        outcome = answer.outcome
        self._warn(f"flightsw: {outcome.cause}; {answer.worker} gets no more scenes")
        address = answer.worker.partition(" ")[0]
        end_workers(self._cluster.client, [address])
        self._tries[scene] = self._tries.get(scene, 0) + 1
        left = [one for one in self._known_workers() if one != address]
        if not left or self._tries[scene] >= _MOST_TRIES:
            raise _of(outcome)
        self._again.append(scene)

    def _count_workers(self) -> None:
        now = monotonic()
        if now < self._counted_at + _LOOK_SECONDS:
            return
        self._counted_at = now
        self._workers = len(self._known_workers())
        if self._workers:
            self._worker_seen_at = now
        elif now > self._worker_seen_at + _PATIENCE_SECONDS:
            cause = f"has had no worker for {_PATIENCE_SECONDS:.0f} s"
            raise LinkError("the scheduler", cause, "Start workers, then run the command again")

    def _known_workers(self) -> Mapping[str, Any]:
        try:
            return self._cluster.workers()
        except OSError as error:
            raise self._scheduler_lost() from error

    def _scheduler_lost(self) -> LinkError:
        cause = "no longer answers"
        cure = "Start it, then run the command again: recorded scenes are not computed again"
        return LinkError("the scheduler", cause, cure)


def _without_record(scene: str, error: FlightError, code: str) -> Outcome:
    return Outcome(
        scene=shown(scene),
        name=name_of(location_of(scene)),
        checksum="",
        model="",
        settings="",
        software_version="",
        code=code,
        cause=error.sentence,
        cure=error.cure,
    )


def _of(outcome: Outcome) -> FlightError:
    """The error that a worker answered, with its code."""
    kinds = {kind.code: kind for kind in _kinds(FlightError)}
    kind = kinds.get(outcome.code, UsageError)
    return kind("the run", f"cannot continue: {outcome.cause}", outcome.cure)


def _kinds(kind: type[FlightError]) -> Iterator[type[FlightError]]:
    yield kind
    for derived in kind.__subclasses__():
        yield from _kinds(derived)
