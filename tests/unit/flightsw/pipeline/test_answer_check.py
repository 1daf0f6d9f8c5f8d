"""Wrong answers are doubted; sound answers seldom, and then only computed again."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from flightsw.config import PipelineSettings
from flightsw.errors import AnswerWrong
from flightsw.pipeline import process_scene
from flightsw.pipeline.answer_check import (
    MOST_BORDERS,
    AnswerCheck,
    borders,
    similarity,
    speckles,
    unsigned,
)
from flightsw.products.mask_rows import MaskRows
from flightsw.scene.tiling import Grid
from tests.unit.flightsw.small_parts import ArithmeticEngine, ArrayScene

Int8 = NDArray[np.int8]

INFO = ArithmeticEngine().info
PAIRED = (-1, 0)


def _field(seed: int, height: int, width: int) -> NDArray[np.uint16]:
    """A smooth scene with bright and dark ground: digital numbers ``(4, height, width)``."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width] / random.uniform(25, 60, (2, 1, 1))
    wave = np.sin(rows + random.uniform(0, 6)) * np.cos(columns + random.uniform(0, 6))
    return np.stack([(6000 + 2500 * wave).astype(np.uint16)] * 4)


class _Thresholding(ArithmeticEngine):
    """Centred logits that grow with brightness; the answers numbered in ``wrong`` are spoilt."""

    def __init__(
        self, wrong: dict[int, Callable[[Int8, Int8], Int8]] | None = None, delay: int = 0
    ) -> None:
        super().__init__(delay=delay)
        self._wrong, self._last = wrong or {}, np.zeros((1, 224, 224, 2), np.int8)

    def infer(self, tiles: NDArray[np.int8]) -> Int8:
        """Answer a batch immediately, wrongly if its turn has come."""
        margin = np.clip(tiles[..., 0].astype(np.int16) + 3, -127, 127).astype(np.int8)
        right = np.stack([-margin, margin], axis=-1)
        spoil = self._wrong.get(self.tiles_seen)
        answer = spoil(right, self._last) if spoil else right
        self.tiles_seen += len(tiles)
        self._last = right
        return answer


def _flip(*places: tuple[slice, slice, int], bit: int = 4) -> Callable[[Int8, Int8], Int8]:
    def spoil(right: Int8, _: Int8) -> Int8:
        wrong = right.copy()
        for rows, columns, channel in places:
            wrong[0, rows, columns, channel] ^= np.int8(1 << bit)
        return wrong

    return spoil


def _noise(right: Int8, _: Int8) -> Int8:
    return np.random.default_rng(3).integers(-128, 128, right.shape, np.int8)


def _opposite_noise(right: Int8, _: Int8) -> Int8:
    noise = np.random.default_rng(3).integers(-127, 128, right.shape[:-1], np.int8)
    return np.stack([-noise, noise], axis=-1)


INSIDE = np.s_[100:107], np.s_[90:98]  # no neighbour sees these pixels

WRONG: dict[str, Callable[[Int8, Int8], Int8]] = {
    "inverted": lambda right, _: ~right,
    "classes exchanged": lambda right, _: np.ascontiguousarray(right[..., ::-1]),
    "zero": lambda right, _: np.zeros_like(right),
    "noise": _noise,
    "opposite noise": _opposite_noise,
    "the previous answer": lambda _, last: last.copy(),
    "a bit of 56 pixels": _flip((*INSIDE, 1)),
    "a bit of 56 pixels, both channels": _flip((*INSIDE, 0), (*INSIDE, 1)),
    "a bit of 56 lone pixels, both channels": _flip(
        *[(np.s_[40:180:20], np.s_[40:184:18], channel) for channel in (0, 1)]
    ),
}


def _process(
    numbers: NDArray[np.uint16],
    engine: ArithmeticEngine,
    corrected: Callable[[AnswerWrong], None] = lambda _: None,
    *,
    panels: tuple[int, ...] = (),
    every: bool = False,
) -> NDArray[np.uint8]:
    scene, rows = ArrayScene(numbers, (100,), panels, 2), MaskRows()
    _, height, width = numbers.shape
    check = AnswerCheck(Grid(height, width), engine.info, PAIRED, every=every)
    process_scene(
        scene, engine, PipelineSettings(device="cpu"), [rows], check=check, corrected=corrected
    )
    return rows.mask()


