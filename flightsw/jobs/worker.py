"""The processing thread: scenes, self-tests and changes of model, one at a time."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import msgspec
import structlog

from flightsw.chain import SceneProcessor, open_chain
from flightsw.commanding.verification import failure_code
from flightsw.config import Settings
from flightsw.engines.engine import CardReadings, EngineInfo
from flightsw.engines.fallback import EngineNotices
from flightsw.errors import (
    EngineError,
    FlightError,
    MemoryExhausted,
    ModelError,
    StateUnavailable,
)
from flightsw.fdir.modes import ModeMachine, SafeReason
from flightsw.host.memory import return_memory
from flightsw.host.service_thread import ServiceThread
from flightsw.jobs.queue import JobQueue
from flightsw.jobs.runner import JobRun, JobRunner
from flightsw.model.golden import GoldenReport
from flightsw.pipeline.governor import Governor
from flightsw.scene.ahead import Readers
from flightsw.telemetry.reporting import ServicePorts
from telecommands.dictionary import Code, Mode, Record, Stage
from telecommands.refusal import Refusal

_log: Final = structlog.get_logger(__name__)

DeviceState: TypeAlias = Literal["ready", "busy", "failed", "closed"]

_NICENESS: Final = 10
_IDLE_SECONDS: Final = 0.5  # between heartbeats while nothing is to be done
_TASKS: Final = 16
_TASK_SECONDS: Final = 600.0  # a telecommand that waits or works for longer has timed out
_STOP_SECONDS: Final = 4.0


@dataclass(frozen=True)
class EngineTask:
    """Work of a telecommand that needs the engine: done between two scenes."""

    telecommand: str
    work: Callable[[], Record]
    taken_on: float


class ActiveChain:
    """The processing chain of the active model: opened when needed, again after a fault.

    Opened, used and closed by the processing thread; any thread may ask about it.
    """

    def __init__(
        self,
        settings: Settings,
        model: Callable[[], Path | None],
        notices: EngineNotices = EngineNotices(),  # noqa: B008 - frozen
        readers: Readers | None = None,
        governor: Governor | None = None,
    ) -> None:
        self._settings = settings
        self._readers = readers
        self._governor = governor
        self._model = model
        self._notices = notices
        self._opened = ExitStack()
        self._chain: SceneProcessor | None = None
        self._opened_model: Path | None = None
        self.failed = False

    def ready(self) -> SceneProcessor:
        """The open chain; raises what :func:`open_chain` raises."""
        model = self._model() or self._settings.model
        if self._chain is not None and model == self._opened_model:
            return self._chain
        self.close()
        settings = msgspec.structs.replace(self._settings, model=model)
        try:
            self._chain = self._opened.enter_context(
                open_chain(settings, self._notices, self._readers, self._governor)
            )
        except FlightError:
            self.failed = True
            raise
        self._opened_model, self.failed = model, False
        return self._chain

    def test(self, package: Path) -> GoldenReport:
        """Run the golden tiles of another package on the same card."""
        self.close()  # a card serves one model at a time
        with open_chain(msgspec.structs.replace(self._settings, model=package)) as chain:
            return chain.self_test()

    def rest(self) -> None:
        """No scene follows: give up the one that was begun ahead."""
        if self._chain is not None:
            self._chain.rest()

    def close(self) -> None:
        """Give the devices back; opened again, the chain begins with its first engine."""
        self._chain = None
        self._opened.close()

    @property
    def info(self) -> EngineInfo | None:
        """The open engine."""
        chain = self._chain
        return None if chain is None else chain.info

    @property
    def readings(self) -> CardReadings | None:
        """What the card reports about itself."""
        chain = self._chain
        return None if chain is None else chain.readings


class Processing:
    """Owns the thread ``flightsw-processing`` and the engine.

    Engine tasks go before scenes; scenes run in OPERATIONAL only.
    """

    def __init__(
        self,
        chain: ActiveChain,
        jobs: JobQueue,
        runner: JobRunner,
        modes: ModeMachine,
        ports: ServicePorts,
    ) -> None:
        self.chain = chain
        self._jobs = jobs
        self._runner = runner
        self._modes = modes
        self._ports = ports
        self._changed = threading.Condition()
        self._tasks: deque[EngineTask] = deque()
        self._current: EngineTask | None = None
        self._run: JobRun | None = None
        self._stopping = False
        self._roused = False
        self.started = threading.Event()
        self._thread = ServiceThread("flightsw-processing", self._work)

    # --- Called by other threads -------------------------------------------------------------

    def start(self) -> None:
        """Open the engine, test it, then serve."""
        self._thread.start()

    def stop(self) -> bool:
        """Interrupt the running scene and end; whether the thread ended in time."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self.interrupt("the service stops")
        if self._thread.ident is not None:
            self._thread.join(_STOP_SECONDS)
        return not self._thread.is_alive()

    def wake(self) -> None:
        """Check for work: there may be some."""
        with self._changed:
            self._roused = True
            self._changed.notify_all()

    def take_on(self, telecommand: str, work: Callable[[], Record]) -> None:
        """Do ``work`` before the next scene; :class:`Refusal` if too much waits already."""
        with self._changed:
            if len(self._tasks) >= _TASKS:
                raise Refusal(Code.QUEUE_FULL, f"{_TASKS} telecommands wait for the engine", "Wait")
            self._tasks.append(EngineTask(telecommand, work, self._ports.monotonic()))
        self.wake()

    def cancel(self, job: str) -> None:
        """Stop a job, if it is the one that runs."""
        run = self._run
        if run is not None and run.job.id == job:
            run.cancel()

    def interrupt(self, why: str) -> None:
        """Stop the running scene; it waits for its turn again, its attempt given back."""
        run = self._run
        if run is not None:
            run.interrupt(why)

    def tick(self) -> None:
        """Once a second: deadlines of the running job and of tasks, and of waiting jobs."""
        run = self._run
        if run is not None:
            run.check_deadline(self._ports.monotonic())
        with self._changed:
            late = [one for one in (*self._tasks, self._current) if one and self._is_late(one)]
            for task in late:
                if task in self._tasks:
                    self._tasks.remove(task)
        for task in late:
            cause = f"the telecommand was not done within {_TASK_SECONDS:.0f} s"
            self._ports.report(task.telecommand, Stage.TIMED_OUT, cause=cause)
        for job in self._jobs.expire(self._ports.clock()):
            self._runner.outcomes.expired(job)

    @property
    def ended_by(self) -> str | None:
        """What ended the thread; None while it serves."""
        return self._thread.ended_by

    @property
    def device_state(self) -> DeviceState:
        """Of the engine, for housekeeping."""
        if self._run is not None or self._current is not None:
            return "busy"
        if self.chain.failed:
            return "failed"
        return "ready" if self.chain.info else "closed"

    # --- The thread --------------------------------------------------------------------------

    def _work(self) -> None:
        # Threads that it starts (decoders, arithmetic) inherit this: telecommands go before them.
        with suppress(OSError):  # a sandbox may forbid it
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        try:
            self.check_engine()
            self._modes.ready()
            self.started.set()
            while not self._stopping:
                self._ports.heartbeat()
                try:
                    idle = not self._serve_task() and not self._serve_job()
                except StateUnavailable:  # reported by the disk's monitor; nothing was begun
                    idle = True
                if idle:
                    self.chain.rest()
                    self._jobs.suspects.decodes_nothing_ahead()
                    self._wait()
        finally:
            self.chain.close()

    def check_engine(self) -> GoldenReport | None:
        """Run the golden tiles; SAFE if they fail, or if they cannot be run (None)."""
        try:
            report = self.chain.ready().find_sound_engine()
        except (EngineError, ModelError, MemoryExhausted) as error:
            self._ports.event("ENGINE_UNAVAILABLE", str(error), code=error.code)
            self._without_engine(str(error))
            return None
        except Exception as fault:  # noqa: BLE001 - such as a library's ImportError
            _log.error("self-test failed", exc_info=fault)
            self._ports.event("INTERNAL_FAULT", f"the self-test failed with {fault!r}")
            self._without_engine(repr(fault))
            return None
        if report.passed:
            self._ports.event(
                "SELF_TEST_PASSED", f"{report.tiles} golden tiles passed on {report.engine}"
            )
            self._modes.cleared(SafeReason.SELF_TEST)
        else:
            self.chain.failed = True
            self._ports.event("SELF_TEST_FAILED", report.as_text(), worst_tile=report.worst_tile)
            self._modes.unsafe(SafeReason.SELF_TEST, f"golden tile {report.worst_tile} is worst")
        return report

    def _without_engine(self, why: str) -> None:
        self.chain.close()
        self.chain.failed = True
        self._modes.unsafe(SafeReason.SELF_TEST, why)

    def _serve_task(self) -> bool:
        with self._changed:
            if not self._tasks:
                return False
            task = self._current = self._tasks.popleft()
        try:
            self._report(task, Stage.STARTED)
            self._report(task, Stage.COMPLETED, data=self._result(task))
        except Refusal as refusal:
            code, cause, cure = refusal.code, refusal.cause, refusal.cure
            self._report(task, Stage.FAILED, code=code, cause=cause, cure=cure)
        except FlightError as error:
            code, cause, cure = failure_code(error), error.sentence, error.cure
            self._report(task, Stage.FAILED, code=code, cause=cause, cure=cure)
        except Exception as fault:  # noqa: BLE001 - whatever a task does, the service lives
            _log.error("engine task failed", telecommand=task.telecommand, exc_info=fault)
            self._ports.event(
                "INTERNAL_FAULT",
                f"telecommand {task.telecommand} failed with {type(fault).__name__}",
            )
            self._report(task, Stage.FAILED, code=Code.INTERNAL, cause=Code.INTERNAL.doc)
        finally:
            self._current = None
        return True

    def _report(self, task: EngineTask, stage: Stage, **fields: Any) -> None:
        """Add a stage as soon as the state can be written: the next boot would find it unclosed."""
        while not self._stopping:
            try:
                self._ports.report(task.telecommand, stage, **fields)
            except StateUnavailable:
                self._ports.heartbeat()
                self._wait()
            else:
                return

    def _result(self, task: EngineTask) -> dict[str, object]:
        result: dict[str, object] = msgspec.to_builtins(task.work())
        return result

    def _serve_job(self) -> bool:
        if not self._is_operational() or self._runner.outcomes.waiting_for_room:
            return False
        job = self._jobs.next(self._ports.clock(), self._is_operational)
        if job is None:
            return False
        self._run = JobRun(job, self._ports.clock(), self._ports.monotonic())
        try:
            if self._stopping or not self._is_operational():
                self._run.interrupt("the mode changed")  # since the check above
            if self._jobs.record(job.id).code is Code.CANCELLED:
                self._run.cancel()  # likewise: nobody could stop it yet
            self._runner.carry_out(self._run, self)
        finally:
            self._run = None
            return_memory()
        return True

    def _is_operational(self) -> bool:
        return self._modes.mode is Mode.OPERATIONAL

    def _wait(self) -> None:
        with self._changed:
            if not self._stopping and not self._roused:
                self._changed.wait(_IDLE_SECONDS)
            self._roused = False  # before the search for work, so that no call is missed

    def _is_late(self, task: EngineTask) -> bool:
        return self._ports.monotonic() - task.taken_on > _TASK_SECONDS
