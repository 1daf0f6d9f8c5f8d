"""Runs a scenario step by step and yields the result of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from typing_extensions import Self

from telecommands.codec import decode_as
from telecommands.dictionary import Code, Stage, Verification
from telecommands.ground.arguments import read_times
from telecommands.ground.commanding import TelecommandClient
from telecommands.ground.errors import GroundError, TransferFailed
from telecommands.ground.station import Station
from telecommands.groundsim.reception import receive_products
from telecommands.groundsim.scenarios.conditions import as_fields, fill, value_at
from telecommands.groundsim.scenarios.recorder import Recorder
from telecommands.groundsim.scenarios.scenario import (
    Contact,
    Fetch,
    Scenario,
    Send,
    SendRaw,
    Step,
    WaitFor,
)
from telecommands.refusal import Refusal

_CONTACT_ANSWER_S: Final = 30.0


class StepResult(msgspec.Struct, frozen=True):
    """Result of a step; ``why`` says what was received, or what was missing."""

    number: int
    title: str
    held: bool
    why: str
    seconds: float


class ExpectationFailed(Exception):  # noqa: N818 - an outcome
    """A failed expectation, and why."""


class ScenarioRun:
    """Opens the links and runs the steps.  A context manager; for one thread.

    Folders of the steps are relative to ``folder``.  A failed expectation, a link without answer
    and a telecommand that cannot be sent make their step fail; no exception is raised.
    """

    def __init__(self, station: Station, folder: Path) -> None:
        self._station = station
        self._folder = folder
        self._client = station.commanding()
        self._recorder = Recorder(station)
        self._action: int | None = None
        self._names: dict[str, Any] = {}
        self._actions: dict[type[Step], Callable[[Any], str]] = {
            Step: lambda _: "",
            Send: self._send,
            SendRaw: self._send_raw,
            WaitFor: self._wait_for,
            Contact: self._contact,
            Fetch: self._fetch,
        }

    def results(self, scenario: Scenario) -> Iterator[StepResult]:
        """Run the steps and yield their results.  A step runs when its result is requested."""
        self._names = dict(scenario.given)
        self._action = None
        started = time.monotonic()
        for number, step in enumerate(scenario.steps, start=1):
            time.sleep(max(0.0, started + step.not_before_s - time.monotonic()))
            began = time.monotonic()
            held, why = self._outcome(step)
            title = fill(step.title, self._names)
            yield StepResult(number, title, held, why, time.monotonic() - began)

    def __enter__(self) -> Self:
        try:
            self._recorder.__enter__()
        except BaseException:
            self._client.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._recorder.close()
        self._client.close()

    def _outcome(self, step: Step) -> tuple[bool, str]:
        if type(step) not in (Step, WaitFor):
            self._action = self._recorder.number
        try:
            return True, self._actions[type(step)](step)
        except (ExpectationFailed, GroundError) as error:
            return False, str(error)

    def _send(self, step: Send) -> str:
        args = read_times(step.send, fill(step.args, self._names), time.time_ns())
        last = _until(self._client, step, args)
        self._keep(step.keep, as_fields(last))
        _expect(last, step.expect, step.code)
        return _summary(last)

    def _send_raw(self, step: SendRaw) -> str:
        with self._station.raw_commanding() as link:
            link.send(*step.frames)
            frames = link.receive(time.monotonic() + step.within)
        if frames is None:
            raise ExpectationFailed(f"no answer was received within {step.within:g} s")
        try:
            answer = decode_as(Verification, frames[-1].bytes, "the answer")
        except Refusal as refusal:
            raise ExpectationFailed(refusal.cause) from refusal
        _expect(answer, step.expect, step.code)
        return _summary(answer)

    def _wait_for(self, step: WaitFor) -> str:
        recorder = self._recorder
        since = recorder.start_of(step.wait_for)
        if step.since == "now":
            since = recorder.number
        elif step.since == "action" and self._action is not None:
            since = self._action
        where = fill(step.where, self._names)
        fields = recorder.first(step.wait_for, where, since, time.monotonic() + step.within)
        if fields is None:
            reason = recorder.last_unmet(step.wait_for, where, since)
            raise ExpectationFailed(f"{reason}; waited {step.within:g} s")
        self._keep(step.keep, fields)
        return ""

    def _contact(self, step: Contact) -> str:
        answer = self._client.execute(
            "OPEN_CONTACT", msgspec.structs.asdict(step.contact), _CONTACT_ANSWER_S, check=False
        )
        _expect(answer, Stage.COMPLETED, None)
        if step.fetch_to is None:
            return "opened"
        return self._receive(step.fetch_to, step.at_least, step.contact.seconds, in_window=True)

    def _fetch(self, step: Fetch) -> str:
        return self._receive(step.fetch, step.at_least, step.within, in_window=False)

    def _receive(self, to: str, at_least: int, within_s: float, *, in_window: bool) -> str:
        deadline = time.monotonic() + within_s
        failures: list[TransferFailed] = []
        folder = self._folder / fill(to, self._names)
        total = count = 0
        with self._station.downlink(folder) as receiver:

            def may_wait(done: int, _idle_s: float) -> bool:
                closed = in_window and receiver.why_nothing == "NO_CONTACT"
                return done < at_least and not closed and time.monotonic() < deadline

            for product in receive_products(receiver, may_wait, failures.append):
                count += 1
                total += product.size
            ended = receiver.why_nothing
        received = f"{count} products, {total:,} bytes, then {ended}"
        if failures:
            raise ExpectationFailed(f"{received}; {failures[0]}")
        if count < at_least:
            raise ExpectationFailed(f"{received}; at least {at_least} products were expected")
        return received

    def _keep(self, keep: Mapping[str, str], fields: Mapping[str, Any]) -> None:
        for name, path in keep.items():
            try:
                self._names[name] = value_at(fields, path)
            except KeyError:
                raise ExpectationFailed(
                    f"{path}, to be kept as {name}, is not in {fields}"
                ) from None


def _until(client: TelecommandClient, step: Send, args: Mapping[str, Any]) -> Verification:
    """Send, and read stages until the expected stage or the end of the telecommand."""
    telecommand = client.send(step.send, args, check=False)
    last: Verification | None = None
    try:
        for last in client.stages(telecommand, step.within):
            if last.stage is step.expect:
                break
    finally:
        client.forget(telecommand)
    assert last is not None  # stages() yields one or raises
    return last


def _expect(found: Verification, stage: Stage, code: Code | None) -> None:
    if found.stage is not stage:
        raise ExpectationFailed(f"{_summary(found)}, not {stage.value}")
    if code is not None and found.code is not code:
        raise ExpectationFailed(f"{_summary(found)}, not {code.value}")


def _summary(verification: Verification) -> str:
    code = verification.code.value if verification.code is not None else ""
    head = f"{verification.stage.value} {code}".rstrip()
    return f"{head}: {verification.cause}" if verification.cause else head
