"""Flipped bits in memory: the network's parameters, tables, and the buffers from strip to mask.

One flip a trial, made in the arrays of the service's own code, and judged by its own checks: golden
tiles, checksums of tables and tiles, the check of answers, the reader of masks.  What none of them
notices is counted in pixels of the mask.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray

from deploy.faults.judged_tiles import JudgedTile, judged_tiles, mask_of
from deploy.faults.parted_network import PartedNetwork, Trace
from flightsw.engines.engine import EngineInfo
from flightsw.engines.golden import GoldenAnswers
from flightsw.errors import InferenceFailed, ProductError
from flightsw.model.package import ModelPackage, load_package
from flightsw.pipeline.answer_check import AnswerCheck
from flightsw.pipeline.fusion import MaskFusion
from flightsw.pipeline.quantisation import TableGuard
from flightsw.pipeline.work import TileBatch
from flightsw.products.array_file import MaskArray
from flightsw.products.contents import FinishedRows
from flightsw.products.mask_file import open_mask
from flightsw.scene.scene import SceneMetadata
from flightsw.scene.tiling import Grid

Result: TypeAlias = dict[str, Any]
"""Of a flip: ``kind``, ``where``; ``noticed`` by what, empty if by nothing; ``most`` pixels of a
tile's mask that changed, ``pixels`` of all judged tiles, ``tiles`` in which a logit changed."""

NETWORK: Final = ("weight", "bias", "scale", "zero point")
SHARES: Final = {
    "weight": 28, "bias": 5, "scale": 5, "zero point": 2,
    "table": 30,
    "digital number": 8, "input tile": 8, "answer": 7, "mask": 7,
}  # fmt: skip
"""Per cent of the flips."""

BOUNDS: Final = {
    **dict.fromkeys(NETWORK, 100),
    "table": -1,
    "digital number": 2000, "input tile": -1, "answer": 1, "mask": 1,
}  # fmt: skip
"""Pixels of one tile's mask that may change without notice; -1: each flip must be noticed."""


_MOST_FOUND: Final = "snow"
"""The golden tile that finds most flips comes first, because one is enough."""


@dataclass(frozen=True)
class _Known:
    """A judged tile, what the sound network makes of it, and its mask."""

    tile: JudgedTile
    taken: NDArray[np.int8]
    trace: Trace
    logits: NDArray[np.int8]
    mask: NDArray[np.bool_]


class MemoryLaboratory:
    """A package's network and the judged tiles; ``folder`` is for masks."""

    def __init__(self, folder: Path, package: ModelPackage, tiles: Iterable[JudgedTile]) -> None:
        self._folder = folder
        self._info = _info(package)
        graph = package.read_compiled_model("spatial").graph
        self._network = PartedNetwork(onnx.load(str(graph)))
        self._answers = GoldenAnswers(self._info, package)
        names = package.golden_tiles().names
        self._order = sorted(range(len(names)), key=lambda number: names[number] != _MOST_FOUND)
        self._golden: list[Trace] = []
        for number, tile in enumerate(package.golden_tiles().tiles):
            self._golden.append(self._network.trace(tile))
            found = self._network.answer_of(self._golden[-1])
            self._answers.changed_tile(found[None], range(number, number + 1))
        self._known = [self._know(tile) for tile in tiles]
        self._parameters = {
            kind: [name for name in self._network.parameters if self._kind_of(name) == kind]
            for kind in NETWORK
        }
        self._grid = Grid(*[package.tile_size] * 4)
        self._flips: Mapping[str, Callable[[random.Random], Result]] = {
            "table": self._table,
            "digital number": self._number,
            "input tile": self._input,
            "answer": self._answer,
            "mask": self._mask,
        }

    def flip(self, seed: int) -> Result:
        """Flip the bit that the seed draws; the same result for the same seed."""
        choice = random.Random(seed)
        (kind,) = choice.choices(list(SHARES), list(SHARES.values()))
        return self.flip_of(kind, choice) | {"seed": seed}

    def flip_of(self, kind: str, choice: random.Random) -> Result:
        """Flip a bit of one kind."""
        if kind in NETWORK:
            return {"kind": kind} | self._parameter(kind, choice)
        return {"kind": kind} | self._flips[kind](choice)

    def _know(self, tile: JudgedTile) -> _Known:
        taken = tile.quantised()
        trace = self._network.trace(taken)
        logits = self._network.answer_of(trace)
        return _Known(tile, taken, trace, logits, mask_of(logits))

    def _kind_of(self, name: str) -> str:
        if "zero" in name:
            return "zero point"
        if "scale" in name:
            return "scale"
        return "bias" if self._network.parameters[name].ndim < 2 else "weight"

    def _parameter(self, kind: str, choice: random.Random) -> Result:
        names = self._parameters[kind]
        sizes = [self._network.parameters[name].nbytes for name in names]
        (name,) = choice.choices(names, sizes)
        value, where = _flipped(self._network.parameters[name], choice)
        answer = self._network.with_parameter(name, value)
        where = f"{name} {where}"
        for number in self._order:
            tile = self._answers.tiles[number]
            found = answer(np.asarray(tile, np.int8), self._golden[number])
            if golden := self._answers.changed_tile(found[None], range(number, number + 1)):
                return _result(where, f"golden tile {golden}")
        answers = [answer(known.taken, known.trace) for known in self._known]
        return _result(where, "", self._known, answers)

    def _table(self, choice: random.Random) -> Result:
        tables, where = _flipped(sound := choice.choice(self._known).tile.tables, choice)
        changing = sound.copy()
        guard = TableGuard(changing)
        changing[:] = tables
        try:
            guard.require_unchanged()
        except InferenceFailed as error:
            return _result(where, error.cause)
        return _result(where, "")

    def _number(self, choice: random.Random) -> Result:
        known = choice.choice(self._known)
        numbers, where = _flipped(known.tile.numbers, choice)
        tile = JudgedTile(known.tile.name, numbers, known.tile.tables)
        # A doubt does not help: the second answer to a wrong tile equals the first.
        logits = self._network.logits(tile.quantised(), known.trace)
        return _result(f"{known.tile.name} {where}", "", [known], [logits])

    def _input(self, choice: random.Random) -> Result:
        known = choice.choice(self._known)
        tile, where = _flipped(known.taken, choice)
        changing = known.taken[None].copy()
        batch = TileBatch(((0, 0),), changing)
        changing[0] = tile
        noticed = ""
        try:
            batch.require_unchanged()
        except InferenceFailed as error:
            noticed = error.cause
        logits = self._network.logits(tile, known.trace)
        return _result(f"{known.tile.name} {where}", noticed, [known], [logits])

    def _answer(self, choice: random.Random) -> Result:
        known = choice.choice(self._known)
        logits, where = _flipped(known.logits, choice)
        check = AnswerCheck(self._grid, self._info, self._answers.pair_sums)
        doubt = check.doubt((0, 0), known.taken, logits)
        return _result(f"{known.tile.name} {where}", doubt, [known], [logits])

    def _mask(self, choice: random.Random) -> Result:
        known = choice.choice(self._known)
        fusion = MaskFusion(self._grid, self._info, "or")
        fusion.add(0, 0, known.logits)
        sound = fusion.finish(0).mask
        mask, where = _flipped(sound, choice)
        path = self._folder / MaskArray.suffixes[0]
        path.unlink(missing_ok=True)
        product = MaskArray(self._folder, _scene(*mask.shape))
        product.write(FinishedRows(0, None, mask, None))
        product.close()
        where = f"{known.tile.name} {where}"
        with open_mask(path) as read:
            try:
                pixels = int(np.count_nonzero(read[:] != sound))
            except ProductError as error:
                return _result(where, f"the reader: {error.cause}")
        return _result(where, "") | {"pixels": pixels, "most": pixels}