@settings(max_examples=30)
@given(
    kind=st.sampled_from([*WRONG]),
    at=st.integers(4, 15),  # the first tile, which has no neighbour, comes twice before
    seed=st.integers(0, 99),
    delay=st.sampled_from((0, 2)),
    panels=st.sampled_from(((), (300,), (250, 400))),
)
def test_a_wrong_answer_anywhere_is_replaced_by_the_right_one(
    kind: str, at: int, seed: int, delay: int, panels: tuple[int, ...]
) -> None:
    numbers, found = _field(seed, 700, 860), list[AnswerWrong]()
    sound = _process(numbers, _Thresholding())
    wrong = _Thresholding({at: WRONG[kind]}, delay)
    np.testing.assert_array_equal(_process(numbers, wrong, found.append, panels=panels), sound)
    assert len(found) == 1
    assert "computed again" in str(found[0])


# Below 8 pixels a single one decides, and may honestly lie between two answers.
@given(seed=st.integers(0, 999), height=st.integers(8, 900), width=st.integers(8, 900))
@settings(max_examples=20)
def test_a_smooth_scene_is_computed_once_but_for_its_first_tile(
    seed: int, height: int, width: int
) -> None:
    engine, found = _Thresholding(), list[AnswerWrong]()
    _process(_field(seed, height, width), engine, found.append)
    grid = Grid(height, width)
    assert engine.tiles_seen == grid.rows * grid.columns + 1
    assert found == []


def test_answers_that_honestly_contradict_each_other_are_kept_without_a_word() -> None:
    numbers, found = _field(1, 700, 700), list[AnswerWrong]()
    plain, rows = ArithmeticEngine(), MaskRows()
    process_scene(ArrayScene(numbers), plain, PipelineSettings(device="cpu"), [rows])
    doubted, checked = ArithmeticEngine(delay=2), MaskRows()
    check = AnswerCheck(Grid(700, 700), doubted.info)
    process_scene(
        ArrayScene(numbers),
        doubted,
        PipelineSettings(device="cpu"),
        [checked],
        check=check,
        corrected=found.append,
    )
    np.testing.assert_array_equal(checked.mask(), rows.mask())
    assert plain.tiles_seen < doubted.tiles_seen <= 2 * plain.tiles_seen
    assert found == []


def test_a_patch_without_a_border_is_found_only_if_every_tile_is_computed_twice() -> None:
    numbers = _field(2, 700, 700)
    sound = _process(numbers, _Thresholding())

    def patch(right: Int8, _: Int8) -> Int8:
        rise = np.hanning(100)
        change = np.rint(90 * np.outer(rise, rise)).astype(np.int16)
        wrong = right.copy()
        inside = wrong[0, 60:160, 60:160]
        inside[..., 1] = np.clip(inside[..., 1] + change, -127, 127)
        inside[..., 0] = -inside[..., 1]
        return wrong

    wrong = {6: patch}
    assert not np.array_equal(_process(numbers, _Thresholding(wrong)), sound)
    np.testing.assert_array_equal(_process(numbers, _Thresholding(wrong), every=True), sound)


@pytest.mark.parametrize("delay", [0, 2])
def test_an_engine_that_never_answers_a_tile_twice_alike_has_failed(delay: int) -> None:
    class Restless(_Thresholding):
        def infer(self, tiles: NDArray[np.int8]) -> Int8:
            turn = 61 * max(0, self.tiles_seen - 4)
            return np.roll(super().infer(tiles), turn, axis=1)

    with pytest.raises(AnswerWrong, match="cannot be trusted"):
        _process(_field(3, 700, 700), Restless(delay=delay))


def test_an_impossible_answer_is_not_believed_however_often_it_is_given() -> None:
    flip = WRONG["a bit of 56 pixels"]
    engine = _Thresholding(dict.fromkeys(range(4, 99), flip))
    with pytest.raises(AnswerWrong, match="not opposite"):
        _process(_field(4, 700, 700), engine)


