"""What Dask runs on a worker: a plugin that holds the station, and the task of some scenes.

Orders and answers are JSON; Dask pickles the name of the function and its text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

import msgspec
from distributed import WorkerPlugin, get_worker

from flightsw.archive.answer import Answer
from flightsw.archive.outcome import Outcome
from flightsw.archive.run_order import decode_order
from flightsw.archive.work import OpenChain, SceneStation, open_real_chain
from flightsw.errors import FlightError
from flightsw.host.location import shown

PLUGIN: Final = "flightsw-archive"


class StationPlugin(WorkerPlugin):
    """Holds the station of a worker process; it is closed with the worker, or by the next run.

    The chain opens with the first scene that needs it, in the thread that processes scenes.
    """

    name = PLUGIN

    def __init__(self, order: bytes, open_chain: OpenChain = open_real_chain) -> None:
        self._order = order
        self._open_chain = open_chain
        self._station: SceneStation | None = None
        self._worker = ""

    def setup(self, worker: Any) -> None:
        """Note the worker's name; Dask calls it in the worker's event loop."""
        self._worker = str(worker.address)

    def teardown(self, worker: Any) -> None:
        """Close the chain."""
        del worker
        if self._station:
            self._station.close()

    def answer(self, scene: str) -> Answer:
        """The outcome of a scene; raises no :class:`FlightError`."""
        try:
            if self._station is None:
                order = decode_order(self._order)
                self._station = SceneStation(order, self._open_chain, self._worker)
        except FlightError as error:
            return _unfit_answer(scene, error, self._worker)
        return self._station.answer(scene)


def answer_scenes(scenes: Sequence[str]) -> bytes:
    """A task: a list of :class:`~flightsw.archive.answer.Answer` as JSON.

    It ends early with the answer that the worker is unfit.
    """
    plugin = cast(StationPlugin, get_worker().plugins[PLUGIN])
    answers = []
    for scene in scenes:
        answers.append(plugin.answer(scene))
        if answers[-1].kind == "unfit":
            break
    return msgspec.json.encode(answers)


def _unfit_answer(scene: str, error: FlightError, worker: str) -> Answer:
    outcome = Outcome(
        scene=shown(scene),
        name="",
        checksum="",
        model="",
        settings="",
        software_version="",
        code=error.code,
        cause=error.sentence,
        cure=error.cure,
    )
    return Answer(kind="unfit", outcome=outcome, worker=worker)
