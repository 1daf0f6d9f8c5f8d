from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from flightsw.config import PipelineSettings, TorchSettings
from flightsw.engines.engine import Engine
from flightsw.engines.golden import check_golden_tiles
from flightsw.engines.torch import engine as torch_engine
from flightsw.engines.torch import lanes as torch_lanes
from flightsw.engines.torch.engine import TorchEngine, open_torch_engine
from flightsw.errors import EngineUnavailable, InferenceFailed
from flightsw.model.golden import GoldenReport
from flightsw.model.network import open_network, open_torchscript
from flightsw.model.package import ModelPackage, load_package
from flightsw.pipeline import process_scene
from flightsw.products.contents import FinishedRows
from tests.unit.flightsw.engines.torch.unordered_device import UnorderedDevice, UnorderedQueue
from tests.unit.flightsw.model.torchscript_file import (
    BANDS,
    RADIUS,
    small_network,
    write_torchscript,
)
from tests.unit.flightsw.small_parts import ArrayScene

SIDE = 64


@pytest.fixture(scope="module")
def package() -> ModelPackage:
    """The shipped one, with tiles that are soon computed."""
    return msgspec.structs.replace(load_package(), tile_size=SIDE, stride=50)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_torchscript(small_network(), tmp_path_factory.mktemp("published") / "small.pt")


@pytest.fixture
def small(published: Path) -> TorchSettings:
    """A network that answers immediately."""
    return TorchSettings(threads=1, batch=4, torchscript=published)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA's part is played by a device that keeps only the order that it was asked for."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch_engine, "CudaDevice", UnorderedDevice)


def reflectance(count: int, seed: int = 0, side: int = SIDE, dtype: Any = np.float32) -> Any:
    return np.random.default_rng(seed).random((count, side, side, 4), np.float32).astype(dtype)


def plain_answer(network: nn.Module, tiles: NDArray[Any]) -> NDArray[np.float32]:
    with torch.no_grad():
        planes = torch.from_numpy(tiles.astype(np.float32)).permute(0, 3, 1, 2).contiguous()
        return np.asarray(network(planes).permute(0, 2, 3, 1).numpy())


def small_answer(tiles: NDArray[Any]) -> NDArray[np.float32]:
    """What the published file says of tiles in the package's band order, its own reversed."""
    four = plain_answer(small_network(), np.ascontiguousarray(tiles[..., ::-1]))
    return np.stack((four[..., 0], four[..., 1:].max(axis=-1)), axis=-1)


