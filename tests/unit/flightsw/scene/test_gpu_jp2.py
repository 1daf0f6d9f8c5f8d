"""JPEG 2000 on the GPU against the CPU; nvImageCodec's part is taken by its twin."""

from __future__ import annotations

import importlib
import importlib.util
import inspect as signatures
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from flightsw.errors import CorruptImage, SceneError
from flightsw.host.cuda import cuda_answers
from flightsw.scene import open_scene
from flightsw.scene.codestream import inspect
from flightsw.scene.gpu_jp2 import GpuBands, GpuCodec, GpuError, _mapped, choose_decoder
from flightsw.scene.jp2 import Area, Jp2Band
from flightsw.scene.scene import SceneMetadata
from flightsw.scene.strips import StripScene
from tests.unit.flightsw.scene.nvimgcodec_twin import Faults, twin_library
from tests.unit.flightsw.scene.safe_writer import (
    ALL_AT,
    SafeProduct,
    as_measured,
    band_file,
    band_pixels,
    write_jp2,
)
from tests.unit.flightsw.scene.test_strips import together

_NAME = "nvidia.nvimgcodec"


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Faults:
    """A machine with a CUDA device and nvImageCodec, as far as the scene room can see."""
    folder = tmp_path / "device"
    folder.mkdir()
    faults = Faults(folder)
    monkeypatch.setattr("flightsw.scene.gpu_jp2.cuda_answers", lambda: True)
    monkeypatch.setitem(sys.modules, _NAME, twin_library(faults))
    return faults


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three strips, sizes that are a multiple of nothing."""
    written = SafeProduct(height=2311, width=157, tile=(192, 96))
    return written.write(tmp_path_factory.mktemp("tall"))


def real_bands(shared_data: Path) -> tuple[Jp2Band, ...]:
    """The four 60 m bands of a real product: 5/3, tiles of 192 x 192."""
    folder = shared_data / "safe"
    paths = [next(folder.rglob(f"R60m/*_{band}_60m.jp2")) for band in ("B02", "B03", "B04", "B8A")]
    return tuple(
        Jp2Band(path, inspect(path), slice(index, index + 1), 1) for index, path in enumerate(paths)
    )


def real_scene(bands: tuple[Jp2Band, ...], parts: tuple[Any, ...]) -> StripScene:
    """The top of the bands, two strips of it: a whole decode takes seconds."""
    names = tuple(band.path.name for band in bands)
    metadata = SceneMetadata("real", "", "", "", names, dict.fromkeys(names, 0), 1e4, 384, 1830, 60)
    return StripScene(metadata, parts, rows=192, columns=960)


def test_gpu_and_cpu_give_identical_samples_of_real_bands(shared_data: Path, gpu: Faults) -> None:
    bands = real_bands(shared_data)
    chosen = choose_decoder(bands, "auto", checked=True)
    assert isinstance(chosen.parts[0], GpuBands)
    by_gpu = together(real_scene(bands, chosen.parts))
    np.testing.assert_array_equal(by_gpu, together(real_scene(bands, bands)))


def test_every_strip_is_one_call_for_its_four_bands(product: Path, gpu: Faults) -> None:
    scene = open_scene(product)
    np.testing.assert_array_equal(together(scene), together(open_scene(product, decoder="cpu")))
    assert scene.metadata.remarks == ()
    compared, *strips = gpu.batches
    assert compared == [(1152, 0, 1344, 96)] * 4  # the tile in the middle
    tops = [(0, 960), (960, 1920), (1920, 2311)]
    assert sorted(strips) == [[(top, 0, bottom, 157)] * 4 for top, bottom in tops]


def test_without_a_cuda_device_the_cpu_decodes_and_nothing_is_said(
    product: Path, gpu: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flightsw.scene.gpu_jp2.cuda_answers", lambda: False)
    assert open_scene(product).metadata.remarks == ()
    with pytest.raises(SceneError, match=r"cannot be used because no CUDA device answers\. Set"):
        open_scene(product, decoder="gpu")
    assert not gpu.batches


def test_without_the_library_the_cpu_decodes_and_the_remarks_say_why(
    product: Path, gpu: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, _NAME, None)
    (remark,) = open_scene(product).metadata.remarks
    assert "decoded on the CPU because nvImageCodec cannot be loaded" in remark
    with pytest.raises(SceneError, match="cannot be loaded"):
        open_scene(product, decoder="gpu")


def test_cpu_asked_for_leaves_the_gpu_alone(product: Path, gpu: Faults) -> None:
    scene = open_scene(product, decoder="cpu")
    together(scene)
    assert scene.metadata.remarks == ()
    assert not gpu.batches


@pytest.mark.parametrize("decoder", ["auto", "gpu"])
def test_other_samples_in_the_compared_tile_leave_the_scene_to_the_cpu(
    product: Path, gpu: Faults, decoder: Any
) -> None:
    gpu.spoils = True
    scene = open_scene(product, decoder=decoder)
    assert "different samples at row 1152, column 0" in scene.metadata.remarks[0]
    np.testing.assert_array_equal(together(scene), together(open_scene(product, decoder="cpu")))
    assert len(gpu.batches) == 1


def test_reduced_resolutions_are_the_cpus(product: Path, gpu: Faults) -> None:
    scene = open_scene(product, ground_sample_distance=20)
    assert any("cannot decode reduced resolutions" in one for one in scene.metadata.remarks)
    assert not gpu.batches


def test_bands_of_several_distances_are_the_cpus(tmp_path: Path, gpu: Faults) -> None:
    product = SafeProduct(ALL_AT, level="L1C").write(tmp_path, pixels=as_measured)
    scene = open_scene(product, ("B02", "B11"))
    assert any("measured at different distances" in one for one in scene.metadata.remarks)
    assert not gpu.batches


def test_the_9_7_wavelet_is_the_cpus(shared_data: Path, gpu: Faults) -> None:
    (path,) = (shared_data / "jp2").glob("ref_*_sub.jp2")
    band = Jp2Band(path, inspect(path), slice(0, 1), 1)
    chosen = choose_decoder((band,), "gpu", checked=True)
    assert chosen.parts == (band,)
    assert "9/7 wavelet" in chosen.remarks[0]


def test_files_without_checksums_are_decoded_on_the_gpu_only_when_asked(
    tmp_path: Path, gpu: Faults
) -> None:
    root = SafeProduct(checksum=None).write(tmp_path)
    assert any("no checksum" in one for one in open_scene(root).metadata.remarks)
    assert not gpu.batches
    together(open_scene(root, decoder="gpu"))
    assert len(gpu.batches) == 2


@pytest.mark.parametrize("fault", ["image", "error", "memory"])
def test_a_gpu_that_fails_hands_over_to_the_cpu_and_says_so_once(
    product: Path, gpu: Faults, fault: str
) -> None:
    scene = open_scene(product)
    if fault == "image":
        gpu.fails_from_row = 960
    else:
        gpu.error = RuntimeError("CUDA error") if fault == "error" else MemoryError()
    with capture_logs() as logs:
        found = together(scene)
    np.testing.assert_array_equal(found, together(open_scene(product, decoder="cpu")))
    assert [entry["event"] for entry in logs] == ["JPEG 2000 is decoded on the CPU from here"]


def test_images_of_another_form_are_not_taken(product: Path, gpu: Faults) -> None:
    path = band_file(product, "B02")
    codec = GpuCodec(sys.modules[_NAME], [Jp2Band(path, inspect(path), slice(0, 1), 1)])
    codec._parameters.allow_any_depth = False
    with pytest.raises(GpuError, match=r"gives uint8 \(9, 5, 1\), not uint16"):
        codec.decode(Area(1, 2, 10, 7))


def test_a_damaged_file_gives_the_cpus_error(tmp_path: Path, gpu: Faults) -> None:
    root = SafeProduct(checksum=None, height=320, width=320).write(tmp_path)
    damaged = band_file(root, "B04")
    content = bytearray(damaged.read_bytes())
    packets = content.rindex(b"\xff\x93") + 2  # the packets of the last tile
    content[packets : packets + 40] = b"\xff" * 40
    damaged.write_bytes(content)
    records = []
    for decoder in ("gpu", "cpu"):
        scene = open_scene(root, decoder=decoder)
        gpu.fails_from_row = 0
        with pytest.raises(CorruptImage) as caught:
            together(scene)
        records.append(caught.value.as_record())
    assert records[0] == records[1]


def test_a_file_damaged_in_the_compared_tile_opens_and_fails_when_read(
    tmp_path: Path, gpu: Faults
) -> None:
    root = SafeProduct(checksum=None, height=64, width=64, tile=None).write(tmp_path)
    damaged = band_file(root, "B02")
    content = bytearray(damaged.read_bytes())
    packets = content.rindex(b"\xff\x93") + 2
    content[packets : packets + 40] = b"\xff" * 40
    damaged.write_bytes(content)
    scene = open_scene(root, decoder="gpu")
    assert any(damaged.name in remark for remark in scene.metadata.remarks)
    with pytest.raises(CorruptImage):
        together(scene)


def test_a_hanging_gpu_is_left_to_its_strip(
    product: Path, gpu: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread has the turn and keeps it."""
    monkeypatch.setattr("flightsw.scene.gpu_jp2._TURN_SECONDS", 0.01)
    scene = open_scene(product)
    assert isinstance(scene, StripScene)
    (part,) = scene.parts
    assert isinstance(part, GpuBands)
    with part._turn, capture_logs() as logs:
        found = together(scene, workers=1)
    np.testing.assert_array_equal(found, together(open_scene(product, decoder="cpu")))
    assert [entry["cause"] for entry in logs] == ["another strip has not been finished"]


