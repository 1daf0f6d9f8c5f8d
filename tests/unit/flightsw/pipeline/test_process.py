"""The streamed mask equals a naive whole-frame computation, whatever the streaming looks like."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from flightsw.config import PipelineSettings
from flightsw.engines.engine import EngineInfo, Logits, Tiles
from flightsw.errors import (
    AnswerWrong,
    EmptyScene,
    EngineUnavailable,
    InferenceFailed,
    Interrupted,
)
from flightsw.pipeline import process_scene
from flightsw.pipeline.quantisation import scene_tables
from flightsw.pipeline.stages import StopSignal
from flightsw.pipeline.surroundings import surround
from flightsw.pipeline.torch_quantisation import TorchQuantiser
from flightsw.products.contents import FinishedRows
from flightsw.scene.scene import SceneMetadata, Strip
from flightsw.scene.tiling import Grid
from tests.unit.flightsw.small_parts import BANDS, ArithmeticEngine, ArrayScene


class _Frame:
    """Collects rows and insists on their order."""

    def __init__(self) -> None:
        self._masks: list[NDArray[np.uint8]] = []
        self._classes: list[NDArray[np.uint8]] = []
        self._probabilities: list[NDArray[np.uint8]] = []
        self._numbers: list[NDArray[np.uint16]] = []
        self._next = 0

    def write(self, rows: FinishedRows) -> None:
        assert rows.top == self._next
        self._next += len(rows.mask)
        self._masks.append(rows.mask.copy())
        if rows.digital_numbers is not None:
            self._numbers.append(rows.digital_numbers.copy())
        if rows.classes is not None:
            self._classes.append(rows.classes.copy())
        if rows.probability is not None:
            self._probabilities.append(rows.probability.copy())

    @property
    def mask(self) -> NDArray[np.uint8]:
        return np.concatenate(self._masks)

    @property
    def classes(self) -> NDArray[np.uint8]:
        return np.concatenate(self._classes)

    @property
    def probability(self) -> NDArray[np.uint8] | None:
        return np.concatenate(self._probabilities) if self._probabilities else None

    @property
    def digital_numbers(self) -> NDArray[np.uint16] | None:
        return np.concatenate(self._numbers, axis=1) if self._numbers else None


def _digital_numbers(seed: int, height: int, width: int) -> NDArray[np.uint16]:
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 9000, (4, height // 40 + 1, width // 40 + 1))
    smooth = coarse.repeat(40, axis=1).repeat(40, axis=2)[:, :height, :width]
    numbers = smooth + random.integers(0, 900, (4, height, width))
    numbers[:, random.random((height, width)) < 0.02] = 0
    numbers[:, : height // 3, : width // 2] = 0
    numbers[:, -1, -1] = 5000
    return numbers.astype(np.uint16)


def _naive_mask(
    numbers: NDArray[np.uint16], engine: ArithmeticEngine, fusion: str, stride: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Whole frame, tile by tile: the definition in its plainest form (20-bit probabilities)."""
    _, height, width = numbers.shape
    reflectance = np.where(numbers == 0, 0, (numbers.astype(np.float64) - 1000) / 10000)
    quantised = np.clip(np.rint(reflectance / 0.004 - 128), -128, 127).astype(np.int8)
    any_tile = np.zeros((height, width), dtype=bool)
    total, tiles = np.zeros((height, width)), np.zeros((height, width))
    largest = np.full((height, width), -np.inf)
    probabilities = np.zeros((height, width, len(engine.info.classes)))
    invalid = (numbers == 0).any(axis=0)
    for window, tile in _naive_windows(quantised, invalid, stride):
        seen = np.s_[: any_tile[window].shape[0], : any_tile[window].shape[1]]
        real = engine.infer(tile[None])[0][seen].astype(np.float64) * 0.05
        any_tile[window] |= real[..., 1:].max(axis=2) > real[..., 0]
        margin = (real[..., 1:].max(axis=2) - real[..., 0]) / engine.info.temperature
        total[window] += np.rint(np.tanh(margin / 2) * 2**20)
        tiles[window] += 1
        largest[window] = np.maximum(largest[window], margin)
        exponentials = np.exp(real)
        probabilities[window] += np.rint(
            exponentials / exponentials.sum(axis=2, keepdims=True) * 2**20
        )
    contaminated = any_tile if fusion == "or" else total > 0
    classes = np.where(contaminated, 1 + probabilities[..., 1:].argmax(axis=2), 0)
    mean = total / np.maximum(tiles, 1) / 2**20
    percent = np.rint(50 + 50 * (np.tanh(largest / 2) if fusion == "or" else mean))
    mask, classes, percent = (
        np.where(invalid, 255, plane).astype(np.uint8) for plane in (contaminated, classes, percent)
    )
    return mask, classes, percent


