from __future__ import annotations

import ast
import inspect
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from structlog.testing import capture_logs
from torch import Tensor, nn

import flightsw.engines
from deploy.model.export import keep_weights
from flightsw.config import TensorRtSettings
from flightsw.engines.engine import Engine, Logits
from flightsw.engines.tensorrt import engine as tensorrt_engine
from flightsw.engines.tensorrt.engine import Target, open_tensorrt_engine
from flightsw.engines.torch.devices import HostDevice
from flightsw.engines.torch.lanes import lanes_on
from flightsw.errors import EngineUnavailable, InferenceFailed
from flightsw.model.description import Quantisation
from flightsw.model.dtacsnet import DtacsNet
from flightsw.model.network import open_network
from flightsw.model.package import ModelPackage
from tests.unit.flightsw.engines.tensorrt.tensorrt_on_cpu import MAGIC, Behaviour, tensorrt_on_cpu

SIZE = 32
STUBS = Path(__file__).parents[5] / "tests" / "stubs" / "tensorrt" / "__init__.pyi"
CPU = Target("Orin", "8.7", "cpu", lambda network, form: lanes_on(HostDevice(1), network, form))


class TinyNetwork(nn.Module):
    """Two classes from four bands, with neighbours, so that order of any axis matters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 2, 3, padding=1)
        with torch.no_grad():
            generator = torch.Generator().manual_seed(1)
            self.conv.weight.copy_(torch.randn(self.conv.weight.shape, generator=generator))

    def forward(self, tiles: Tensor) -> Tensor:
        answer: Tensor = self.conv(tiles)
        return answer


@pytest.fixture
def package(tmp_path: Path) -> ModelPackage:
    return ModelPackage(
        folder=tmp_path / "package",
        name="tiny",
        version="1.0",
        model_id="tiny-1.0+12345678",
        bands=("B08", "B04", "B03", "B02"),
        levels=("L1C",),
        classes=("clear", "contaminated"),
        tile_size=SIZE,
        stride=SIZE - 4,
        ground_sample_distances=(10,),
        quantification=10_000.0,
        input=Quantisation(1.0, 0),
        output=Quantisation(1.0, 0),
        licence="none",
        training_data=(),
        teacher=None,
        measured={},
    )


@pytest.fixture
def settings(tmp_path: Path) -> TensorRtSettings:
    return TensorRtSettings(batch=4, cache=tmp_path / "cache", workspace_mb=64)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> TinyNetwork:
    network = TinyNetwork().eval()
    monkeypatch.setattr(tensorrt_engine, "open_network", lambda package: network)
    return network


def forget_library() -> None:
    sys.modules.pop("flightsw.engines.tensorrt.library", None)
    vars(flightsw.engines.tensorrt).pop("library", None)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[Behaviour]:
    behaviour = Behaviour()
    forget_library()
    monkeypatch.setitem(sys.modules, "tensorrt", tensorrt_on_cpu(behaviour))
    yield behaviour
    forget_library()


def random_tiles(count: int, seed: int = 0) -> NDArray[np.float16]:
    tiles = np.random.default_rng(seed).random((count, SIZE, SIZE, 4), np.float32)
    return tiles.astype(np.float16)


def answer_of(network: nn.Module, tiles: NDArray[np.float16]) -> NDArray[np.float32]:
    with torch.no_grad():
        logits: Tensor = network(torch.from_numpy(tiles.astype(np.float32)).permute(0, 3, 1, 2))
    return np.asarray(logits.permute(0, 2, 3, 1).numpy())


def assert_answers(network: nn.Module, tiles: NDArray[np.float16], answer: Logits) -> None:
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, answer_of(network, tiles), rtol=2e-3, atol=2e-3)


def push_all(engine: Engine, batches: Sequence[NDArray[np.float16]]) -> Iterator[Logits]:
    for tiles in batches:
        logits = engine.push(tiles)
        if logits is not None:
            yield logits
    yield from engine.flush()


def test_info_has_what_products_and_pipeline_need(
    library: Behaviour, network: nn.Module, package: ModelPackage, settings: TensorRtSettings
) -> None:
    with open_tensorrt_engine(package, settings, CPU) as engine:
        info = engine.info
    assert (info.name, info.tag, info.device) == ("tensorrt", "trt", "Orin")
    assert (info.precision, info.tile_dtype) == ("fp16", np.dtype(np.float16))
    assert (info.batch, info.tile_size, info.stride) == (4, SIZE, SIZE - 4)
    assert (info.bands, info.classes) == (package.bands, package.classes)
    assert (info.input, info.output, info.model_id) == (None, None, package.model_id)


@pytest.mark.parametrize("counts", [[1], [4, 4, 4, 4], [4, 1, 3], [2, 4]])
def test_every_batch_comes_back_once_in_order_with_as_many_tiles(
    library: Behaviour,
    network: nn.Module,
    package: ModelPackage,
    settings: TensorRtSettings,
    counts: list[int],
) -> None:
    batches = [random_tiles(count, seed) for seed, count in enumerate(counts)]
    with open_tensorrt_engine(package, settings, CPU) as engine:
        for _ in range(2):  # a second scene starts on used buffers
            answers = list(push_all(engine, batches))
            assert [len(answer) for answer in answers] == counts
            for tiles, answer in zip(batches, answers, strict=True):
                assert_answers(network, tiles, answer)


def test_two_batches_are_in_flight_and_infer_waits_for_its_own(
    library: Behaviour, network: nn.Module, package: ModelPackage, settings: TensorRtSettings
) -> None:
    first, second = random_tiles(4, 1), random_tiles(3, 2)
    with open_tensorrt_engine(package, settings, CPU) as engine:
        assert engine.push(first) is None
        due = engine.push(second)
        assert due is not None
        assert_answers(network, first, due)
        assert_answers(network, second, next(engine.flush()))
        assert_answers(network, first, engine.infer(first))


def test_the_published_network_answers_as_in_torch(
    library: Behaviour, package: ModelPackage, settings: TensorRtSettings
) -> None:
    torch.manual_seed(2)
    package.folder.mkdir()
    keep_weights(DtacsNet().state_dict(), package.folder / "network.npz")
    tiles = random_tiles(2)
    with open_tensorrt_engine(package, settings, CPU) as engine:
        assert_answers(open_network(package), tiles, engine.infer(tiles))


def test_the_engine_is_built_in_fp16_for_exactly_its_batch_and_workspace(
    library: Behaviour, network: nn.Module, package: ModelPackage, settings: TensorRtSettings
) -> None:
    open_tensorrt_engine(package, settings, CPU).close()
    assert library.builds == [(4, 4, SIZE, SIZE)]
    assert library.workspaces == [64 << 20]


def test_the_second_time_the_engine_comes_from_the_cache(
    library: Behaviour, network: nn.Module, package: ModelPackage, settings: TensorRtSettings
) -> None:
    open_tensorrt_engine(package, settings, CPU).close()
    with open_tensorrt_engine(package, settings, CPU) as engine:
        assert_answers(network, random_tiles(3), engine.infer(random_tiles(3)))
    assert (len(library.builds), library.loads) == (1, 2)


def test_another_network_is_never_answered_by_the_kept_engine(
    library: Behaviour, network: nn.Module, package: ModelPackage, settings: TensorRtSettings
) -> None:
    open_tensorrt_engine(package, settings, CPU).close()
    with torch.no_grad():
        network.conv.weight.mul_(-1)  # type: ignore[operator,union-attr]
    with open_tensorrt_engine(package, settings, CPU) as engine:
        assert_answers(network, random_tiles(3), engine.infer(random_tiles(3)))
    assert len(library.builds) == 2


def test_an_engine_of_another_gpu_is_not_taken(
    library: Behaviour, network: nn.Module, package: ModelPackage, settings: TensorRtSettings
) -> None:
    open_tensorrt_engine(package, settings, CPU).close()
    other = Target("H200", "9.0", "cpu", CPU.open_lanes)
    open_tensorrt_engine(package, settings, other).close()
    assert (len(library.builds), library.loads) == (2, 2)


def test_an_engine_of_another_library_version_is_never_loaded(
    library: Behaviour,
    network: nn.Module,
    package: ModelPackage,
    settings: TensorRtSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    open_tensorrt_engine(package, settings, CPU).close()
    forget_library()
    newer = Behaviour(version="10.16.1")
    monkeypatch.setitem(sys.modules, "tensorrt", tensorrt_on_cpu(newer))
    open_tensorrt_engine(package, settings, CPU).close()
    assert (len(newer.builds), newer.loads) == (1, 1)


@pytest.mark.parametrize("damage", ["truncated", "changed"])
def test_a_damaged_engine_is_rebuilt_and_replaced(
    library: Behaviour,
    network: nn.Module,
    package: ModelPackage,
    settings: TensorRtSettings,
    damage: str,
) -> None:
    assert settings.cache is not None
    open_tensorrt_engine(package, settings, CPU).close()
    (file,) = settings.cache.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] if damage == "truncated" else whole.replace(MAGIC, b"plot\n"))
    with open_tensorrt_engine(package, settings, CPU) as engine:
        assert_answers(network, random_tiles(2), engine.infer(random_tiles(2)))
    assert (len(library.builds), library.loads) == (2, 2)
    assert file.read_bytes() == whole


def test_a_kept_engine_that_the_library_refuses_is_rebuilt(
    library: Behaviour, network: nn.Module, package: ModelPackage, settings: TensorRtSettings
) -> None:
    open_tensorrt_engine(package, settings, CPU).close()
    library.device = "Orin with another driver"
    with open_tensorrt_engine(package, settings, CPU) as engine:
        assert_answers(network, random_tiles(2), engine.infer(random_tiles(2)))
    assert (len(library.builds), library.loads) == (2, 3)


def test_without_a_usable_cache_every_opening_builds_and_says_so(
    library: Behaviour, network: nn.Module, package: ModelPackage, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    settings = TensorRtSettings(batch=2, cache=tmp_path / "file")
    for _ in range(2):
        with capture_logs() as logged, open_tensorrt_engine(package, settings, CPU) as engine:
            assert_answers(network, random_tiles(2), engine.infer(random_tiles(2)))
        assert [one["event"] for one in logged].count("engine cache unusable") == 1
    assert len(library.builds) == 2


@pytest.mark.parametrize("limit", ["largest_build", "largest_run"])
def test_too_little_device_memory_halves_the_batch(
    library: Behaviour,
    network: nn.Module,
    package: ModelPackage,
    settings: TensorRtSettings,
    limit: str,
) -> None:
    setattr(library, limit, 1)
    with capture_logs() as logged, open_tensorrt_engine(package, settings, CPU) as engine:
        assert engine.info.batch == 1
        assert_answers(network, random_tiles(1), engine.infer(random_tiles(1)))
        with pytest.raises(InferenceFailed, match=r"1 to 1 float16"):
            engine.infer(random_tiles(2))
    assert [one["batch"] for one in logged if one["event"] == "batch halved"] == [4, 2]
    assert [shape[0] for shape in library.builds] == [4, 2, 1]


def test_too_little_memory_for_the_tiles_themselves_halves_the_batch_too(
    library: Behaviour, network: nn.Module, package: ModelPackage, settings: TensorRtSettings
) -> None:
    class SmallDevice(HostDevice):
        def host_buffer(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
            if shape[0] > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().host_buffer(shape, dtype)

    small = Target("Orin", "8.7", "cpu", lambda *lane: lanes_on(SmallDevice(1), *lane))
    with open_tensorrt_engine(package, settings, small) as engine:
        assert engine.info.batch == 2
        assert_answers(network, random_tiles(2), engine.infer(random_tiles(2)))


def test_no_memory_for_a_single_tile_is_reported_in_one_line_with_the_librarys_words(
    library: Behaviour, network: nn.Module, package: ModelPackage, settings: TensorRtSettings
) -> None:
    library.largest_build = 0
    with pytest.raises(EngineUnavailable, match=r"Requested amount of GPU memory") as refusal:
        open_tensorrt_engine(package, settings, CPU)
    assert "\n" not in str(refusal.value)


def test_a_library_that_does_not_start_is_reported_with_its_own_words(
    library: Behaviour, network: nn.Module, package: ModelPackage, settings: TensorRtSettings
) -> None:
    library.starts = False
    with pytest.raises(EngineUnavailable, match="CUDA initialization failure"):
        open_tensorrt_engine(package, settings, CPU)


def test_a_batch_that_the_library_does_not_start_closes_the_engine(
    library: Behaviour, network: nn.Module, package: ModelPackage, settings: TensorRtSettings
) -> None:
    with open_tensorrt_engine(package, settings, CPU) as engine:
        library.runs = False
        with pytest.raises(InferenceFailed, match="did not start the batch"):
            engine.push(random_tiles(1))
        library.runs = True
        with pytest.raises(InferenceFailed, match="closed itself"):
            engine.infer(random_tiles(1))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_answer_that_is_not_a_number_fails(
    library: Behaviour,
    network: nn.Module,
    package: ModelPackage,
    settings: TensorRtSettings,
    value: float,
) -> None:
    tiles = random_tiles(2)
    tiles[1, 5, 5, 0] = value
    with (
        open_tensorrt_engine(package, settings, CPU) as engine,
        pytest.raises(InferenceFailed, match="NaN or infinity"),
    ):
        engine.infer(tiles)


def test_an_absent_library_is_reported_in_one_line(
    package: ModelPackage, settings: TensorRtSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_library()
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(EngineUnavailable, match="TensorRT cannot be imported") as refusal:
        open_tensorrt_engine(package, settings, CPU)
    assert "\n" not in str(refusal.value)


def test_another_major_version_is_refused(
    package: ModelPackage, settings: TensorRtSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_library()
    monkeypatch.setitem(sys.modules, "tensorrt", tensorrt_on_cpu(Behaviour(version="11.4.0.106")))
    with pytest.raises(EngineUnavailable, match=r"this is TensorRT 11\.4.*Install TensorRT 10"):
        open_tensorrt_engine(package, settings, CPU)
    forget_library()


def test_an_absent_cuda_device_is_reported_in_one_line(
    library: Behaviour,
    package: ModelPackage,
    settings: TensorRtSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EngineUnavailable, match="no CUDA device answers") as refusal:
        open_tensorrt_engine(package, settings)
    assert "\n" not in str(refusal.value)


def test_a_package_without_a_floating_point_network_is_refused(
    library: Behaviour, package: ModelPackage, settings: TensorRtSettings
) -> None:
    with pytest.raises(EngineUnavailable, match="no floating-point network"):
        open_tensorrt_engine(package, settings, CPU)


def declared() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Every method in the stubs: class and definition."""
    for node in ast.parse(STUBS.read_text()).body:
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef) and inner.name != "__buffer__":
                    yield node.name, inner


