from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.model.packaging import checksum_lines
from flightsw.errors import PackageInvalid, PackageTampered
from flightsw.model.package import load_package

FILES = (
    "NOTICE",
    "compiled_model/manifest.json",
    "compiled_model/model.json",
    "compiled_model/quantized_model.onnx",
    "compiled_model_batch4/manifest.json",
    "compiled_model_batch4/model.json",
    "golden.npz",
    "package.json",
)


def edit(folder: Path, file: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a JSON file and release the package again, so that only its meaning is wrong."""
    content = json.loads((folder / file).read_text())
    change(content)
    (folder / file).write_text(json.dumps(content))
    release(folder)


def release(folder: Path) -> None:
    (folder / "SHA256SUMS").write_text(checksum_lines(folder))


def test_a_released_package_loads_and_says_what_it_is(released: Path) -> None:
    package = load_package(released)
    assert (package.name, package.version) == ("tiny", "1.0")
    assert package.model_id.startswith("tiny-1.0+")
    assert package.bands == ("B02", "B03", "B04", "B08")
    assert package.classes == ("clear", "contaminated")
    assert (package.tile_size, package.stride) == (32, 30)
    assert package.input.as_pair() == (0.004, -128)
    assert package.compiled_model("spatial") == released / "compiled_model"
    assert package.compiled_model("batch") == released / "compiled_model_batch4"


def test_the_package_holds_exactly_the_promised_files(released: Path) -> None:
    found = {
        path.relative_to(released).as_posix() for path in released.rglob("*") if path.is_file()
    }
    assert found == {*FILES, "SHA256SUMS"}


def test_sha256sum_accepts_the_checksums(released: Path) -> None:
    subprocess.run(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=released, check=True)


def test_the_model_id_changes_with_any_content(package_folder: Path) -> None:
    before = load_package(package_folder).model_id
    (package_folder / "NOTICE").write_text("other words\n")
    release(package_folder)
    assert load_package(package_folder).model_id != before


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_byte_in_any_file_is_tampering(package_folder: Path, name: str) -> None:
    path = package_folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(PackageTampered, match=name):
        load_package(package_folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(package_folder: Path, name: str) -> None:
    (package_folder / name).unlink()
    with pytest.raises(PackageInvalid, match=name):
        load_package(package_folder)


def test_a_file_that_was_not_released_is_tampering(package_folder: Path) -> None:
    (package_folder / "compiled_model" / "extra.so").write_bytes(b"code")
    with pytest.raises(PackageTampered, match=r"extra\.so"):
        load_package(package_folder)


def test_a_missing_checksum_list_is_named(package_folder: Path) -> None:
    (package_folder / "SHA256SUMS").unlink()
    with pytest.raises(PackageInvalid, match="SHA256SUMS"):
        load_package(package_folder)


@pytest.mark.parametrize("line", ["no checksum", "0" * 64 + "  /etc/passwd", "0" * 64 + "  ../up"])
def test_a_checksum_line_that_leads_elsewhere_is_refused(package_folder: Path, line: str) -> None:
    with (package_folder / "SHA256SUMS").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(PackageInvalid) as caught:
        load_package(package_folder)
    assert caught.value.fields["found"] == line


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("bands", ["B02", "B02", "B03", "B04"]),
        ("bands", ["B02", "B03", "B04", "NIR"]),
        ("bands", []),
        ("levels", ["L3"]),
        ("classes", ["contaminated", "clear"]),
        ("classes", ["clear"]),
        ("tile_size", 33),
        ("tile_size", "32"),
        ("stride", 0),
        ("stride", 33),
        ("ground_sample_distances", []),
        ("quantification", 0.0),
        ("input.scale", 0.0),
        ("input.scale", -0.004),
        ("output.zero_point", 128),
    ],
)
def test_an_implausible_description_is_refused_by_key(
    package_folder: Path, key: str, value: object
) -> None:
    def change(content: dict[str, Any]) -> None:
        *parents, last = key.split(".")
        for parent in parents:
            content = content[parent]
        content[last] = value

    edit(package_folder, "package.json", change)
    with pytest.raises(PackageInvalid) as caught:
        load_package(package_folder)
    assert caught.value.fields["key"] == key
    assert caught.value.fields.keys() >= {"expected", "found"}


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("stride"),
        lambda content: content.update(unknown=1),
    ],
)
def test_absent_and_unknown_keys_are_refused(
    package_folder: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    edit(package_folder, "package.json", change)
    with pytest.raises(PackageInvalid, match=r"package\.json"):
        load_package(package_folder)


@pytest.mark.parametrize("folder", ["compiled_model", "compiled_model_batch4"])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("input_shapes", [[1, 64, 64, 4]]),
        ("input_shapes", [[2, 32, 32, 4]]),
        ("input_shapes", [[1, 32, 32, 3]]),
        ("input_shapes", [[1, 32, 32, 64]]),
        ("output_shapes", [[1, 32, 32, 65]]),
        ("n_padded_ch_inputs", [[0, 0, 0, 0, 0, 0, 0, 1]]),
        ("n_padded_ch_outputs", [[0, 0, 0, 0, 0, 0, 0, 61]]),
        ("quantize_params", [[0.005, -128]]),
        ("quantize_params", [[0.004, 0]]),
        ("dequantize_params", [[0.5, 0]]),
        ("dequantize_params", [[0.0, 0]]),
        ("input_dtypes", ["uint8"]),
        ("input_tensor_layout", "NCHW"),
        ("quantized_model_file", "../../elsewhere.onnx"),
    ],
)
def test_a_manifest_that_contradicts_the_package_is_refused(
    package_folder: Path, folder: str, key: str, value: object
) -> None:
    edit(package_folder, f"{folder}/manifest.json", lambda content: content.update({key: value}))
    with pytest.raises(PackageInvalid, match="manifest") as caught:
        load_package(package_folder)
    assert caught.value.fields.keys() >= {"key", "expected", "found"}


@pytest.mark.parametrize(
    "change",
    [
        lambda golden: golden.pop("names"),
        lambda golden: golden.update(tiles=golden["tiles"][:, :16]),
        lambda golden: golden.update(logits=golden["logits"].astype(np.int16)),
        lambda golden: golden.update(logits=golden["logits"][..., :1]),
    ],
)
def test_golden_tiles_of_another_shape_are_refused(
    package_folder: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    path = package_folder / "golden.npz"
    with np.load(path) as arrays:
        golden = dict(arrays)
    change(golden)
    np.savez(path, **golden)
    release(package_folder)
    with pytest.raises(PackageInvalid, match=r"golden\.npz"):
        load_package(package_folder).golden_tiles()


def test_the_shipped_package_is_intact_and_its_golden_tiles_hold_both_classes() -> None:
    package = load_package()
    golden = package.golden_tiles()
    contaminated = golden.logits[..., 1] > golden.logits[..., 0]
    assert package.tile_size == 224
    assert len(golden.tiles) >= 8
    assert 0.2 < contaminated.mean() < 0.8
    shares = dict(zip(golden.names, contaminated.mean(axis=(1, 2)), strict=True))
    assert shares["farmland"] < 0.1
    assert shares["open water"] < 0.1
    assert shares["overcast"] > 0.9