def _naive_windows(
    frame: Tiles, invalid: NDArray[np.bool_], stride: int
) -> Iterator[tuple[tuple[slice, slice], Tiles]]:
    """Windows of a frame ``(bands, height, width)`` that have a valid pixel: place and tile."""
    tops, lefts = (
        [*range(0, max(length - 224, 0), stride), max(length - 224, 0)] for length in invalid.shape
    )
    for top, left in ((top, left) for top in tops for left in lefts):
        window = np.s_[top : top + 224, left : left + 224]
        missing = invalid[window]
        if missing.all():
            continue
        rows, columns = missing.shape
        tile = np.zeros((224, 224, len(frame)), frame.dtype)
        tile[:rows, :columns] = frame[(slice(None), *window)].transpose(1, 2, 0)
        surround(tile, rows, columns, missing)
        yield window, tile


def _naive_buffer(mask: NDArray[np.uint8], radius: float) -> NDArray[np.uint8]:
    """The definition in its plainest form: every pixel of a disc around every contaminated one."""
    height, width = mask.shape
    near, reach = np.zeros(mask.shape, bool), int(radius)
    for down in range(-reach, reach + 1):
        for across in range(-reach, reach + 1):
            inside = abs(down) < height and abs(across) < width
            if inside and down**2 + across**2 <= radius**2:
                to = np.s_[max(0, down) : height + down, max(0, across) : width + across]
                of = np.s_[max(0, -down) : height - down, max(0, -across) : width - across]
                near[to][: height - abs(down), : width - abs(across)] |= (
                    mask[of][: height - abs(down), : width - abs(across)] == 1
                )
    return np.where(near & (mask == 0), np.uint8(1), mask)


class _Known:
    """Tiles whose answers are known, as the golden tiles are."""

    def __init__(self, batches_at_end: int = 1) -> None:
        self.batches_at_end = batches_at_end
        random = np.random.default_rng(9)
        self._tiles = random.integers(-128, 128, (1, 224, 224, 4), np.int8)
        self.judged = 0

    def tiles(self) -> NDArray[np.int8]:
        return self._tiles

    def judge(self, logits: Logits) -> None:
        self.judged += 1
        if not np.array_equal(logits, ArithmeticEngine().infer(self._tiles)):
            raise AnswerWrong("arithmetic", "a known tile came out wrong", "Test it")


class _Unsteady(ArithmeticEngine):
    """Takes now more, now less time, so that the threads meet in other ways."""

    def push(self, tiles: NDArray[np.int8]) -> NDArray[np.int8] | None:
        threading.Event().wait(0.002 * (self.tiles_seen % 3))
        return super().push(tiles)


