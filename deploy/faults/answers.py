"""Wrong answers of a card, one a trial, through the consumer that checks them (decision 30).

The sound answers of whole scenes are computed once.  A trial answers a tile and its neighbours from
them, one of them wrongly and only once, and compares what leaves the consumer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from deploy.faults.judged_tiles import JudgedTile, judged_scenes, mask_of
from flightsw.config import Settings
from flightsw.engines.engine import CardReadings, Engine, EngineInfo, Logits, Tiles
from flightsw.engines.fallback import open_engine
from flightsw.engines.golden import GoldenAnswers
from flightsw.model.package import load_package
from flightsw.pipeline.answer_check import AnswerCheck
from flightsw.pipeline.consumer import EngineConsumer
from flightsw.pipeline.latency import LatencyRecord
from flightsw.pipeline.work import AnsweredBatch, TileBatch
from flightsw.scene.tiling import Grid

Result: TypeAlias = dict[str, Any]
"""``kind`` and ``where``; ``corrected``; ``pixels`` of the tile's mask that stayed wrong."""

Int8: TypeAlias = NDArray[np.int8]
_Place: TypeAlias = tuple[int, int]
_Spoil: TypeAlias = Callable[[Int8, list[Int8], np.random.Generator], Int8]
"""From the right answer ``(tile, tile, 2)`` and those before it, latest first, to a wrong one."""

_PIXELS: Final = 50
_RADIUS: Final = 5  # of a disc of 69 pixels
_BITS: Final = (4, 5, 6, 7)  # 16 INT8 steps and more
_SHAPES: Final = {"7 x 8": (7, 8), "10 x 5": (10, 5), "3 x 20": (3, 20), "30 x 30": (30, 30)}


def _noise(right: Int8, _: Sequence[Int8], draw: np.random.Generator) -> Int8:
    return draw.integers(-128, 128, right.shape, np.int8)


def _opposite_noise(right: Int8, _: Sequence[Int8], draw: np.random.Generator) -> Int8:
    noise = draw.integers(-127, 128, right.shape[:2], np.int8)
    return np.stack([-noise, noise], axis=-1)


def _scattered(draw: np.random.Generator, side: int) -> NDArray[np.bool_]:
    chosen = np.zeros(side * side, np.bool_)
    chosen[draw.choice(side * side, _PIXELS, replace=False)] = True
    return chosen.reshape(side, side)


def _run(draw: np.random.Generator, side: int) -> NDArray[np.bool_]:
    chosen = np.zeros(side * side, np.bool_)
    first = draw.integers(side * side - _PIXELS)
    chosen[first : first + _PIXELS] = True
    return chosen.reshape(side, side)


def _patch(rows: int, columns: int) -> Callable[[np.random.Generator, int], NDArray[np.bool_]]:
    def patch(draw: np.random.Generator, side: int) -> NDArray[np.bool_]:
        top, left = draw.integers(side - rows), draw.integers(side - columns)
        chosen = np.zeros((side, side), np.bool_)
        chosen[top : top + rows, left : left + columns] = True
        return chosen

    return patch


def _disc(draw: np.random.Generator, side: int) -> NDArray[np.bool_]:
    row, column = draw.integers(_RADIUS, side - _RADIUS, 2)
    rows, columns = np.ogrid[:side, :side]
    return np.asarray((rows - row) ** 2 + (columns - column) ** 2 < _RADIUS**2)


def _flipped(
    area: Callable[[np.random.Generator, int], NDArray[np.bool_]], logits: slice
) -> _Spoil:
    def spoil(right: Int8, _: Sequence[Int8], draw: np.random.Generator) -> Int8:
        wrong = right.copy()
        bit = np.array(1 << int(draw.choice(_BITS)), np.uint8).view(np.int8)
        wrong[area(draw, len(right)), logits] ^= bit
        return wrong

    return spoil


_BOTH: Final = "a bit of both logits"
_AREAS: Final = {
    "50 pixels": _scattered,
    "a run of 50 pixels": _run,
    "a disc of 69 pixels": _disc,
    **{name: _patch(*shape) for name, shape in _SHAPES.items()},
}
KINDS: Final[Mapping[str, _Spoil]] = {
    "inverted": lambda right, _, __: ~right,
    "classes exchanged": lambda right, _, __: np.ascontiguousarray(right[..., ::-1]),
    "zero": lambda right, _, __: np.zeros_like(right),
    "noise": _noise,
    "opposite noise": _opposite_noise,
    "the answer before": lambda _, before, __: before[0],
    "the answer before that": lambda _, before, __: before[1],
    "an earlier answer": lambda _, before, draw: before[int(draw.integers(len(before)))],
    **{f"a bit of one logit, {name}": _flipped(area, np.s_[1:]) for name, area in _AREAS.items()},
    **{f"{_BOTH}, {name}": _flipped(area, np.s_[:]) for name, area in _AREAS.items()},
}


@dataclass(frozen=True)
class _Answered:
    """A scene's tiles ``(1, side, side, bands)``, and their sound answers ``(side, side, 2)``."""

    name: str
    grid: Grid
    tiles: Mapping[_Place, Tiles]
    sound: Mapping[_Place, Int8]