@pytest.mark.parametrize("suffix", [".jp2", ".j2k"])
def test_the_codestream_is_taken_out_of_its_boxes(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"band{suffix}"
    write_jp2(path, band_pixels("B02", 128, 96))
    band = Jp2Band(path, inspect(path), slice(0, 1), 1)
    taken = bytes(_mapped(band))
    assert (taken[:4], taken[-2:]) == (b"\xff\x4f\xff\x51", b"\xff\xd9")
    assert path.read_bytes().endswith(taken)
    assert (len(taken) == path.stat().st_size) == (suffix == ".j2k")


def test_an_area_is_cut_out_of_the_band_at_any_step(product: Path) -> None:
    path = band_file(product, "B03")
    for step in (1, 2, 4):
        band = Jp2Band(path, inspect(path), slice(0, 1), step)
        whole = np.empty((1, -(-2311 // step), -(-157 // step)), np.uint16)
        band.read(0, 0, [whole])
        part = np.empty((30, 17), np.uint16)
        band.read_area(7, 11, [part[:11], part[11:]])
        np.testing.assert_array_equal(part, whole[0, 7:37, 11:28])


_INSTALLED = pytest.mark.skipif(
    importlib.util.find_spec("nvidia") is None or importlib.util.find_spec(_NAME) is None,
    reason="nvImageCodec is not installed",
)


@_INSTALLED
@pytest.mark.parametrize(
    "name",
    [
        "Backend",
        "Region",
        "DecodeParams",
        "CodeStream",
        "CodeStream.get_sub_code_stream",
        "Decoder",
        "Decoder.decode",
    ],
)
def test_the_twin_has_the_librarys_arguments(tmp_path: Path, name: str) -> None:
    twin: Any = twin_library(Faults(tmp_path))
    real: Any = importlib.import_module(_NAME)
    for attribute in name.split("."):
        twin, real = getattr(twin, attribute), getattr(real, attribute)
    if isinstance(twin, type):
        twin, real = twin.__init__, real.__init__  # type: ignore[misc]
    ours = [one for one in signatures.signature(twin).parameters if one != "self"]
    overloads = re.findall(r"^(?:\d+\. )?\w+\(self: [\w.]+(.*)\) -> ", real.__doc__, re.MULTILINE)
    theirs = [re.findall(r", (\w+): ", overload) for overload in overloads]
    assert any(ours == one[: len(ours)] for one in theirs), theirs


@_INSTALLED
def test_the_library_understands_the_codestreams_of_a_real_product(shared_data: Path) -> None:
    for band in real_bands(shared_data):
        stream = importlib.import_module(_NAME).CodeStream(_mapped(band))
        assert (stream.height, stream.width, stream.tile_height) == (1830, 1830, 192)
        assert (stream.dtype, stream.precision, stream.num_channels) == (np.uint16, 15, 1)


@_INSTALLED
@pytest.mark.skipif(not cuda_answers(), reason="no CUDA device answers")
def test_the_library_itself_gives_identical_samples(shared_data: Path) -> None:
    bands = real_bands(shared_data)
    parts = choose_decoder(bands, "gpu", checked=True).parts
    assert isinstance(parts[0], GpuBands)
    with capture_logs() as logs:
        by_gpu = together(real_scene(bands, parts))
    assert not logs
    np.testing.assert_array_equal(by_gpu, together(real_scene(bands, bands)))


@_INSTALLED
@pytest.mark.skipif(cuda_answers(), reason="a CUDA device is present")
def test_the_library_without_a_device_is_refused_with_its_reason(shared_data: Path) -> None:
    with pytest.raises(GpuError, match="nvImageCodec cannot be used"):
        GpuCodec(importlib.import_module(_NAME), real_bands(shared_data))
