"""A compiled model folder, as the vendor's compiler writes it: read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import msgspec
import numpy as np

from flightsw.dimc.tensors import TensorInfo
from flightsw.errors import PackageInvalid

_Value = TypeVar("_Value")

_CURE: Final = "Compile the model again, or install an intact package"
_NHWC_AXES: Final = 4


@dataclass(frozen=True)
class CompiledModel:
    """The content of a compiled model folder: one int8 input, one int8 output, one graph.

    ``graph`` is the INT8 ONNX file; ``properties`` are the values of the
    manifest that the runtime passes on unread.
    """

    name: str
    manifest: Path
    graph: Path
    input: TensorInfo
    output: TensorInfo
    properties: Mapping[str, str]


def read_compiled_model(model_json: Path) -> CompiledModel:
    """Read ``model.json`` and the manifest beside it.

    Raises :class:`~flightsw.errors.PackageInvalid` with the fields ``key``,
    ``expected`` and ``found`` if a value is absent or contradictory.
    """
    model = _Document(model_json)
    name = model.get("manifest", str, "a file name", default="manifest.json")
    folder = model_json.resolve().parent
    manifest = _Document(_inside(folder, folder / name, model, "manifest"))
    layout = manifest.get("input_tensor_layout", str, "NHWC")
    if layout != "NHWC":
        manifest.refuse("input_tensor_layout", "NHWC", layout)
    file = manifest.get("quantized_model_file", str, "a file name")
    return CompiledModel(
        name=model.get("name", str, "a name", default=folder.name),
        manifest=manifest.path,
        graph=_inside(folder.parent, folder / file, manifest, "quantized_model_file"),
        input=_tensor(manifest, "input", "quantize_params"),
        output=_tensor(manifest, "output", "dequantize_params"),
        properties={
            key: str(manifest.values[key])
            for key in ("preprocess_graph", "postprocess_graph", "input_tensor_layout")
            if manifest.values.get(key)
        },
    )


class _Document:
    """A JSON object whose values are asked for by key and type."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.values = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        except OSError as error:
            raise PackageInvalid(path, f"cannot be read ({error.strerror})", _CURE) from error
        except msgspec.DecodeError as error:
            raise PackageInvalid(path, f"is not a JSON object ({error})", _CURE) from error

    def get(
        self, key: str, kind: type[_Value], expected: str, *, default: _Value | None = None
    ) -> _Value:
        """The value of ``key`` as ``kind``; refused if it is absent or of another type."""
        if key not in self.values and default is not None:
            return default
        try:
            return msgspec.convert(self.values.get(key), kind)
        except msgspec.ValidationError:
            self.refuse(key, expected, self.values.get(key))

    def refuse(self, key: str, expected: object, found: object) -> NoReturn:
        raise PackageInvalid(
            self.path,
            f"has {key} {found}, which must be {expected}",
            _CURE,
            key=key,
            expected=str(expected),
            found=str(found),
        )


def _inside(root: Path, file: Path, document: _Document, key: str) -> Path:
    """``file``, if it exists and lies inside ``root``."""
    file = file.resolve()
    if not file.is_relative_to(root):
        document.refuse(key, f"a file inside {root}", file)
    if not file.is_file():
        document.refuse(key, "an existing file", file)
    return file


def _tensor(manifest: _Document, side: str, quantisation_key: str) -> TensorInfo:
    """The one tensor of a side (``input``, ``output``), its lists checked against each other."""
    shape_key, dtype_key, padding_key = (
        f"{side}_shapes",
        f"{side}_dtypes",
        f"n_padded_ch_{side}s",
    )
    (shape,) = _single(manifest, shape_key, list[list[int]], "a list of one NHWC shape")
    (dtype,) = _single(manifest, dtype_key, list[str], "a list of one dtype")
    (edges,) = _single(manifest, padding_key, list[list[int]], "a list of one padding")
    ((scale, zero_point),) = _single(
        manifest, quantisation_key, list[tuple[float, int]], "a list of one [scale, zero point]"
    )
    if len(shape) != _NHWC_AXES or min(shape) < 1:
        manifest.refuse(shape_key, "four lengths of at least 1", shape)
    if dtype != "int8":
        manifest.refuse(dtype_key, "int8", dtype)
    if len(edges) != 2 * _NHWC_AXES or min(edges) < 0:
        manifest.refuse(padding_key, "[N0,N1,H0,H1,W0,W1,C0,C1] of at least 0", edges)
    if not scale > 0:
        manifest.refuse(quantisation_key, "a positive scale", scale)
    if not np.iinfo(np.int8).min <= zero_point <= np.iinfo(np.int8).max:
        manifest.refuse(quantisation_key, "a zero point from -128 to 127", zero_point)
    info = TensorInfo(
        shape=tuple(shape),
        padding=list(zip(edges[::2], edges[1::2], strict=True)),
        scale=scale,
        zero_point=zero_point,
    )
    if min(info.unpadded_shape) < 1:
        manifest.refuse(padding_key, f"less than {shape_key} {shape}", edges)
    return info


def _single(manifest: _Document, key: str, kind: type[list[_Value]], expected: str) -> list[_Value]:
    values = manifest.get(key, kind, expected)
    if len(values) != 1:
        manifest.refuse(key, expected, f"{len(values)} entries")
    return values
