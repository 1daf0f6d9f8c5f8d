"""One scene on a worker: look for its record, else process it and record the outcome."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from flightsw import __version__
from flightsw.archive.agreement import compare_outcomes
from flightsw.archive.answer import Answer
from flightsw.archive.checksum import address_checksum, scene_checksum
from flightsw.archive.outcome import (
    Outcome,
    completed,
    failed,
    find_outcome,
    folder_of,
    write_outcome,
)
from flightsw.archive.run_order import RunOrder
from flightsw.config import Settings
from flightsw.errors import (
    DiskFull,
    EngineError,
    FlightError,
    Interrupted,
    ModelError,
    OutputNotWritable,
    SceneNotFound,
    StateError,
    UsageError,
)
from flightsw.host.disk import disk_errors
from flightsw.host.location import Location, location_of, name_of, shown

if TYPE_CHECKING:
    from flightsw.chain import ProcessedScene, SceneRequest

_OF_WORKER: Final = (
    DiskFull,
    EngineError,
    Interrupted,
    ModelError,
    OutputNotWritable,
    StateError,
)
"""Errors of the machine or the model, not of the scene: another worker may process it."""


class Chain(Protocol):
    """What processes a scene: :class:`~flightsw.chain.SceneProcessor`."""

    def process(self, request: SceneRequest) -> ProcessedScene:
        """Process one scene; raises a :class:`FlightError`."""
        ...


OpenChain = Callable[[RunOrder, ExitStack], Chain]
"""Opens the chain of a worker, which the stack closes."""


class SceneStation:
    """What one worker does for a run; used by one thread."""

    def __init__(self, order: RunOrder, open_chain: OpenChain, worker: str = "") -> None:
        self._order = order
        self._open_chain = open_chain
        self._worker = f"{worker or socket.gethostname()} (process {os.getpid()})"
        self._held = ExitStack()
        self._chain: Chain | None = None

    def answer(self, text: str) -> Answer:
        """The outcome of the scene at a path or address; raises no :class:`FlightError`."""
        location, began = location_of(text), perf_counter()
        outcome = self._beginning(location)
        try:
            self._require_version()
            answer = self._compared(self._answer(location, outcome))
            return msgspec.structs.replace(answer, seconds=perf_counter() - began)
        except FlightError as error:
            return Answer(kind="unfit", outcome=failed(outcome, error), worker=self._worker)

    def close(self) -> None:
        """Close the chain, if it was opened."""
        self._chain = None
        self._held.close()

    def _answer(self, location: Location, outcome: Outcome) -> Answer:
        order, began = self._order, perf_counter()
        unreadable: SceneNotFound | None = None
        try:
            checksum = scene_checksum(location)
        except SceneNotFound as error:
            checksum, unreadable = address_checksum(location), error
        folder = folder_of(order.out, location, checksum)
        with disk_errors(folder):
            found = find_outcome(folder, checksum, order.model_id, order.digest)
        if found and not (found.failed and order.retry_failed):
            return Answer(kind="recorded", outcome=found, worker=self._worker)
        outcome = msgspec.structs.replace(
            outcome, checksum=checksum, folder=str(folder.relative_to(order.out))
        )
        if unreadable:
            outcome = failed(outcome, unreadable)
        else:
            outcome = self._process(location, folder, outcome)
        outcome = msgspec.structs.replace(
            outcome,
            seconds=perf_counter() - began,
            computed_at=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        )
        write_outcome(folder, outcome)
        return Answer(kind="computed", outcome=outcome, worker=self._worker)

    def _compared(self, answer: Answer) -> Answer:
        if (other := self._order.compared_with) is None:
            return answer
        agreement = compare_outcomes(self._order.out, answer.outcome, other)
        return msgspec.structs.replace(answer, agreement=agreement)

    def _process(self, location: Location, folder: Path, outcome: Outcome) -> Outcome:
        from flightsw.chain import SceneRequest  # noqa: PLC0415 - loads for a second

        order, chain = self._order, self._opened()
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        request = SceneRequest(
            scene=location,
            out=folder,
            products=frozenset(order.products),
            ground_sample_distance=order.ground_sample_distance,
            copies=order.copies,
            overwrite=True,  # without a record, they are what a killed worker left
        )
        try:
            return completed(outcome, chain.process(request))
        except _OF_WORKER:
            raise
        except FlightError as error:
            return failed(outcome, error)

    def _opened(self) -> Chain:
        if self._chain is None:
            self._chain = self._open_chain(self._order, self._held)
        return self._chain

    def _require_version(self) -> None:
        wanted = self._order.software_version
        if __version__ != wanted:
            cause = f"runs flightsw {__version__}, the driver {wanted}"
            raise UsageError(f"worker {self._worker}", cause, "Install one version on all machines")

    def _beginning(self, location: Location) -> Outcome:
        return Outcome(
            scene=shown(location),
            name=name_of(location),
            checksum="",
            model=self._order.model_id,
            settings=self._order.digest,
            software_version=__version__,
            worker=self._worker,
        )


def open_real_chain(order: RunOrder, held: ExitStack) -> Chain:
    """The chain of the order's settings, with one thread for each part.

    Raises what :func:`~flightsw.chain.open_chain` raises, and :class:`UsageError` if the worker's
    package is another model than the driver's.
    """
    from flightsw.chain import open_chain  # noqa: PLC0415 - loads for a second
    from flightsw.model.package import load_package  # noqa: PLC0415

    found = load_package(order.model).model_id
    if found != order.model_id:
        cause = f"has model {found} in {order.model}, the driver has {order.model_id}"
        raise UsageError(f"worker on {socket.gethostname()}", cause, "Give both the same package")
    return held.enter_context(open_chain(one_thread(order)))


def one_thread(order: RunOrder) -> Settings:
    """The order's settings for one processing thread a worker, on the order's model."""
    replace = msgspec.structs.replace
    settings = order.settings
    return replace(
        settings,
        model=order.model,
        dimc=replace(settings.dimc, threads=1),
        torch=replace(settings.torch, threads=1),
        pipeline=replace(settings.pipeline, decode_workers=1),
    )
