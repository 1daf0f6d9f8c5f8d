"""The network as an ONNX graph."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import torch
from torch import nn

OPSET: Final = 17
INPUT: Final = "reflectance"
OUTPUT: Final = "logits"


def export_onnx(module: nn.Module, out: Path, tile_size: int, bands: int = 4) -> None:
    """Write ``module`` as ONNX: ``reflectance`` in, ``logits`` out, any number of tiles.

    Takes ``(N, bands, tile_size, tile_size)`` in the module's precision; answers ``(N, classes,
    tile_size, tile_size)``.  Batch normalisation is folded into the convolutions.  The same module
    gives the same bytes with the same version of torch.  Raises :class:`OSError`.
    """
    example = torch.zeros(2, bands, tile_size, tile_size)
    with warnings.catch_warnings(), _without_function_search():
        # The exporter without onnxscript is deprecated, not broken.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            (example,),
            str(out),
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: "N"}, OUTPUT: {0: "N"}},
        )


@contextmanager
def _without_function_search() -> Iterator[None]:
    """Skip the exporter's one use of the package ``onnx``.

    The graph is already written.  torch parses it again to add the onnxscript functions that it
    calls; a network of torch's own layers calls none, and a flight unit carries no ``onnx``.
    """
    from torch.onnx._internal.torchscript_exporter import onnx_proto_utils  # noqa: PLC0415

    def as_written(model_bytes: bytes, custom_opsets: Mapping[str, int]) -> bytes:  # noqa: ARG001
        return model_bytes

    search = onnx_proto_utils._add_onnxscript_fn
    onnx_proto_utils._add_onnxscript_fn = as_written
    try:
        yield
    finally:
        onnx_proto_utils._add_onnxscript_fn = search