def memory_trials(folder: Path, seed: int, first: int) -> Iterator[Result]:
    """Flips from number ``first`` on, in the shipped package."""
    package = load_package()
    laboratory = MemoryLaboratory(folder, package, judged_tiles(package))
    while True:
        yield laboratory.flip(seed * 1_000_000 + first)
        first += 1


def is_beyond_bounds(result: Mapping[str, Any]) -> bool:
    """Whether more pixels changed without notice than is stated."""
    return not result["noticed"] and result["most"] > BOUNDS[result["kind"]]


def text_of_memory(results: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table of what was noticed by kind, and of what the rest changed."""
    columns = ("flips", "noticed", "no pixel changed", "pixels changed", "most pixels in a tile")
    lines = [f"| a bit of | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
    for kind in (*SHARES, "all"):
        of_kind = [one for one in results if kind in (one["kind"], "all")]
        silent = [one["most"] for one in of_kind if not one["noticed"]]
        changing = [most for most in silent if most]
        numbers = (
            len(of_kind),
            len(of_kind) - len(silent),
            len(silent) - len(changing),
            len(changing),
            max(changing, default=0),
        )
        lines.append(f"| {kind} | {' | '.join(f'{number:,}' for number in numbers)} |")
    return "\n".join(lines)


def _flipped(array: NDArray[Any], choice: random.Random) -> tuple[NDArray[Any], str]:
    changed = array.copy(order="C")
    content = changed.reshape(-1).view(np.uint8)
    byte, bit = choice.randrange(content.size), choice.randrange(8)
    content[byte] ^= 1 << bit
    return changed, f"byte {byte} bit {bit}"


def _result(
    where: str,
    noticed: str,
    known: Sequence[_Known] = (),
    answers: Sequence[NDArray[np.int8]] = (),
) -> Result:
    pixels = [
        int(np.count_nonzero(mask_of(answer) != one.mask))
        for one, answer in zip(known, answers, strict=True)
    ]
    return {
        "where": where,
        "noticed": noticed,
        "tiles": sum(
            not np.array_equal(answer, one.logits)
            for one, answer in zip(known, answers, strict=True)
        ),
        "pixels": sum(pixels),
        "most": max(pixels, default=0),
    }


def _info(package: ModelPackage) -> EngineInfo:
    return EngineInfo(
        name="dimc",
        tag="axelera",
        device="memory campaign",
        precision="int8",
        batch=1,
        tile_size=package.tile_size,
        stride=package.stride,
        bands=package.bands,
        classes=package.classes,
        model_id=package.model_id,
        input=package.input,
        output=package.output,
        temperature=package.temperature,
    )


def _scene(height: int, width: int) -> SceneMetadata:
    return SceneMetadata(
        name="flipped",
        tile_id="",
        level="L2A",
        baseline="",
        bands=(),
        offsets={},
        quantification=1.0,
        height=height,
        width=width,
        ground_sample_distance=10,
    )
