from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flightsw.bench.agreement import GoldenAgreement
from flightsw.bench.protocol import Bench, draw_latencies_ns, measure
from flightsw.bench.results import EngineResult, Protocol
from flightsw.bench.scene import golden_numbers, golden_scenes, simulated_scene
from flightsw.bench.subjects import Subject, subjects
from flightsw.bench.tile_by_tile import TileByTile
from flightsw.config import DimcSettings, PipelineSettings, Settings
from flightsw.dimc.simulator.twin import FROM_CARD_NS, TO_CARD_NS
from flightsw.engines.engine import EngineInfo, Tiles
from flightsw.model.package import ModelPackage, load_package
from flightsw.pipeline import process_scene
from flightsw.pipeline.quantisation import CpuQuantiser, quantisation_table
from flightsw.products.mask_rows import MaskRows
from flightsw.scene.array_scene import ArrayScene
from tests.unit.flightsw.small_parts import ArithmeticEngine, scene_metadata

_PROTOCOL = Protocol(tiles=8, warm_up=6)


@pytest.fixture(scope="module")
def package(light_package: Path) -> ModelPackage:
    return load_package(light_package)


@pytest.fixture(scope="module")
def rows(package: ModelPackage) -> dict[str, tuple[Subject, EngineResult]]:
    settings = Settings(dimc=DimcSettings(card="simulator"), pipeline=PipelineSettings())
    scene = simulated_scene(package, _PROTOCOL.tiles)
    golden = GoldenAgreement(package, settings)
    bench = Bench(package, scene, _PROTOCOL, golden, lambda _stretch, _done, _of: None)
    return {one.title: (one, measure(one, bench)) for one in subjects(["dimc"], settings)}


def test_the_card_comes_with_its_twin_at_both_reference_latencies(
    rows: dict[str, tuple[Subject, EngineResult]],
) -> None:
    assert [(title, row.batch) for title, (_, row) in rows.items()] == [
        ("dimc", 1),
        ("twin, spatial", 1),
        ("twin, batch of 4", 4),
    ]


def test_every_engine_has_a_sample_of_each_stage_for_each_steady_tile(
    rows: dict[str, tuple[Subject, EngineResult]],
) -> None:
    for _, row in rows.values():
        assert set(row.samples_ns) == {"preparation", "accelerator", "fusion"}
        assert {len(samples) for samples in row.samples_ns.values()} == {_PROTOCOL.tiles}
        assert row.stages["tile"].count == _PROTOCOL.tiles
        assert row.figures["throughput"] > 0