_SIZES = st.integers(1, 700)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(
    height=_SIZES,
    width=_SIZES,
    strips=st.lists(st.integers(1, 400), min_size=1, max_size=6),
    panels=st.lists(st.integers(1, 400), max_size=5),
    together=st.sampled_from((1, 2, 8)),
    batch=st.sampled_from((1, 2, 4, 7)),
    delay=st.sampled_from((0, 1, 2)),
    depth=st.sampled_from((1, 2, 16)),
    fusion=st.sampled_from(("or", "blend")),
    stride=st.sampled_from((210, 224, 100)),
    seed=st.integers(0, 1000),
    jitter=st.booleans(),
    golden_every=st.sampled_from((0, 1, 3, 10)),
)
def test_any_streaming_gives_the_whole_frame_mask(
    height: int,
    width: int,
    strips: list[int],
    panels: list[int],
    together: int,
    batch: int,
    delay: int,
    depth: int,
    fusion: str,
    stride: int,
    seed: int,
    jitter: bool,
    golden_every: int,
) -> None:
    numbers = _digital_numbers(seed, height, width)
    kind = _Unsteady if jitter else ArithmeticEngine
    engine = kind(batch=batch, delay=delay, stride=stride)
    frame, probe = _Frame(), _Known()
    chosen = PipelineSettings(
        fusion=fusion,  # type: ignore[arg-type]
        queue_depth=depth,
        device="cpu",
        golden_every=golden_every,
    )
    scene = ArrayScene(numbers, strips, panels, together)
    summary = process_scene(scene, engine, chosen, [frame], probe=probe)
    assert (probe.judged > 0) == (golden_every > 0)
    expected, *_ = _naive_mask(numbers, ArithmeticEngine(), fusion, stride)
    np.testing.assert_array_equal(frame.mask, expected)
    if not panels or panels[0] >= width:
        np.testing.assert_array_equal(frame.digital_numbers, numbers)
    else:
        assert frame.digital_numbers is None
    assert summary.valid_pixels == np.count_nonzero(expected != 255)
    assert summary.pixels_by_class["contaminated"] == np.count_nonzero(expected == 1)
    assert (
        summary.tiles
        == Grid(height, width, 224, stride).rows * Grid(height, width, 224, stride).columns
    )


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(
    height=_SIZES,
    width=_SIZES,
    strips=st.lists(st.integers(1, 400), min_size=1, max_size=6),
    panels=st.lists(st.integers(1, 400), max_size=5),
    fusion=st.sampled_from(("or", "blend")),
    stride=st.sampled_from((210, 224, 100)),
    threshold=st.none() | st.integers(1, 100),
    buffer_m=st.sampled_from((0.0, 5.0, 15.0, 40.0, 300.0)),
    temperature=st.sampled_from((1.0, 0.7, 3.0)),
    seed=st.integers(0, 1000),
)
def test_any_streaming_gives_probability_threshold_and_buffer_of_the_whole_frame(
    height: int,
    width: int,
    strips: list[int],
    panels: list[int],
    fusion: str,
    stride: int,
    threshold: int | None,
    buffer_m: float,
    temperature: float,
    seed: int,
) -> None:
    numbers = _digital_numbers(seed, height, width)
    frame = _Frame()
    chosen = PipelineSettings(
        fusion=fusion,  # type: ignore[arg-type]
        threshold_percent=threshold,
        buffer_m=buffer_m,
        device="cpu",
    )
    engine = ArithmeticEngine(batch=4, stride=stride, temperature=temperature)
    scene = ArrayScene(numbers, strips, panels)
    summary = process_scene(scene, engine, chosen, [frame], probability=True)
    alone = ArithmeticEngine(temperature=temperature)
    mask, _, percent = _naive_mask(numbers, alone, fusion, stride)
    if threshold is not None:
        mask = np.where(mask == 255, mask, percent >= threshold).astype(np.uint8)
    mask = _naive_buffer(mask, buffer_m / 10)
    np.testing.assert_array_equal(frame.probability, percent)
    np.testing.assert_array_equal(frame.mask, mask)
    assert summary.pixels_by_class["contaminated"] == np.count_nonzero(mask == 1)
    if frame.digital_numbers is not None:
        np.testing.assert_array_equal(frame.digital_numbers, numbers)