def test_the_stand_in_takes_the_arguments_that_the_librarys_stubs_declare() -> None:
    stand_in = tensorrt_on_cpu(Behaviour())
    for kind, definition in declared():
        method = inspect.getattr_static(getattr(stand_in, kind), definition.name)
        if isinstance(method, property):
            assert any(ast.unparse(one) == "property" for one in definition.decorator_list)
            continue
        expected = [one.arg for one in definition.args.args]
        parameters = inspect.signature(method).parameters
        assert list(parameters) == expected, f"{kind}.{definition.name}"
        defaults = [ast.literal_eval(one) for one in definition.args.defaults]
        found = [one.default for one in parameters.values() if one.default is not one.empty]
        assert found == defaults, f"{kind}.{definition.name}"


def test_a_full_or_absent_temporary_folder_is_reported_in_one_line(
    library: Behaviour,
    network: nn.Module,
    package: ModelPackage,
    settings: TensorRtSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    with pytest.raises(EngineUnavailable, match="could not be written as ONNX"):
        open_tensorrt_engine(package, settings, CPU)


def documented_arguments(docstring: str, name: str) -> list[list[str]]:
    """Argument names of each overload, as pybind11 documents them."""
    overloads = re.findall(rf"\b{name}\((self: .*)\) -> ", docstring)
    return [re.findall(r"(?:^|, )(\w+): ", overload) for overload in overloads]


def test_the_installed_library_takes_the_arguments_that_the_stubs_declare() -> None:
    library = pytest.importorskip("tensorrt", exc_type=ImportError)
    for kind, definition in declared():
        member = inspect.getattr_static(getattr(library, kind), definition.name)
        if not isinstance(member, property):
            overloads = documented_arguments(member.__doc__, definition.name)
            expected = [one.arg for one in definition.args.args]
            # Of a parameter with a default, the engine may leave out the last.
            assert any(one[: len(expected)] == expected for one in overloads), (
                f"{kind} {definition.name}"
            )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device answers")
def test_the_installed_library_answers_as_torch_does(
    network: nn.Module, package: ModelPackage, settings: TensorRtSettings
) -> None:
    pytest.importorskip("tensorrt", exc_type=ImportError)
    batches = [random_tiles(count, seed) for seed, count in enumerate([4, 4, 2])]
    for _ in ("built", "from the cache"):
        with open_tensorrt_engine(package, settings) as engine:
            for tiles, answer in zip(batches, push_all(engine, batches), strict=True):
                np.testing.assert_allclose(answer, answer_of(network, tiles), atol=0.05)


def test_the_stand_in_offers_nothing_that_the_librarys_stubs_do_not_declare() -> None:
    stand_in = tensorrt_on_cpu(Behaviour())
    names = {
        node.name for node in ast.parse(STUBS.read_text()).body if isinstance(node, ast.ClassDef)
    }
    assert {name for name in vars(stand_in) if not name.startswith("_")} == names
    methods = {(kind, definition.name) for kind, definition in declared()}
    for kind in names - {"DataType", "IHostMemory"}:
        offered = vars(getattr(stand_in, kind)).items()
        public = {(kind, name) for name, value in offered if callable(value) and name[0] != "_"}
        assert public - {("ILogger", "Severity")} <= methods
