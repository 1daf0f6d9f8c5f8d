"""Does an engine still answer as the released network does?"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flightsw.engines.engine import Engine, EngineInfo, Logits, Tiles
from flightsw.errors import AnswerWrong, EngineUnavailable
from flightsw.model.golden import GoldenReport
from flightsw.model.package import GoldenTiles, ModelPackage

_PAIR: Final = 2
_PAIR_ROUNDING: Final = 2  # INT8 steps


def check_golden_tiles(engine: Engine, package: ModelPackage) -> GoldenReport:
    """Run the golden tiles through ``engine``; raises what the engine raises.

    :class:`~flightsw.errors.EngineUnavailable` if it runs other weights than the package's.
    """
    info = engine.info
    answers = GoldenAnswers(info, package)
    found = np.concatenate(list(_streamed(engine, answers.tiles, info.batch)))
    return answers.report(answers.deviations(found, range(len(answers.tiles))))


def _streamed(engine: Engine, tiles: Tiles, batch: int) -> Iterator[Logits]:
    """The answers in order; one by one, a double-buffered engine would run each tile three times.

    Nothing may be in flight.
    """
    for start in range(0, len(tiles), batch):
        due = engine.push(tiles[start : start + batch])
        if due is not None:
            yield due
    yield from engine.flush()


def can_judge(info: EngineInfo, package: ModelPackage) -> bool:
    """Whether the package's golden tiles apply to this engine's answers."""
    return (info.model_id, info.tile_size) == (package.model_id, package.tile_size)


class GoldenProbe:
    """Golden tiles among a scene's tiles (:class:`flightsw.pipeline.consumer.Probe`), by batch.

    Used by the thread that drives the engine; for one scene.
    """

    def __init__(self, answers: GoldenAnswers) -> None:
        self._answers = answers
        self._batch = answers.info.batch
        self._next = 0
        self._sent: deque[range] = deque()
        self._found: dict[int, Deviation] = {}

    @property
    def batches_at_end(self) -> int:
        """All golden tiles of an INT8 engine, whose answers are compared bit by bit; else one."""
        return -(-len(self._answers.tiles) // self._batch) if self._answers.exact else 1

    def tiles(self) -> Tiles:
        """The next few golden tiles, a batch at most; from the first again after the last."""
        chosen = range(self._next, min(self._next + self._batch, len(self._answers.tiles)))
        self._next = chosen.stop % len(self._answers.tiles)
        self._sent.append(chosen)
        return self._answers.tiles[chosen.start : chosen.stop]

    def judge(self, logits: Logits) -> None:
        """Raise :class:`AnswerWrong` if the answers of this scene fail the self-test.

        ``logits`` answer the oldest batch that was sent.  An INT8 engine must also answer as it did
        the first time, bit by bit: within the tolerance of the released answers, memory that holds
        its weights may have changed.
        """
        chosen = self._sent.popleft()
        self._found |= self._answers.deviations(logits, chosen)
        report = self._answers.report(self._found)
        if report.passed and (tile := self._answers.changed_tile(logits, chosen)):
            raise AnswerWrong(
                report.engine,
                f"answered golden tile {tile} differently from the first time, in the middle of a "
                "scene: the model's weights may have changed in memory",
                "Run the self-test; the mask was not written",
                worst_tile=tile,
            )
        if not report.passed:
            raise AnswerWrong(
                report.engine,
                f"answered a golden tile wrongly in the middle of a scene: {report.worst_tile}, "
                f"same class {report.agreement:.4%}, logits {report.mean_deviation:.1f} steps off",
                "Run the self-test; the mask was not written",
                worst_tile=report.worst_tile,
            )


@dataclass(frozen=True)
class Deviation:
    """Of an engine's answer to one golden tile.

    ``wrong``: decided pixels of another class; ``steps``: the sum of all logits' deviations, in
    INT8 steps, and ``largest`` the largest of these.
    """

    wrong: int
    steps: float
    largest: int


class GoldenAnswers:
    """The released answers, and an engine's measured by them in INT8 steps.

    Raises :class:`~flightsw.errors.EngineUnavailable` if the package has no answers for it.
    """

    def __init__(self, info: EngineInfo, package: ModelPackage) -> None:
        if not can_judge(info, package):
            cause = (
                f"runs {info.model_id} on tiles of {info.tile_size}, which the golden tiles of"
                f" {package.model_id} cannot judge"
            )
            cure = "Leave torch.torchscript, torch.tile_size and dimc.twin.compute as they are"
            raise EngineUnavailable(info.name, cause, cure)
        golden = package.golden_tiles()
        released = golden.logits if info.output else golden.floating_logits
        if released is None:
            cause = (
                f"cannot be tested: {package.folder} holds no answers of a floating-point network"
            )
            raise EngineUnavailable(info.name, cause, "Install a package that has them")
        self.info = info
        self._package, self._golden = package, golden
        self.tiles = _as_taken(golden, info, package)
        self._released = released
        self._classes = released.argmax(axis=-1)
        self._decided = _lead(released) >= golden.margin
        self._own: dict[int, Logits] = {}

    @property
    def pair_sums(self) -> tuple[int, int] | None:
        """Least and largest sum of a pixel's two logits, if they are opposite; None if not.

        Two centred INT8 logits carry one number twice, which exposes a changed bit.
        """
        sums = self._released.sum(axis=-1, dtype=np.int16)
        least, largest = int(sums.min()), int(sums.max())
        paired = self._released.shape[-1] == _PAIR and largest - least <= _PAIR_ROUNDING
        return (least, largest) if paired and self.info.output else None

    def deviations(self, found: Logits, chosen: range) -> dict[int, Deviation]:
        """How far ``found`` strays from the answers to the tiles ``chosen``, by number."""
        part = slice(chosen.start, chosen.stop)
        # Of equal logits the first wins, so a tie is clear.
        wrong = self._decided[part] & (found.argmax(axis=-1) != self._classes[part])
        steps = np.abs(self._in_steps(found) - self._released[part])
        return {
            number: Deviation(int(off.sum()), float(one.sum(dtype=np.float64)), int(one.max()))
            for number, off, one in zip(chosen, wrong, steps, strict=True)
        }

    def report(self, deviations: Mapping[int, Deviation]) -> GoldenReport:
        """The result of the self-test, in which tiles without a deviation count as right.

        Tolerances are those of all tiles together: on other hardware one tile may exceed them,
        above all a uniform one, whose pixels all round alike (docs/decisions/0073).
        """
        golden = self._golden
        wrong = sum(one.wrong for one in deviations.values())
        agreement = 1 - wrong / max(1, int(self._decided.sum()))
        mean_deviation = sum(one.steps for one in deviations.values()) / self._released.size
        return GoldenReport(
            engine=self.info.name,
            model_id=self._package.model_id,
            tiles=len(deviations),
            agreement=agreement,
            least_agreement=golden.least_agreement,
            mean_deviation=mean_deviation,
            largest_mean_deviation=golden.largest_mean_deviation,
            max_deviation=max(one.largest for one in deviations.values()),
            worst_tile=golden.names[max(deviations, key=lambda number: deviations[number].wrong)],
            passed=agreement >= golden.least_agreement
            and mean_deviation <= golden.largest_mean_deviation,
        )

    @property
    def exact(self) -> bool:
        """Integers do not depend on the order of a sum, as floats do: answers are repeatable."""
        return self.info.precision == "int8"

    def changed_tile(self, found: Logits, chosen: range) -> str:
        """Name of the first tile that the engine answers otherwise than the first time.

        Empty if there is none, or if the engine is not exact.
        """
        if not self.exact:
            return ""
        for index, answer in zip(chosen, found, strict=True):
            if not np.array_equal(self._own.setdefault(index, answer.copy()), answer):
                return self._golden.names[index]
        return ""

    def _in_steps(self, logits: Logits) -> NDArray[np.int16 | np.float32]:
        if self.info.output:
            return logits.astype(np.int16)
        # The released answers saturate at the ends of INT8, and so must what is compared with them.
        steps = logits / self._package.output.scale + self._package.output.zero_point
        return np.asarray(steps.clip(-128, 127), dtype=np.float32)


def _as_taken(golden: GoldenTiles, info: EngineInfo, package: ModelPackage) -> Tiles:
    if info.input:
        return golden.tiles
    steps = golden.tiles.astype(np.float64) - package.input.zero_point
    return (steps * package.input.scale).astype(info.tile_dtype)


def _lead(logits: NDArray[np.int8]) -> NDArray[np.int16]:
    """INT8 steps from the largest logit of each pixel to the next."""
    ordered = np.sort(logits.astype(np.int16), axis=-1)
    return np.asarray(ordered[..., -1] - ordered[..., -2])
