"""The processing thread: scenes, self-tests and changes of model, one at a time."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

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
from flightsw.jobs.queue import JobQueue
from flightsw.jobs.runner import JobRun, JobRunner
from flightsw.model.golden import GoldenReport
from telecommands.dictionary import Code, Mode, Record, Stage
from telecommands.refusal import Refusal

_log: Final = structlog.get_logger(__name__)

DeviceState: TypeAlias = Literal["ready", "busy", "failed", "closed"]

_NICENESS: Final = 10
_IDLE_SECONDS: Final = 0.5  # between heartbeats while nothing is to be done
_ERRANDS: Final = 16
_ERRAND_SECONDS: Final = 600.0  # a telecommand that waits or works for longer has timed out
_STOP_SECONDS: Final = 4.0


@dataclass(frozen=True)
class EngineTask:
    """Work of a telecommand that needs the engine: done between two scenes."""

    telecommand: str
    work: Callable[[], Record]
    taken_on: float


class ActiveChain:
    """The processing chain of the model that flies: opened when needed, again after a fault.

    Opened, used and closed by the processing thread; any thread may ask about it.
    """

    def __init__(
        self,
        settings: Settings,
        model: Callable[[], Path | None],
        notices: EngineNotices = EngineNotices(),  # noqa: B008 - frozen
    ) -> None:
        self._settings = settings
        self._model = model
        self._notices = notices
        self._opened = ExitStack()
        self._chain: SceneProcessor | None = None
        self._flies: Path | None = None
        self.failed = False

    def ready(self) -> SceneProcessor:
        """The open chain; raises what :func:`open_chain` raises."""
        model = self._model() or self._settings.model
        if self._chain is not None and model == self._flies:
            return self._chain
        self.close()
        settings = msgspec.structs.replace(self._settings, model=model)
        try:
            self._chain = self._opened.enter_context(open_chain(settings, self._notices))
        except FlightError:
            self.failed = True
            raise
        self._flies, self.failed = model, False
        return self._chain

    def test(self, package: Path) -> GoldenReport:
        """Golden tiles of another package, on the same card."""
        self.close()  # a card serves one model at a time
        with open_chain(msgspec.structs.replace(self._settings, model=package)) as chain:
            return chain.self_test()

    def rest(self) -> None:
        """No scene follows: leave the one that was begun ahead."""
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
        """What the card tells of itself."""
        chain = self._chain
        return None if chain is None else chain.readings


class Processing:
    """Owns the thread ``flightsw-processing`` and the engine.

    Errands go before scenes; scenes run in OPERATIONAL only.  ``report`` adds a stage to a
    telecommand's verification, ``event`` reports an event.
    """

    def __init__(
        self,
        chain: ActiveChain,
        jobs: JobQueue,
        runner: JobRunner,
        modes: ModeMachine,
        *,
        report: Callable[..., object],
        event: Callable[..., None],
        heartbeat: Callable[[], None],
        clock: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        self.chain = chain
        self._jobs = jobs
        self._runner = runner
        self._modes = modes
        self._report = report
        self._event = event
        self._heartbeat = heartbeat
        self._clock = clock
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._errands: deque[EngineTask] = deque()
        self._current: EngineTask | None = None
        self._run: JobRun | None = None
        self._stopping = False
        self._roused = False
        self.started = threading.Event()
        self._thread = threading.Thread(target=self._work, name="flightsw-processing", daemon=True)

    # --- Called by other threads -------------------------------------------------------------

    def start(self) -> None:
        """Open the engine, test it, then serve."""
        self._thread.start()

    def stop(self) -> bool:
        """Interrupt what runs and end; whether the thread ended in time."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self.interrupt("the service stops")
        if self._thread.ident is not None:
            self._thread.join(_STOP_SECONDS)
        return not self._thread.is_alive()

    def wake(self) -> None:
        """There may be something to do."""
        with self._changed:
            self._roused = True
            self._changed.notify_all()

    def take_on(self, telecommand: str, work: Callable[[], Record]) -> None:
        """Do ``work`` before the next scene; :class:`Refusal` where too much waits already."""
        with self._changed:
            if len(self._errands) >= _ERRANDS:
                raise Refusal(Code.QUEUE_FULL, f"{_ERRANDS} such telecommands wait", "Wait")
            self._errands.append(EngineTask(telecommand, work, self._monotonic()))
        self.wake()

    def cancel(self, job: str) -> None:
        """Stop a job, if it is the one that runs."""
        run = self._run
        if run is not None and run.job.id == job:
            run.cancel()

    def interrupt(self, why: str) -> None:
        """Stop the scene that runs; it waits for its turn again, its attempt given back."""
        run = self._run
        if run is not None:
            run.interrupt(why)

    def tick(self) -> None:
        """Once a second: deadlines of the running job and of errands, and of waiting jobs."""
        run = self._run
        if run is not None:
            run.check_deadline(self._monotonic())
        with self._changed:
            late = [one for one in (*self._errands, self._current) if one and self._is_late(one)]
            for errand in late:
                if errand in self._errands:
                    self._errands.remove(errand)
        for errand in late:
            cause = f"not done within {_ERRAND_SECONDS:.0f} s"
            self._report(errand.telecommand, Stage.TIMED_OUT, cause=cause)
        for job in self._jobs.expire(self._clock()):
            self._runner.ends.expired(job)

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
                self._heartbeat()
                try:
                    idle = not self._serve_errand() and not self._serve_job()
                except StateUnavailable:  # told by the disk's monitor; nothing was begun
                    idle = True
                if idle:
                    self.chain.rest()
                    self._wait()
        except Exception as fault:
            self._event("INTERNAL_FAULT", f"the processing thread ended: {fault!r}")
            raise
        finally:
            self.started.set()
            self.chain.close()

    def check_engine(self) -> GoldenReport | None:
        """Golden tiles; SAFE where they come out wrong, or no engine or memory is left (None)."""
        try:
            report = self.chain.ready().find_sound_engine()
        except (EngineError, ModelError, MemoryExhausted) as error:
            self.chain.close()
            self.chain.failed = True
            self._event("ENGINE_UNAVAILABLE", str(error), code=error.code)
            self._modes.unsafe(SafeReason.SELF_TEST, str(error))
            return None
        if report.passed:
            self._event("SELF_TEST_PASSED", f"{report.tiles} golden tiles on {report.engine}")
            self._modes.cleared(SafeReason.SELF_TEST)
        else:
            self.chain.failed = True
            self._event("SELF_TEST_FAILED", report.as_text(), worst_tile=report.worst_tile)
            self._modes.unsafe(SafeReason.SELF_TEST, f"worst tile {report.worst_tile}")
        return report

    def _serve_errand(self) -> bool:
        with self._changed:
            if not self._errands:
                return False
            errand = self._current = self._errands.popleft()
        try:
            self._tell(errand, Stage.STARTED)
            self._tell(errand, Stage.COMPLETED, data=self._result(errand))
        except Refusal as refusal:
            told = {"code": refusal.code, "cause": refusal.cause, "cure": refusal.cure}
            self._tell(errand, Stage.FAILED, **told)
        except FlightError as error:
            told = {"code": failure_code(error), "cause": str(error), "cure": error.cure}
            self._tell(errand, Stage.FAILED, **told)
        except Exception as fault:  # noqa: BLE001 - whatever an errand does, the service lives
            _log.error("errand failed", telecommand=errand.telecommand, exc_info=fault)
            self._event("INTERNAL_FAULT", f"{errand.telecommand}: {type(fault).__name__}")
            self._tell(errand, Stage.FAILED, code=Code.INTERNAL, cause=Code.INTERNAL.doc)
        finally:
            self._current = None
        return True

    def _tell(self, errand: EngineTask, stage: Stage, **told: object) -> None:
        """Add a stage as soon as the state can be written; at boot it would be found unclosed."""
        while not self._stopping:
            try:
                self._report(errand.telecommand, stage, **told)
            except StateUnavailable:
                self._heartbeat()
                self._wait()
            else:
                return

    def _result(self, errand: EngineTask) -> dict[str, object]:
        result: dict[str, object] = msgspec.to_builtins(errand.work())
        return result

    def _serve_job(self) -> bool:
        if self._modes.mode is not Mode.OPERATIONAL or self._runner.ends.waiting_for_room:
            return False
        job = self._jobs.next(self._clock())
        if job is None:
            return False
        self._run = JobRun(job, self._clock(), self._monotonic())
        try:
            if self._stopping or self._modes.mode is not Mode.OPERATIONAL:
                self._run.interrupt("the mode changed")  # between the look above and now
            if self._jobs.record(job.id).code is Code.CANCELLED:
                self._run.cancel()  # likewise: nobody could stop it yet
            self._runner.carry_out(self._run, self)
        finally:
            self._run = None
            return_memory()
        return True

    def _wait(self) -> None:
        with self._changed:
            if not self._stopping and not self._roused:
                self._changed.wait(_IDLE_SECONDS)
            self._roused = False  # before the look for work, so that no call is missed

    def _is_late(self, errand: EngineTask) -> bool:
        return self._monotonic() - errand.taken_on > _ERRAND_SECONDS