class AnswerLaboratory:
    """Scenes and what ``engine`` makes of them, computed once."""

    def __init__(
        self, engine: Engine, pair_sums: tuple[int, int] | None, scenes: Iterable[JudgedTile]
    ) -> None:
        self._info, self._pair_sums = engine.info, pair_sums
        self._scenes = [_answered(engine, scene) for scene in scenes]

    def trial(self, seed: int) -> Result:
        """Give the wrong answer that the seed draws, to any tile but the first two of a scene.

        The kinds take turns.
        """
        kind, draw = [*KINDS][seed % len(KINDS)], np.random.default_rng(seed)
        while True:
            scene = self._scenes[draw.integers(len(self._scenes))]
            places = [*scene.tiles]
            at = int(draw.integers(2, len(places)))
            right, *before = (scene.sound[place] for place in places[at::-1])
            wrong = KINDS[kind](right, before, draw)
            if not np.array_equal(wrong, right):  # the answer to another tile may be right
                break
        found = self._consume(scene, places[: at + 1], wrong)
        pixels = np.count_nonzero(mask_of(found) != mask_of(right))
        return {
            "kind": kind,
            "where": "{}, row {}, column {}".format(scene.name, *places[at]),
            "seed": seed,
            "corrected": np.array_equal(found, right),
            "pixels": int(pixels),
        }

    def _consume(self, scene: _Answered, places: Sequence[_Place], wrong: Int8) -> Int8:
        """What leaves the consumer for the last place, whose first answer is the wrong one."""
        engine = _Replay(self._info, scene, places, wrong)
        check = AnswerCheck(scene.grid, self._info, self._pair_sums)
        consumer = EngineConsumer(engine, LatencyRecord(), check=check)
        batches = [TileBatch((place,), scene.tiles[place]) for place in places]
        answers = {
            answered.places[0]: np.asarray(answered.logits[0], np.int8)
            for answered in consumer.answer(batches)
            if isinstance(answered, AnsweredBatch)
        }
        return answers[places[-1]]


class _Replay(Engine):
    """Gives the sound answers of a scene's tiles at ``places``, and once a wrong one to the last.

    Limit: batches of one tile, each answered immediately.
    """

    def __init__(
        self, info: EngineInfo, scene: _Answered, places: Sequence[_Place], wrong: Int8
    ) -> None:
        self._info = info
        self._sound = {scene.tiles[place].tobytes(): scene.sound[place] for place in places}
        self._wrong = {scene.tiles[places[-1]].tobytes(): wrong}

    @property
    def info(self) -> EngineInfo:
        """That of the engine whose answers these are."""
        return self._info

    def infer(self, tiles: Tiles) -> Logits:
        """The wrong answer if its tile comes for the first time, else the sound one."""
        tile = tiles.tobytes()
        return self._wrong.pop(tile, self._sound[tile])[None].copy()

    def push(self, tiles: Tiles) -> Logits:
        """The answer to these tiles: none is late."""
        return self.infer(tiles)

    def flush(self) -> Iterator[Logits]:
        """Nothing is in flight."""
        return iter(())

    def readings(self) -> CardReadings | None:
        """Nothing is measured."""
        return None

    def close(self) -> None:
        """Nothing is held."""


def answer_trials(_: Path, seed: int, first: int) -> Iterator[Result]:
    """Wrong answers from number ``first`` on; the sound ones are those of the card's simulator."""
    package = load_package()
    with open_engine("dimc", package, Settings()) as engine:
        pair_sums = GoldenAnswers(engine.info, package).pair_sums
        laboratory = AnswerLaboratory(engine, pair_sums, judged_scenes(package))
    while True:
        yield laboratory.trial(seed * 1_000_000 + first)
        first += 1


def is_missed(result: Mapping[str, Any]) -> bool:
    """Whether a wrong answer passed that one of the checks is there to find."""
    return not result["corrected"] and not result["kind"].startswith(_BOTH)


def text_of_answers(results: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table of what was corrected by kind, and of what the rest changed."""
    columns = ("given", "corrected", "most pixels of a mask")
    lines = [f"| wrong answer | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
    for kind in (*KINDS, "all"):
        of_kind = [one for one in results if kind in (one["kind"], "all")]
        missed = [one["pixels"] for one in of_kind if not one["corrected"]]
        numbers = (len(of_kind), len(of_kind) - len(missed), max(missed, default=0))
        lines.append(f"| {kind} | {' | '.join(f'{number:,}' for number in numbers)} |")
    return "\n".join(lines)


def _answered(engine: Engine, scene: JudgedTile) -> _Answered:
    taken, side = scene.quantised(), engine.info.tile_size
    height, width, _ = taken.shape
    grid = Grid(height, width, side, engine.info.stride)
    tiles = {}
    for row, column in product(range(grid.rows), range(grid.columns)):
        rows, columns = grid.needed_rows(row), grid.columns_of(column)
        tile = taken[rows.start : rows.stop, columns.start : columns.stop]
        tiles[row, column] = np.ascontiguousarray(tile)[None]
    late = [engine.push(tile) for tile in tiles.values()]
    answers = [answer for answer in (*late, *engine.flush()) if answer is not None]
    sound = [np.asarray(answer[0], np.int8) for answer in answers]
    return _Answered(scene.name, grid, tiles, dict(zip(tiles, sound, strict=True)))