@pytest.mark.parametrize("fusion", ["or", "blend"])
def test_the_probability_changes_no_pixel_of_the_mask_and_comes_only_on_request(
    fusion: str,
) -> None:
    numbers = _digital_numbers(5, 300, 460)
    chosen = PipelineSettings(fusion=fusion, device="cpu")  # type: ignore[arg-type]
    plain, with_probability = _Frame(), _Frame()
    process_scene(ArrayScene(numbers), ArithmeticEngine(), chosen, [plain])
    process_scene(
        ArrayScene(numbers), ArithmeticEngine(), chosen, [with_probability], probability=True
    )
    np.testing.assert_array_equal(plain.mask, with_probability.mask)
    assert plain.probability is None
    assert with_probability.probability is not None


@pytest.mark.parametrize("panels", [[], [230]])
@pytest.mark.parametrize("fusion", ["or", "blend"])
def test_a_model_of_four_classes_also_gives_the_class_map(fusion: str, panels: list[int]) -> None:
    numbers = _digital_numbers(3, 500, 460)
    frame = _Frame()
    chosen = PipelineSettings(fusion=fusion, device="cpu")  # type: ignore[arg-type]
    summary = process_scene(
        ArrayScene(numbers, panel_widths=panels),
        ArithmeticEngine(classes=4, batch=4, delay=2),
        chosen,
        [frame],
    )
    mask, classes, _ = _naive_mask(numbers, ArithmeticEngine(classes=4), fusion, 210)
    np.testing.assert_array_equal(frame.mask, mask)
    np.testing.assert_array_equal(frame.classes, classes)
    kinds = sum(summary.pixels_by_class[name] for name in ("thick", "thin", "shadow"))
    assert kinds == summary.pixels_by_class["contaminated"]