def test_no_answer_of_the_twin_comes_before_the_latency_that_was_drawn_for_it(
    rows: dict[str, tuple[Subject, EngineResult]],
) -> None:
    for title in ("twin, spatial", "twin, batch of 4"):
        subject, row = rows[title]
        assert subject.twin
        warm = -(-_PROTOCOL.warm_up // row.batch)
        count = warm + _PROTOCOL.tiles // row.batch
        drawn = draw_latencies_ns(subject.twin, row.batch, count)[warm:]
        calls = np.array(row.samples_ns["accelerator"][:: row.batch]) * row.batch
        assert (calls + row.batch >= np.array(drawn) + TO_CARD_NS + FROM_CARD_NS).all()


def test_a_twin_has_jitter_power_and_energy_but_no_agreement(
    rows: dict[str, tuple[Subject, EngineResult]],
) -> None:
    _, row = rows["twin, spatial"]
    assert row.figures["compute_mean"] == pytest.approx(0.94, abs=0.2)  # of the draw, no clock
    assert {
        "added_jitter",
        "cadence_jitter",
        "tile_energy",
        "idle_power",
        "end_temperature",
    } <= set(row.figures)
    assert "agreement" not in row.figures
    assert any("agreement" in note for note in row.notes)


def test_the_simulator_agrees_with_fp32_and_promises_no_power(
    rows: dict[str, tuple[Subject, EngineResult]],
) -> None:
    _, row = rows["dimc"]
    assert 97 < row.figures["agreement"] < 100
    assert "tile_energy" not in row.figures
    assert not {"added_jitter", "cadence_jitter"} & set(row.figures)


class _RecordingEngine(ArithmeticEngine):
    def __init__(self, batch: int) -> None:
        super().__init__(batch=batch)
        self.seen: list[bytes] = []

    def infer(self, tiles: Tiles) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
        self.seen += [tile.tobytes() for tile in tiles]
        return super().infer(tiles)


def _scene(rows: int, height: int, width: int) -> ArrayScene:
    numbers = np.random.default_rng(1).integers(1, 12_000, (4, rows, width), dtype=np.uint16)
    return ArrayScene(scene_metadata(height, width), numbers)


@pytest.mark.parametrize("batch", [1, 3])
def test_tile_by_tile_runs_the_very_tiles_of_the_pipeline(batch: int) -> None:
    scene = _scene(500, 500, 700)
    streamed, stepped = _RecordingEngine(batch), _RecordingEngine(batch)
    process_scene(scene, streamed, PipelineSettings(device="cpu"))
    loop = TileByTile(stepped, scene, PipelineSettings(device="cpu"))
    loop.run(loop.tiles)
    assert stepped.seen == streamed.seen
    assert len(streamed.seen) == loop.tiles == 12


def test_more_tiles_than_the_scene_has_begin_again_with_the_first() -> None:
    engine = _RecordingEngine(2)
    TileByTile(engine, _scene(224, 224, 434), PipelineSettings(device="cpu")).run(5)
    assert engine.seen[4] == engine.seen[2] == engine.seen[0] != engine.seen[1]


@pytest.mark.parametrize(("count", "measured"), [(5, 8), (8, 8), (1, 4)])
def test_every_call_has_a_full_batch_so_that_all_tiles_cost_alike(
    count: int, measured: int
) -> None:
    engine, reported = _RecordingEngine(4), list[tuple[int, int]]()
    loop = TileByTile(engine, _scene(224, 224, 434), PipelineSettings(device="cpu"))
    samples = loop.run(count, lambda done, of: reported.append((done, of)))
    assert len(engine.seen) == measured
    assert {stage: len(values) for stage, values in samples.items()} == dict.fromkeys(
        samples, measured
    )
    assert reported[-1] == (count, count)


@pytest.mark.parametrize("columns", [10, 30])
def test_a_scene_in_memory_repeats_its_rows_down_to_its_height(columns: int) -> None:
    scene = replace(_scene(1500, 3700, 30), columns=columns)
    found = np.zeros((4, 3700, 30), np.uint16)
    with scene.strips(1) as strips:
        for strip in strips:
            _, rows, width = strip.digital_numbers.shape
            assert width == columns
            there = found[:, strip.top : strip.top + rows, strip.left : strip.left + width]
            assert not there.any()
            there[:] = strip.digital_numbers
    expected = np.concatenate([scene.digital_numbers] * 3, axis=1)[:, :3700]
    np.testing.assert_array_equal(found, expected)


def test_bands_of_another_order_move_with_their_pixels() -> None:
    scene = _scene(224, 224, 224)
    turned = scene.in_bands(("B08", "B04", "B03", "B02"))
    assert turned.metadata.bands[0] == "B08"
    np.testing.assert_array_equal(turned.digital_numbers, scene.digital_numbers[::-1])


def test_golden_digital_numbers_quantise_to_the_golden_tiles(package: ModelPackage) -> None:
    table = quantisation_table(-1000, 10_000.0, package.input.scale, package.input.zero_point)
    quantise = CpuQuantiser(np.stack([table] * len(package.bands)))
    for numbers, expected in zip(
        golden_numbers(package), package.golden_tiles().tiles, strict=True
    ):
        found = np.empty_like(expected)
        quantise([numbers], found)
        np.testing.assert_array_equal(found, expected)


def test_the_simulated_scene_has_at_least_the_tiles_asked_for(package: ModelPackage) -> None:
    for tiles in (1, 20, 60):
        loop = TileByTile(_engine(package), simulated_scene(package, tiles), PipelineSettings())
        assert tiles <= loop.tiles < tiles + 53


def test_agreement_counts_the_pixels_of_another_class(package: ModelPackage) -> None:
    """An engine that calls everything clear agrees where FP32 is clear, and nowhere else."""
    golden = GoldenAgreement(package, Settings())
    found = golden.of(_AllClear(package))
    assert found == pytest.approx(1 - golden.of(_AllContaminated(package)))
    assert 0.2 < found < 0.8


def test_a_mask_is_kept_row_by_row() -> None:
    sink = MaskRows()
    scene = _scene(500, 500, 300)
    process_scene(scene, ArithmeticEngine(), PipelineSettings(device="cpu"), [sink])
    assert sink.mask().shape == (500, 300)


def test_each_golden_tile_is_one_window(package: ModelPackage) -> None:
    scenes = golden_scenes(package)
    assert len(scenes) == len(package.golden_tiles().names)
    assert {TileByTile(_engine(package), one, PipelineSettings()).tiles for one in scenes} == {1}


def _engine(package: ModelPackage) -> ArithmeticEngine:
    return ArithmeticEngine(bands=package.bands)


class _AllClear(ArithmeticEngine):
    logits = (100, -100)

    def __init__(self, package: ModelPackage) -> None:
        super().__init__(bands=package.bands)
        self.info: EngineInfo = replace(self.info, input=package.input)

    def infer(self, tiles: Tiles) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
        answer = np.empty((*tiles.shape[:3], 2), np.int8)
        answer[:] = self.logits
        return answer


class _AllContaminated(_AllClear):
    logits = (-100, 100)