def push_all(engine: Engine, batches: Sequence[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    for tiles in batches:
        logits = engine.push(tiles)
        if logits is not None:
            yield logits
    yield from engine.flush()


def test_the_cpu_answers_as_the_plain_network(package: ModelPackage) -> None:
    tiles = reflectance(1)
    with open_torch_engine(package, TorchSettings(), "cpu") as engine:
        found = engine.infer(tiles)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_allclose(found, plain_answer(open_network(package), tiles), atol=1e-4)


def test_info_gives_the_package_and_the_device(package: ModelPackage) -> None:
    with open_torch_engine(package, TorchSettings(threads=1), "cpu") as engine:
        info = engine.info
        assert engine.readings() is None
    assert (info.name, info.tag, info.device) == ("torch-cpu", "torch", "CPU, 1 thread")
    assert (info.precision, info.batch, info.tile_size, info.stride) == ("fp32", 1, SIDE, 50)
    assert (info.bands, info.classes) == (package.bands, package.classes)
    assert (info.input, info.output, info.model_id) == (None, None, package.model_id)


def test_the_cpu_computes_with_the_threads_of_the_settings(
    package: ModelPackage, small: TorchSettings
) -> None:
    torch.set_num_threads(1)
    with open_torch_engine(
        package, TorchSettings(threads=2, torchscript=small.torchscript), "cpu"
    ) as engine:
        engine.infer(reflectance(1))
        assert torch.get_num_threads() == 2
    torch.set_num_threads(1)


def test_a_published_file_takes_its_bands_in_its_own_order(
    package: ModelPackage, small: TorchSettings, published: Path
) -> None:
    assert package.bands == BANDS[::-1]
    tiles = reflectance(1)
    with open_torch_engine(package, small, "cpu") as engine:
        np.testing.assert_allclose(engine.infer(tiles), small_answer(tiles), atol=1e-4)
        digest = hashlib.sha256(published.read_bytes()).hexdigest()
        assert engine.info.model_id == f"small+{digest[:12]}"
        assert engine.info.bands == package.bands
    straight = TorchSettings(torchscript=published, torchscript_bands=package.bands)
    with open_torch_engine(package, straight, "cpu") as engine:
        expected = plain_answer(open_torchscript(published, BANDS, package.classes), tiles)
        np.testing.assert_allclose(engine.infer(tiles), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("bands", "classes", "found"), [(13, 4, "13 channels"), (4, 3, "[1, 3, 32, 32]")]
)
def test_a_published_file_of_another_shape_is_refused(
    package: ModelPackage, tmp_path: Path, bands: int, classes: int, found: str
) -> None:
    path = write_torchscript(small_network(bands, classes), tmp_path / "other.pt", bands)
    with pytest.raises(EngineUnavailable, match=r"torch-cpu .*other\.pt") as refused:
        open_torch_engine(package, TorchSettings(torchscript=path), "cpu")
    assert refused.value.fields["expected"] == "4 bands in, 4 classes out"
    assert found in str(refused.value.fields["found"])


def test_an_absent_published_file_is_reported_in_one_line(
    package: ModelPackage, tmp_path: Path
) -> None:
    with pytest.raises(EngineUnavailable, match=r"absent\.pt does not exist") as refused:
        open_torch_engine(package, TorchSettings(torchscript=tmp_path / "absent.pt"), "cpu")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "bands", [("B11", "B04", "B03", "B02"), ("B04", "B03", "B02"), ("B02", "B02", "B03", "B04")]
)
def test_bands_that_are_not_the_package_s_are_refused(
    package: ModelPackage, published: Path, bands: tuple[str, ...]
) -> None:
    chosen = TorchSettings(torchscript=published, torchscript_bands=bands)
    with pytest.raises(EngineUnavailable, match=r"torch\.torchscript_bands") as refused:
        open_torch_engine(package, chosen, "cpu")
    assert refused.value.fields == {"expected": list(package.bands), "found": list(bands)}


def test_a_package_without_a_network_has_no_torch_engine(
    package: ModelPackage, tmp_path: Path
) -> None:
    with pytest.raises(EngineUnavailable, match="holds no floating-point network"):
        open_torch_engine(msgspec.structs.replace(package, folder=tmp_path), TorchSettings(), "cpu")


def test_without_cuda_the_engine_says_so_in_one_line(package: ModelPackage) -> None:
    if torch.cuda.is_available():
        pytest.skip("a CUDA device is here")
    with pytest.raises(
        EngineUnavailable, match="torch-cuda is unavailable: no CUDA device answers"
    ) as refused:
        open_torch_engine(package, TorchSettings(), "cuda")
    assert "\n" not in str(refused.value)
    assert refused.value.cure


@pytest.mark.parametrize(
    "tiles",
    [
        reflectance(2),
        reflectance(0),
        reflectance(1, dtype=np.float16),
        reflectance(1)[..., :3],
        reflectance(1)[:, :32],
        reflectance(1)[0],
    ],
    ids=["too many", "none", "halves", "three bands", "low", "no batch axis"],
)
def test_unfit_tiles_are_refused_and_the_engine_continues(
    package: ModelPackage, small: TorchSettings, tiles: NDArray[Any]
) -> None:
    with open_torch_engine(package, small, "cpu") as engine:
        with pytest.raises(
            InferenceFailed, match=r"takes tiles of 1 to 1 float32 \(64, 64, 4\)"
        ) as refused:
            engine.push(tiles)
        assert refused.value.fields["found"] == f"{tiles.dtype} {tiles.shape}"
        good = reflectance(1)
        np.testing.assert_allclose(engine.infer(good), small_answer(good), atol=1e-4)


def test_a_closed_engine_refuses_work_and_may_be_closed_again(
    package: ModelPackage, small: TorchSettings
) -> None:
    engine = open_torch_engine(package, small, "cpu")
    engine.close()
    engine.close()
    with pytest.raises(InferenceFailed, match="is closed"):
        engine.infer(reflectance(1))
    with pytest.raises(InferenceFailed, match="is closed"):
        list(engine.flush())


@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize("precision", ["fp16", "fp32"])
@pytest.mark.parametrize("counts", [[1], [4, 4, 4, 4], [4, 1, 3], [2, 4]])
def test_every_batch_comes_back_once_in_order_with_as_many_tiles(
    package: ModelPackage, small: TorchSettings, counts: list[int], precision: Any
) -> None:
    dtype = {"fp16": np.float16, "fp32": np.float32}[precision]
    batches = [reflectance(count, seed, dtype=dtype) for seed, count in enumerate(counts)]
    chosen = TorchSettings(batch=4, precision=precision, torchscript=small.torchscript)
    with open_torch_engine(package, chosen, "cuda") as engine:
        assert (engine.info.name, engine.info.batch) == ("torch-cuda", 4)
        assert (engine.info.precision, engine.info.tile_dtype) == (precision, dtype)
        for _ in range(2):
            found = list(push_all(engine, batches))
            assert [len(answer) for answer in found] == counts
            for tiles, answer in zip(batches, found, strict=True):
                assert answer.dtype == np.float32
                tolerance = 2e-2 if precision == "fp16" else 1e-4
                np.testing.assert_allclose(answer, small_answer(tiles), atol=tolerance)


@pytest.mark.usefixtures("cuda")
def test_on_cuda_an_answer_comes_one_batch_late(
    package: ModelPackage, small: TorchSettings
) -> None:
    batches = [reflectance(4, seed, dtype=np.float16) for seed in range(3)]
    with open_torch_engine(package, small, "cuda") as engine:
        assert engine.push(batches[0]) is None
        for before, tiles in pairwise(batches):
            answer = engine.push(tiles)
            assert answer is not None
            np.testing.assert_allclose(answer, small_answer(before), atol=2e-2)
        with pytest.raises(InferenceFailed, match=r"still has batches in flight.*Flush"):
            engine.infer(batches[0])
        assert len(list(engine.flush())) == 1
        assert list(engine.flush()) == []
        assert engine.infer(batches[2]).shape == (4, SIDE, SIDE, 2)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32), counts=st.lists(st.integers(1, 3), min_size=1, max_size=9))