@pytest.mark.parametrize("panels", [[], [230], [60, 300, 290]])
def test_whole_panels_quantised_together_give_the_same_mask(
    panels: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a GPU does; its lookup runs on the CPU here."""
    monkeypatch.setattr(
        "flightsw.pipeline.process.open_quantiser",
        lambda tables, _device: TorchQuantiser(tables, torch.device("cpu")),
    )
    numbers = _digital_numbers(7, 640, 700)
    frame = _Frame()
    scene = ArrayScene(numbers, [300, 40], panels, strips_together=2)
    process_scene(scene, ArithmeticEngine(batch=4), PipelineSettings(), [frame])
    expected, *_ = _naive_mask(numbers, ArithmeticEngine(), "or", 210)
    np.testing.assert_array_equal(frame.mask, expected)


class _Floating(ArithmeticEngine):
    """Logits float32 of reflectance; tiles that overlap disagree by their first pixel."""

    def __init__(self, batch: int = 2) -> None:
        super().__init__(batch=batch, delay=1)
        self.info = replace(self.info, precision="fp32", input=None, output=None)

    def infer(self, tiles: Tiles) -> NDArray[np.float32]:  # type: ignore[override]
        self.tiles_seen += len(tiles)
        assert tiles.dtype == np.float32
        clear = tiles[..., 0] * np.float32(3)
        contaminated = tiles[..., 1] * np.float32(4) - tiles[:, :1, :1, 2]
        return np.stack([clear, contaminated], axis=-1)


@pytest.mark.parametrize("fusion", ["or", "blend"])
def test_a_floating_point_engine_gives_the_mask_of_its_own_arithmetic(fusion: str) -> None:
    numbers = _digital_numbers(11, 500, 640)
    frame = _Frame()
    chosen = PipelineSettings(fusion=fusion, device="cpu")  # type: ignore[arg-type]
    process_scene(ArrayScene(numbers, [100]), _Floating(), chosen, [frame])
    reflectance = np.where(numbers == 0, 0, (numbers.astype(np.float64) - 1000) / 10000)
    evidence = np.zeros((500, 640))
    invalid = (numbers == 0).any(axis=0)
    for window, tile in _naive_windows(reflectance.astype(np.float32), invalid, 210):
        logits = _Floating().infer(tile[None])[0]
        margin = (logits[..., 1] - logits[..., 0]).astype(np.float64)
        evidence[window] += margin > 0 if fusion == "or" else np.rint(np.tanh(margin / 2) * 2**20)
    expected = np.where(invalid, 255, evidence > 0)
    np.testing.assert_array_equal(frame.mask, expected)


def test_a_wrong_answer_in_the_middle_of_a_scene_ends_it() -> None:
    class _Degrading(ArithmeticEngine):
        def infer(self, tiles: Tiles) -> NDArray[np.int8]:
            logits = super().infer(tiles)
            return logits if self.tiles_seen < 12 else logits[..., ::-1]

    scene, probe = ArrayScene(_digital_numbers(7, 1500, 900)), _Known()
    chosen = PipelineSettings(device="cpu", golden_every=5)
    with pytest.raises(AnswerWrong, match="a known tile came out wrong"):
        process_scene(scene, _Degrading(delay=2), chosen, probe=probe)
    assert probe.judged == 2
    assert _threads_of_the_pipeline() == []


def test_an_engine_that_goes_wrong_with_the_last_tiles_is_found_out() -> None:
    class _WrongAtTheEnd(ArithmeticEngine):
        def infer(self, tiles: Tiles) -> NDArray[np.int8]:
            logits = super().infer(tiles)
            return logits if self.tiles_seen < 9 else logits[..., ::-1]

    scene = ArrayScene(_digital_numbers(5, 640, 640))  # nine tiles
    chosen = PipelineSettings(device="cpu", golden_every=1000)
    with pytest.raises(AnswerWrong):
        process_scene(scene, _WrongAtTheEnd(), chosen, probe=_Known())


@pytest.mark.parametrize("golden_every", [4, 9, 1000])
def test_all_known_tiles_follow_the_last_tile(golden_every: int) -> None:
    scene, probe = ArrayScene(_digital_numbers(5, 640, 640)), _Known(batches_at_end=5)
    chosen = PipelineSettings(device="cpu", golden_every=golden_every)
    process_scene(scene, ArithmeticEngine(delay=2), chosen, probe=probe)
    assert probe.judged == 9 // golden_every + 5


def test_a_quantisation_table_that_changes_in_memory_ends_the_scene(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    numbers = _digital_numbers(5, 640, 640)
    tables: list[Tiles] = []

    class _Struck(ArithmeticEngine):
        def infer(self, tiles: Tiles) -> NDArray[np.int8]:
            tables[0][2, 4000] = 127
            return super().infer(tiles)

    def kept(scene: SceneMetadata, engine: EngineInfo) -> Tiles:
        tables.append(scene_tables(scene, engine))
        return tables[0]

    monkeypatch.setattr("flightsw.pipeline.process.scene_tables", kept)
    with pytest.raises(InferenceFailed, match="changed in memory"):
        process_scene(ArrayScene(numbers), _Struck(), PipelineSettings(device="cpu"))


def test_a_tile_that_changes_in_memory_while_it_waits_for_its_answer_ends_the_scene() -> None:
    class _Struck(ArithmeticEngine):
        def push(self, tiles: Tiles) -> NDArray[np.int8] | None:
            if self.tiles_seen == 3:
                tiles[0, 100, 100, 2] ^= 1
            return super().push(tiles)

    numbers = _digital_numbers(5, 640, 640)
    engine = _Struck(delay=2)
    with pytest.raises(InferenceFailed, match=r"column 0 on.* changed in memory"):
        process_scene(ArrayScene(numbers), engine, PipelineSettings(device="cpu"))


def test_tiles_without_a_valid_pixel_never_reach_the_engine() -> None:
    numbers = _digital_numbers(5, 640, 640)
    numbers[:, :, :434] = 0
    numbers[:, 500, 10] = 700
    engine = ArithmeticEngine()
    summary = process_scene(ArrayScene(numbers), engine, PipelineSettings(device="cpu"))
    assert summary.tiles == 9
    assert engine.tiles_seen == 9 - summary.tiles_without_data
    assert summary.tiles_without_data == 5
    assert summary.stages["accelerator"].count == engine.tiles_seen


def test_saturated_pixels_enter_as_the_largest_value() -> None:
    numbers = np.full((4, 224, 224), 65_535, dtype=np.uint16)
    seen: list[NDArray[np.int8]] = []

    class _Watching(ArithmeticEngine):
        def push(self, tiles: NDArray[np.int8]) -> NDArray[np.int8] | None:
            seen.append(tiles.copy())
            return super().push(tiles)

    process_scene(ArrayScene(numbers), _Watching(), PipelineSettings(device="cpu"))
    assert (seen[0] == 127).all()


def test_dark_water_of_a_scene_without_an_offset_is_measured() -> None:
    numbers = np.full((4, 224, 224), 300, dtype=np.uint16)
    numbers[3, :100] = 0  # the near infrared of water, clipped
    numbers[:, 200:] = 0
    for offset, no_data in ((0, 24), (-1000, 124)):
        scene = ArrayScene(numbers, changes={"offsets": dict.fromkeys(BANDS, offset)})
        summary = process_scene(scene, ArithmeticEngine(), PipelineSettings(device="cpu"))
        assert summary.no_data_pixels == no_data * 224


def test_a_scene_without_data_is_an_error() -> None:
    scene = ArrayScene(np.zeros((4, 300, 300), dtype=np.uint16))
    with pytest.raises(EmptyScene, match="no data"):
        process_scene(scene, ArithmeticEngine(), PipelineSettings(device="cpu"))


def test_a_scene_in_another_band_order_than_the_engine_is_refused() -> None:
    scene = ArrayScene(np.ones((4, 300, 300), dtype=np.uint16))
    engine = ArithmeticEngine(bands=("B08", "B04", "B03", "B02"))
    with pytest.raises(EngineUnavailable, match="B08 B04 B03 B02, not B02 B03 B04 B08"):
        process_scene(scene, engine, PipelineSettings(device="cpu"))


@pytest.mark.parametrize(
    ("heights", "tops"), [([64], [0, 64, 128, 192]), ([200], [0]), ([400], [0])]
)
def test_the_end_is_announced_once_when_one_decode_is_left(
    heights: list[int], tops: list[int]
) -> None:
    asked: list[int] = []
    endings: list[list[int]] = []

    class _Watched(ArrayScene):
        def _cut(self) -> Iterator[Strip]:
            for strip in super()._cut():
                asked.append(strip.top)
                yield strip

    scene = _Watched(_digital_numbers(3, 300, 300), heights)
    chosen = PipelineSettings(device="cpu")
    process_scene(scene, ArithmeticEngine(), chosen, ending=lambda: endings.append(asked.copy()))
    assert endings == [tops]


class _FailingEngine(ArithmeticEngine):
    def push(self, tiles: NDArray[np.int8]) -> NDArray[np.int8] | None:
        if self.tiles_seen == 5:
            raise InferenceFailed("metis-0:3:0", "the card raised InternalError", "Refresh it")
        return super().push(tiles)


class _BrokenScene(ArrayScene):
    def _cut(self):  # type: ignore[no-untyped-def]
        yield from list(super()._cut())[:4]
        raise OSError("the file system went away")


class _FailingSink:
    def write(self, rows: FinishedRows) -> None:
        raise OSError("no space left")


def _threads_of_the_pipeline() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("flightsw-")]


def test_an_engine_that_fails_stops_everything_and_surfaces() -> None:
    scene = ArrayScene(_digital_numbers(7, 1500, 900))
    chosen = PipelineSettings(device="cpu", queue_depth=1)
    with pytest.raises(InferenceFailed, match="the card raised InternalError"):
        process_scene(scene, _FailingEngine(), chosen)
    assert _threads_of_the_pipeline() == []


def test_a_scene_that_fails_stops_everything_and_surfaces() -> None:
    scene = _BrokenScene(_digital_numbers(7, 1500, 900))
    with pytest.raises(OSError, match="the file system went away"):
        process_scene(scene, ArithmeticEngine(batch=4), PipelineSettings(device="cpu"))
    assert _threads_of_the_pipeline() == []


def test_a_sink_that_fails_stops_everything_and_surfaces() -> None:
    scene = ArrayScene(_digital_numbers(7, 1500, 900))
    chosen = PipelineSettings(device="cpu", queue_depth=1)
    with pytest.raises(OSError, match="no space left"):
        process_scene(scene, ArithmeticEngine(), chosen, [_FailingSink()])
    assert _threads_of_the_pipeline() == []


def test_an_interrupt_between_rows_stops_everything() -> None:
    class _Interrupting:
        def write(self, rows: FinishedRows) -> None:
            raise KeyboardInterrupt

    scene = ArrayScene(_digital_numbers(7, 1500, 900))
    with pytest.raises(KeyboardInterrupt):
        process_scene(scene, ArithmeticEngine(), PipelineSettings(device="cpu"), [_Interrupting()])
    assert _threads_of_the_pipeline() == []


def test_an_engine_that_never_answers_is_an_error_not_a_hang() -> None:
    release = threading.Event()

    class _Wedged(ArithmeticEngine):
        def push(self, tiles: NDArray[np.int8]) -> NDArray[np.int8] | None:
            release.wait(60)
            raise InferenceFailed("metis-0:3:0", "released by the test")

    scene = ArrayScene(_digital_numbers(7, 600, 600))
    chosen = PipelineSettings(device="cpu", stall_seconds=0.2)
    timer = threading.Timer(1.0, release.set)
    timer.start()
    with pytest.raises(InferenceFailed, match=r"nothing moved for 0\.2 s"):
        process_scene(scene, _Wedged(), chosen)
    timer.join()


def test_an_engine_that_loses_a_batch_is_found_out() -> None:
    class _Forgetful(ArithmeticEngine):
        def flush(self):  # type: ignore[no-untyped-def]
            return iter(())

    scene = ArrayScene(_digital_numbers(7, 600, 600))
    with pytest.raises(InferenceFailed, match="never answered"):
        process_scene(scene, _Forgetful(delay=2), PipelineSettings(device="cpu"))


def test_progress_reaches_the_scene_height() -> None:
    reported: list[tuple[int, int]] = []
    scene = ArrayScene(_digital_numbers(9, 650, 300))
    process_scene(
        scene,
        ArithmeticEngine(),
        PipelineSettings(device="cpu"),
        progress=lambda done, height: reported.append((done, height)),
    )
    done = [rows for rows, height in reported if height == 650]
    assert {210, 420, 426, 650} <= set(done)
    assert done == sorted(set(done))
    assert done[-1] == 650


def test_a_scene_that_is_cut_short_leaves_the_engine_fit_for_the_next() -> None:
    engine, stop = ArithmeticEngine(delay=2), StopSignal()
    scene = ArrayScene(_digital_numbers(3, 900, 900))

    def cut_short(done: int, height: int) -> None:
        stop.request(Interrupted("the scene", "was cancelled"))

    with pytest.raises(Interrupted, match="was cancelled"):
        process_scene(scene, engine, PipelineSettings(device="cpu"), (), cut_short, stop=stop)
    assert list(engine.flush()) == []
    whole = process_scene(scene, engine, PipelineSettings(device="cpu"))
    fresh = process_scene(scene, ArithmeticEngine(delay=2), PipelineSettings(device="cpu"))
    assert whole.pixels_by_class == fresh.pixels_by_class
