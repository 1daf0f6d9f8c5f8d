"""A compiled model folder, as the vendor's compiler writes it: read and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from flightsw.dimc.tensors import TensorInfo
from flightsw.errors import PackageInvalid
from telecommands.failure import UNDECODABLE

_Content = TypeVar("_Content")
_Length = Annotated[int, Meta(ge=1)]
_Shape = tuple[_Length, _Length, _Length, _Length]
_Padding = Annotated[list[Annotated[int, Meta(ge=0)]], Meta(min_length=8, max_length=8)]
_Scale = Annotated[float, Meta(gt=0)]
_ZeroPoint = Annotated[int, Meta(ge=-128, le=127)]

_CURE: Final = "Compile the model again, or install an intact package"


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


class _Model(msgspec.Struct):
    name: str | None = None
    manifest: str = "manifest.json"


class _Manifest(msgspec.Struct):
    """Each list describes the one input or output: NHWC lengths, [N0,N1,H0,H1,W0,W1,C0,C1]."""

    quantized_model_file: str
    input_tensor_layout: Literal["NHWC"]
    input_shapes: tuple[_Shape]
    input_dtypes: tuple[Literal["int8"]]
    n_padded_ch_inputs: tuple[_Padding]
    quantize_params: tuple[tuple[_Scale, _ZeroPoint]]
    output_shapes: tuple[_Shape]
    output_dtypes: tuple[Literal["int8"]]
    n_padded_ch_outputs: tuple[_Padding]
    dequantize_params: tuple[tuple[_Scale, _ZeroPoint]]
    preprocess_graph: Any = None
    postprocess_graph: Any = None


def read_compiled_model(model_json: Path) -> CompiledModel:
    """Read ``model.json`` and the manifest beside it.

    Raises :class:`~flightsw.errors.PackageInvalid` with the fields ``key``,
    ``expected`` and ``found`` if a value is absent or contradictory.
    """
    model = read_json(model_json, _Model)
    folder = model_json.resolve().parent
    path = _inside(folder, folder / model.manifest, model_json, "manifest")
    manifest = read_json(path, _Manifest)
    graph = folder / manifest.quantized_model_file
    (inputs,), (outputs,) = manifest.n_padded_ch_inputs, manifest.n_padded_ch_outputs
    properties = ("preprocess_graph", "postprocess_graph", "input_tensor_layout")
    return CompiledModel(
        name=model.name or folder.name,
        manifest=path,
        graph=_inside(folder.parent, graph, path, "quantized_model_file"),
        input=_tensor(path, *manifest.input_shapes, inputs, *manifest.quantize_params, "inputs"),
        output=_tensor(
            path, *manifest.output_shapes, outputs, *manifest.dequantize_params, "outputs"
        ),
        properties={key: str(found) for key in properties if (found := getattr(manifest, key))},
    )


def read_json(path: Path, kind: type[_Content]) -> _Content:
    """Read a JSON file of a model package.

    Raises :class:`~flightsw.errors.PackageInvalid` with the fields ``key``, ``expected`` and
    ``found``.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise PackageInvalid(path, f"cannot be read ({error.strerror})", _CURE) from error
    except UNDECODABLE as error:
        expected = str(error).partition(" - at ")[0]
        named = re.search(r"\$\.([\w.]+)|field `(\w+)`", str(error))
        key = (named[1] or named[2]) if named else "the document"
        cause, found = f"does not fit its format: {error}", "another type"
        raise PackageInvalid(path, cause, _CURE, key=key, expected=expected, found=found) from error


def _inside(root: Path, file: Path, document: Path, key: str) -> Path:
    """``file``, if it exists and lies inside ``root``."""
    file = file.resolve()
    if not file.is_relative_to(root):
        raise PackageInvalid.wrong(document, key, f"a file inside {root}", file)
    if not file.is_file():
        raise PackageInvalid.wrong(document, key, "an existing file", file)
    return file


def _tensor(
    manifest: Path,
    shape: _Shape,
    edges: list[int],
    quantisation: tuple[float, int],
    side: Literal["inputs", "outputs"],
) -> TensorInfo:
    scale, zero_point = quantisation
    padding = list(zip(edges[::2], edges[1::2], strict=True))
    info = TensorInfo(shape=shape, padding=padding, scale=scale, zero_point=zero_point)
    if min(info.unpadded_shape) < 1:
        key = f"n_padded_ch_{side}"
        raise PackageInvalid.wrong(manifest, key, f"less than the shape {shape}", edges)
    return info
