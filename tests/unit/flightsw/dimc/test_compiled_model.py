from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flightsw.dimc.compiled_model import read_compiled_model
from flightsw.errors import PackageInvalid
from tests.unit.flightsw.dimc.compiled_package import SCALE, write_compiled_model


def test_shapes_padding_and_quantisation_come_from_the_manifest(tmp_path: Path) -> None:
    model = read_compiled_model(
        write_compiled_model(tmp_path, input_padding=[0, 0, 3, 3, 3, 5, 0, 1])
    )
    assert model.input.shape == (1, 14, 16, 5)
    assert model.input.padding == [(0, 0), (3, 3), (3, 5), (0, 1)]
    assert (model.input.scale, model.input.zero_point) == (SCALE, -100)
    assert model.output.shape == (1, 8, 8, 64)
    assert model.output.unpadded_shape == (1, 8, 8, 2)
    assert model.graph == (tmp_path / "tiny.onnx").resolve()
    assert model.name == "tiny"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("quantized_model_file", None),
        ("quantized_model_file", "../absent.onnx"),
        ("quantized_model_file", "../../outside.onnx"),
        ("quantize_params", None),
        ("quantize_params", [[0.0, 0]]),
        ("quantize_params", [[0.1, 200]]),
        ("dequantize_params", [[0.1, 0], [0.1, 0]]),
        ("input_shapes", [[1, 8, 8]]),
        ("input_shapes", [[0, 8, 8, 4]]),
        ("input_shapes", "1,8,8,4"),
        ("output_shapes", []),
        ("input_dtypes", ["uint8"]),
        ("output_dtypes", ["float32"]),
        ("n_padded_ch_inputs", [[0, 0, 0, 0]]),
        ("n_padded_ch_inputs", [[0, 0, -1, 0, 0, 0, 0, 0]]),
        ("n_padded_ch_outputs", [[0, 0, 0, 0, 0, 0, 0, 64]]),
        ("input_tensor_layout", "NCHW"),
        ("input_tensor_layout", None),
    ],
)
def test_value_that_is_absent_or_senseless_is_refused_by_its_key(
    tmp_path: Path, key: str, value: Any
) -> None:
    (tmp_path / "outside.onnx").touch()
    model_json = write_compiled_model(tmp_path / "package", **{key: value})
    with pytest.raises(PackageInvalid) as refused:
        read_compiled_model(model_json)
    assert refused.value.fields["key"] == key
    assert refused.value.fields["expected"]
    assert "found" in refused.value.fields


def test_manifest_outside_the_folder_is_refused(tmp_path: Path) -> None:
    model_json = write_compiled_model(tmp_path)
    model_json.write_text(json.dumps({"manifest": "../manifest.json"}))
    with pytest.raises(PackageInvalid, match=r"has manifest .*, which must be a file inside"):
        read_compiled_model(model_json)


def test_manifest_has_its_usual_name_where_none_is_given(tmp_path: Path) -> None:
    model_json = write_compiled_model(tmp_path)
    model_json.write_text("{}")
    assert read_compiled_model(model_json).name == "spatial"


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00"])
def test_file_that_is_not_a_json_object_is_refused(tmp_path: Path, text: str) -> None:
    model_json = write_compiled_model(tmp_path)
    (model_json.parent / "manifest.json").write_text(text)
    with pytest.raises(PackageInvalid, match="does not fit its format"):
        read_compiled_model(model_json)


def test_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(PackageInvalid, match=r"nowhere\.json cannot be read"):
        read_compiled_model(tmp_path / "nowhere.json")