def test_a_device_that_keeps_only_the_order_asked_for_mixes_no_batches_up(
    seed: int, counts: list[int]
) -> None:
    form = torch_lanes.BatchForm(batch=3, tile_size=2, bands=4, classes=4, dtype=torch.float32)
    lanes = torch_lanes.lanes_on(UnorderedDevice(seed), nn.Identity(), form, 2)
    info = replace(_INFO, batch=3, tile_size=2)
    batches = [reflectance(count, place, side=2) for place, count in enumerate(counts)]
    with TorchEngine(info, lanes) as engine:
        for tiles, answer in zip(batches, push_all(engine, batches), strict=True):
            np.testing.assert_array_equal(answer, tiles)


_INFO = torch_engine.EngineInfo(
    name="torch-cuda",
    tag="torch",
    device="a device without order",
    precision="fp32",
    batch=4,
    tile_size=SIDE,
    stride=50,
    bands=BANDS,
    classes=("clear", "thick cloud", "thin cloud", "cloud shadow"),
    input=None,
    output=None,
    model_id="small",
)


@pytest.mark.usefixtures("cuda")
def test_answers_belong_to_the_caller(package: ModelPackage, small: TorchSettings) -> None:
    batches = [reflectance(2, seed, dtype=np.float16) for seed in range(4)]
    with open_torch_engine(package, small, "cuda") as engine:
        found = list(push_all(engine, batches))
        list(push_all(engine, batches[::-1]))
    for tiles, answer in zip(batches, found, strict=True):
        np.testing.assert_allclose(answer, small_answer(tiles), atol=2e-2)


@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize(
    ("batch", "room", "expected"), [(8, 8, 8), (8, 3, 2), (6, 2, 1), (5, 1, 1)]
)
def test_too_little_device_memory_halves_the_batch(
    package: ModelPackage,
    published: Path,
    monkeypatch: pytest.MonkeyPatch,
    batch: int,
    room: int,
    expected: int,
) -> None:
    monkeypatch.setattr(torch_engine, "CudaDevice", lambda: UnorderedDevice(room=room))
    chosen = TorchSettings(batch=batch, torchscript=published)
    with open_torch_engine(package, chosen, "cuda") as engine:
        assert engine.info.batch == expected
        tiles = reflectance(expected, dtype=np.float16)
        np.testing.assert_allclose(engine.infer(tiles), small_answer(tiles), atol=2e-2)


@pytest.mark.usefixtures("cuda")
def test_memory_that_holds_no_tile_leaves_the_engine_unavailable(
    package: ModelPackage, small: TorchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_engine, "CudaDevice", lambda: UnorderedDevice(room=0))
    with pytest.raises(EngineUnavailable, match="too little memory for one tile of 64 x 64"):
        open_torch_engine(package, small, "cuda")


