"""One interface to every form of the network: float weights, float ONNX, or the INT8 package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnxruntime
import torch
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from deploy.model.card_input import WINDOW
from deploy.model.dataset import BANDS, in_order
from deploy.model.export import channels_of, read_network
from flightsw.dimc.simulator.int8_graph import exact_arithmetic, load_openvino
from flightsw.errors import UsageError
from flightsw.model.description import Quantisation
from flightsw.model.package import ModelPackage, load_package

Windows = NDArray[np.float32]

_THREADS: Final = 2


@dataclass(frozen=True)
class Network:
    """``logits(windows)``: reflectance ``(N, C, S, S)`` to logits ``(N, classes, S, S)``.

    The windows have ``bands`` in the order of ``dataset.in_order``, whatever the order of the
    network's own channels; S is ``tile_size``.
    """

    logits: Callable[[Windows], NDArray[np.float32]]
    tile_size: int = WINDOW
    bands: tuple[str, ...] = BANDS


def open_network(path: Path, bands: tuple[str, ...] = BANDS) -> Network:
    """Open a package folder, an ``.onnx`` file, or weights.

    ``bands`` are the channels of a file, which does not name them; a file of four has those of
    the shipped release if ``bands`` are more or fewer.  Raises :class:`UsageError` if the file has
    another number of channels.
    """
    if path.is_dir():
        return package_network(load_package(path))
    if path.suffix == ".onnx":
        graph = read_graph(path)
        channels = graph.graph.input[0].type.tensor_type.shape.dim[1].dim_value
        return onnx_network(graph, _named(path, channels, bands))
    network = read_network(path)
    return torch_network(network, _named(path, channels_of(network), bands))


def read_graph(path: Path) -> onnx.ModelProto:
    """Read an ``.onnx`` file; raises :class:`UsageError` if it holds no network."""
    try:
        graph = onnx.load(str(path))
        onnx.checker.check_model(graph)
    except (OSError, DecodeError, onnx.checker.ValidationError) as error:
        cause = f"is not an ONNX network ({error})"
        raise UsageError(path, cause, "Write it with deploy.model.export") from error
    return graph


def _named(path: Path, channels: int, bands: tuple[str, ...]) -> tuple[str, ...]:
    for names in (bands, BANDS):
        if len(names) == channels:
            return names
    raise UsageError(path, f"has {channels} input bands, which are not named", "Name them: --bands")


def torch_network(module: torch.nn.Module, bands: tuple[str, ...] = BANDS) -> Network:
    """FP32 with torch; ``bands`` is the order of the network's channels."""
    torch.set_num_threads(_THREADS)
    channels = _channels(bands)

    def logits(windows: Windows) -> NDArray[np.float32]:
        with torch.no_grad():
            return np.asarray(module(torch.from_numpy(windows[:, channels])).numpy())

    return Network(logits, bands=in_order(bands))


def onnx_network(model: onnx.ModelProto, bands: tuple[str, ...] = BANDS) -> Network:
    """FP32 with ONNX Runtime; ``bands`` is the order of the graph's channels."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _THREADS
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    source, channels = session.get_inputs()[0], _channels(bands)

    def logits(windows: Windows) -> NDArray[np.float32]:
        return np.asarray(session.run(None, {source.name: windows[:, channels]})[0])

    return Network(logits, source.shape[-1], in_order(bands))


def package_network(package: ModelPackage) -> Network:
    """The INT8 graph of a package, with the arithmetic of the simulator."""
    graph = package.compiled_model("spatial") / "quantized_model.onnx"
    return int8_network(onnx.load(str(graph)), package.bands, package.input, package.output)


def int8_network(
    model: onnx.ModelProto, bands: tuple[str, ...], taken: Quantisation, given: Quantisation
) -> Network:
    """An INT8 NHWC graph, and the quantisation of its input and output."""
    answers, channels = openvino_graph(model), _channels(bands)

    def logits(windows: Windows) -> NDArray[np.float32]:
        steps = np.rint(windows[:, channels] / taken.scale) + taken.zero_point
        tiles = steps.clip(-128, 127).astype(np.int8).transpose(0, 2, 3, 1)
        found = answers(np.ascontiguousarray(tiles)).astype(np.float32)
        real = (found - given.zero_point) * np.float32(given.scale)
        return np.ascontiguousarray(real.transpose(0, 3, 1, 2))

    side = model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    return Network(logits, side, in_order(bands))


def openvino_graph(model: onnx.ModelProto) -> Callable[[NDArray[np.int8]], NDArray[np.int8]]:
    """INT8 NHWC tiles to INT8 NHWC logits, one tile at a time, with OpenVINO on the CPU."""
    openvino = load_openvino()
    core = openvino.Core()
    compiled = core.compile_model(
        core.read_model(model.SerializeToString()),
        "CPU",
        {
            **exact_arithmetic(openvino),
            openvino.properties.inference_num_threads: _THREADS,
        },
    )

    def run(tiles: NDArray[np.int8]) -> NDArray[np.int8]:
        return np.concatenate([compiled(tile[None])[0] for tile in tiles])

    return run


def _channels(bands: tuple[str, ...]) -> list[int]:
    """The network's channels in windows that have its bands in order."""
    ordered = in_order(bands)
    return [ordered.index(band) for band in bands]