def test_a_known_tile_follows_each_doubted_one() -> None:
    class Probe:
        batches_at_end = 1
        judged = 0

        def tiles(self) -> Int8:
            return np.full((1, 224, 224, 4), 9, np.int8)

        def judge(self, logits: Int8) -> None:
            self.judged += 1
            if logits[0, 0, 0, 1] != 12:
                raise AnswerWrong("the engine", "is stuck", "Replace it")

    def stuck() -> Iterator[tuple[int, Callable[[Int8, Int8], Int8]]]:
        # Wrong for as long as the tile is repeated, sound again before the next regular probe.
        yield from ((at, WRONG["classes exchanged"]) for at in range(8, 11))

    numbers, probe = _field(5, 900, 900), Probe()
    check = AnswerCheck(Grid(900, 900), INFO, PAIRED)
    with pytest.raises(AnswerWrong, match="is stuck"):
        process_scene(
            ArrayScene(numbers),
            _Thresholding(dict(stuck())),
            PipelineSettings(device="cpu", golden_every=1000),
            [MaskRows()],
            probe=probe,
            check=check,
        )
    assert probe.judged == 2  # behind the first tile, which has no neighbour, and behind this one


@given(
    seed=st.integers(0, 999),
    bit=st.integers(4, 7),
    size=st.tuples(st.integers(5, 90), st.integers(5, 90)),
    corner=st.tuples(st.integers(3, 130), st.integers(3, 130)),
)
def test_a_patch_has_borders_in_smooth_logits_which_have_none(
    seed: int, bit: int, size: tuple[int, int], corner: tuple[int, int]
) -> None:
    smooth = (_field(seed, 224, 224)[0] / 100).astype(np.int8) - np.int8(60)
    assert borders(unsigned(smooth)) == 0
    (rows, columns), (top, left) = size, corner
    smooth[top : top + rows, left : left + columns] ^= np.array(1 << bit, np.uint8).view(np.int8)
    assert borders(unsigned(smooth)) > MOST_BORDERS


def test_what_a_band_shows_too_is_not_a_fault_of_the_answer_and_what_it_does_not_show_is() -> None:
    random = np.random.default_rng(1)
    clear = np.zeros((224, 224), np.int8)
    flat, shown = np.zeros((2, 224, 224, 4), np.int8)
    places = random.permutation(73**2)[:60]
    speckled = clear.copy()
    speckled[3 * (places // 73) + 2, 3 * (places % 73) + 2] = 40
    shown[..., 1] = speckled // 4
    assert speckles(unsigned(speckled)) == 60
    assert speckles(unsigned(speckled), flat) == 60
    assert speckles(unsigned(speckled), shown) == 0
    patch = clear.copy()
    patch[30:80, 50:90] = 40
    shown[..., 1] = patch // 2
    assert borders(unsigned(patch)) == borders(unsigned(patch), flat) > 2 * (50 + 40 - 8)
    assert borders(unsigned(patch), shown) == 0


def test_texture_of_a_tile_does_not_make_its_answer_doubtful() -> None:
    random = np.random.default_rng(2)
    tile = np.zeros((224, 224, 4), np.int8)
    tile[random.random((224, 224)) < 0.01] = 60
    logits = np.stack([-tile[..., 0], tile[..., 0]], axis=-1)
    check = AnswerCheck(Grid(224, 224), INFO, PAIRED)
    assert "no neighbour" in check.doubt((0, 0), tile, logits)
    moved = np.roll(logits, 5, axis=0)
    assert "single pixels" in check.doubt((0, 0), tile, moved)


def test_the_answer_to_any_earlier_tile_of_the_scene_is_doubted() -> None:
    fields = [_field(seed, 224, 224).transpose(1, 2, 0) // 100 - 60 for seed in range(60)]
    tiles = [field.astype(np.int8) for field in fields]
    logits = [np.stack([-tile[..., 0], tile[..., 0]], axis=-1) for tile in tiles]
    check = AnswerCheck(Grid(224, 60 * 210 + 14), INFO, PAIRED)
    doubts = [check.doubt((0, at), tiles[at], logits[at]) for at in range(59)]
    assert not any("earlier" in doubt for doubt in doubts)
    assert "earlier" in check.doubt((0, 59), tiles[59], logits[3])


@given(seed=st.integers(0, 999))
def test_similarity_is_1_of_equals_minus_1_of_opposites_and_0_of_nothing(seed: int) -> None:
    margin = np.random.default_rng(seed).integers(-255, 256, (14, 224)).astype(np.int16)
    assert similarity(margin, margin) == pytest.approx(1)
    assert similarity(margin, -margin) == pytest.approx(-1)
    assert similarity(margin, np.zeros_like(margin)) == 0