def test_memory_that_ran_out_is_seen_under_the_capture_s_own_error() -> None:
    later = RuntimeError("operation failed due to a previous error during capture")
    later.__context__ = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    assert torch_lanes.is_out_of_memory(later)
    assert torch_lanes.is_out_of_memory(RuntimeError("CUDA error: out of memory"))
    assert not torch_lanes.is_out_of_memory(RuntimeError("no kernel image is available"))


@pytest.mark.usefixtures("cuda")
def test_a_device_that_does_not_start_leaves_the_engine_unavailable(
    package: ModelPackage, small: TorchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("CUDA error: no kernel image is available\nCompile with DSA")

    monkeypatch.setattr(UnorderedDevice, "record", refuse)
    with pytest.raises(EngineUnavailable, match="no kernel image is available") as refused:
        open_torch_engine(package, small, "cuda")
    assert refused.value.fields == {"fault": "RuntimeError"}
    assert "\n" not in str(refused.value)


@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize("place", ["copy", "run", "mark"])
def test_a_fault_closes_the_engine_and_names_device_cause_and_cure(
    package: ModelPackage, small: TorchSettings, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access\nCompile with DSA")

    engine = open_torch_engine(package, small, "cuda")
    tiles = reflectance(4, dtype=np.float16)
    assert engine.push(tiles) is None
    monkeypatch.setattr(UnorderedQueue, place, fail)
    with pytest.raises(InferenceFailed) as failed:
        engine.push(tiles)
    assert failed.value.subject == "a device without order"
    assert failed.value.cause == (
        "failed during inference: RuntimeError CUDA error: an illegal memory access"
    )
    assert failed.value.cure
    assert failed.value.fields == {"fault": "RuntimeError"}
    for again in (lambda: engine.push(tiles), lambda: list(engine.flush())):
        with pytest.raises(InferenceFailed, match="closed itself because"):
            again()
    engine.close()


@pytest.mark.usefixtures("cuda")
def test_a_device_that_never_answers_is_given_up(
    package: ModelPackage, small: TorchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_lanes, "_ANSWER_SECONDS", 0.0)
    monkeypatch.setattr(UnorderedDevice, "step", lambda _: None)
    engine = open_torch_engine(package, small, "cuda")
    with pytest.raises(InferenceFailed, match="no answer within"):
        engine.infer(reflectance(1, dtype=np.float16))
    engine.close()


@pytest.mark.usefixtures("cuda")
def test_an_interrupted_call_closes_the_engine_so_that_no_answer_is_misplaced(
    package: ModelPackage, small: TorchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    engine = open_torch_engine(package, small, "cuda")
    engine.push(reflectance(1, dtype=np.float16))
    monkeypatch.setattr(UnorderedQueue, "run", interrupt)
    with pytest.raises(KeyboardInterrupt):
        engine.push(reflectance(1, dtype=np.float16))
    with pytest.raises(InferenceFailed, match="was interrupted"):
        list(engine.flush())


@pytest.mark.usefixtures("cuda")
def test_an_answer_beyond_fp16_is_a_failure(package: ModelPackage, small: TorchSettings) -> None:
    tiles = reflectance(4, dtype=np.float16)
    tiles[2, 5, 5] = np.inf
    engine = open_torch_engine(package, small, "cuda")
    with pytest.raises(InferenceFailed, match="fp16 holds NaN or infinity"):
        engine.infer(tiles)
    with pytest.raises(InferenceFailed, match="closed itself"):
        engine.push(tiles)


@pytest.mark.parametrize(
    ("tile_size", "overlap"), [(100, 14), (64, 64), (64, 80), (0, 0), (64, -1)]
)
def test_tiles_that_the_encoder_cannot_halve_are_refused(
    package: ModelPackage, tile_size: int, overlap: int
) -> None:
    chosen = TorchSettings(tile_size=tile_size, overlap=overlap)
    with pytest.raises(EngineUnavailable, match=r"Correct torch\.tile_size") as refused:
        open_torch_engine(package, chosen, "cpu")
    assert refused.value.fields["found"] == f"tile_size {tile_size}, overlap {overlap}"


def test_the_reference_baseline_has_tiles_of_2048_every_1920(
    package: ModelPackage, published: Path
) -> None:
    baseline = TorchSettings(torchscript=published, tile_size=2048, overlap=128)
    with open_torch_engine(package, baseline, "cpu") as engine:
        assert (engine.info.tile_size, engine.info.stride) == (2048, 1920)


class _Mask:
    def __init__(self) -> None:
        self._rows: list[NDArray[np.uint8]] = []

    def write(self, rows: FinishedRows) -> None:
        self._rows.append(rows.mask.copy())

    @property
    def whole(self) -> NDArray[np.uint8]:
        return np.concatenate(self._rows)


@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_tiles_of_the_baseline_give_the_mask_of_the_whole_frame(
    package: ModelPackage, published: Path, device: Any
) -> None:
    """Away from the edges of tiles, at which the whole frame has neighbours."""
    size, overlap, side = 256, 32, 700
    chosen = TorchSettings(
        threads=1,
        batch=2,
        precision="fp32",
        torchscript=published,
        tile_size=size,
        overlap=overlap,
    )
    numbers = np.random.default_rng(4).integers(1001, 12_000, (4, side, side), np.uint16)
    mask = _Mask()
    with open_torch_engine(package, chosen, device) as engine:
        summary = process_scene(ArrayScene(numbers), engine, PipelineSettings(device="cpu"), [mask])
    assert summary.tiles == 9
    frame = ((numbers.astype(np.float64) - 1000) / 10_000).astype(np.float32)
    logits = small_answer(np.ascontiguousarray(frame.transpose(1, 2, 0)[None]))[0]
    margin = logits[..., 1] - logits[..., 0]
    starts = np.array([0, size - overlap, side - size])
    edges = np.array([*starts, *(starts + size), side])
    inside = np.abs(np.arange(side)[:, None] - edges + 0.5).min(axis=1) > RADIUS
    sure = inside[:, None] & inside & (np.abs(margin) > 1e-4)
    assert sure.mean() > 0.8
    assert 0.1 < (margin > 0).mean() < 0.9
    np.testing.assert_array_equal(mask.whole[sure], (margin > 0)[sure])


@pytest.fixture(scope="module")
def on_the_cpu() -> tuple[GoldenReport, NDArray[np.float32]]:
    """What the shipped network says of the golden tiles in FP32, and how it is judged."""
    package, answers = load_package(), list[NDArray[np.float32]]()
    with (
        open_torch_engine(package, TorchSettings(), "cpu") as engine,
        pytest.MonkeyPatch.context() as patched,
    ):
        push = engine.push

        def noted(tiles: NDArray[Any]) -> Any:
            answer = push(tiles)
            assert answer is not None
            answers.append(answer)
            return answer

        patched.setattr(engine, "push", noted)
        return check_golden_tiles(engine, package), np.concatenate(answers)


def test_the_cpu_passes_the_golden_tiles(
    on_the_cpu: tuple[GoldenReport, NDArray[np.float32]],
) -> None:
    report, _ = on_the_cpu
    assert report.passed, report.as_text()
    assert report.mean_deviation < 0.5  # rounding of the released answers to INT8 steps
    assert report.agreement == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device answers")
@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_a_real_cuda_device_passes_the_golden_tiles(precision: Any) -> None:
    package = load_package()
    with open_torch_engine(package, TorchSettings(batch=4, precision=precision), "cuda") as engine:
        report = check_golden_tiles(engine, package)
        assert report.passed, report.as_text()
        batches = [
            reflectance(count, seed, package.tile_size, engine.info.tile_dtype)
            for seed, count in enumerate((4, 2, 4, 1, 3))
        ]
        found = list(push_all(engine, batches))
    with open_torch_engine(package, TorchSettings(), "cpu") as reference:
        for tiles, answer in zip(batches, found, strict=True):
            for tile, logits in zip(tiles.astype(np.float32), answer, strict=True):
                tolerance = 0.2 if precision == "fp16" else 1e-3
                np.testing.assert_allclose(
                    logits, reference.infer(tile[None])[0], rtol=0, atol=tolerance
                )


def test_fp32_agrees_with_the_int8_answers_on_the_golden_tiles(
    on_the_cpu: tuple[GoldenReport, NDArray[np.float32]],
) -> None:
    """99.4 % of the pixels that INT8 decides by its margin; 99.0 % of all (measured)."""
    _, logits = on_the_cpu
    golden = load_package().golden_tiles()
    lead = np.abs(np.diff(golden.logits.astype(np.int16), axis=-1))[..., 0]
    same = logits.argmax(axis=-1) == golden.logits.argmax(axis=-1)
    assert same[lead >= golden.margin].mean() > 0.99
    assert same.mean() > 0.985


def test_the_engine_is_an_engine(package: ModelPackage, small: TorchSettings) -> None:
    engine: Engine = open_torch_engine(package, small, "cpu")
    assert isinstance(engine, TorchEngine)
    engine.close()
