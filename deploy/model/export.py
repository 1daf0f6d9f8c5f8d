"""``python -m deploy.model.export WEIGHTS OUT.onnx``: trained weights to a checked ONNX graph."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Final, Literal

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from deploy.model.crops import INPUT_LIMIT, WINDOW
from flightsw.errors import PackageInvalid
from flightsw.model.dtacsnet import CLASSES, ContaminationHead, DtacsNet

Head = Literal["contamination", "classes"]

OPSET: Final = 17

_BANDS: Final = 4
_CLASS_COUNTS: Final = (2, len(CLASSES))
_TOLERANCE: Final = 2e-3  # of a logit, between torch and ONNX Runtime


def export(network: nn.Module, out: Path, head: Head, tile_size: int = WINDOW) -> None:
    """Write ``network`` as ONNX: float NCHW reflectance in, logits out, any batch.

    Batch normalisation is folded into the convolutions.  The answer is compared
    with the network's own on random tiles; raises :class:`PackageInvalid` where
    they differ, or where ``network`` has other than 4 bands and 2 or 4 classes.
    """
    deployed = with_head(network.eval(), head)
    example = _random_tiles(2, tile_size)
    with warnings.catch_warnings():
        # The exporter without onnxscript is deprecated, not broken.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            deployed,
            (example,),
            str(out),
            dynamo=False,
            opset_version=OPSET,
            input_names=["reflectance"],
            output_names=["logits"],
            dynamic_axes={"reflectance": {0: "N"}, "logits": {0: "N"}},
        )
    onnx.checker.check_model(str(out), full_check=True)
    _compare(deployed, out, tile_size)


def read_network(path: Path, torchscript: bool = False) -> nn.Module:
    """Read a ``state_dict`` of :class:`DtacsNet`, or a published TorchScript file."""
    if torchscript:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # the published files are TorchScript
            network: nn.Module = torch.jit.load(  # type: ignore[no-untyped-call]
                str(path), map_location="cpu"
            )
    else:
        network = DtacsNet()
        try:
            network.load_state_dict(read_weights(path))
        except (RuntimeError, KeyError, TypeError, AttributeError, ValueError) as error:
            raise PackageInvalid(
                path,
                "is no state_dict of a four-band, four-class DTACSNet-CD",
                "Give the file that deploy.model.train wrote, or --torchscript",
                expected=list(DtacsNet().state_dict())[:3],
                found=str(error)[:300],
            ) from error
    return network.eval()


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read what training wrote (``.pt``), or what is kept of a release (``.npz``, float16)."""
    if path.suffix != ".npz":
        weights: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        return weights
    with np.load(path, allow_pickle=False) as arrays:
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


def keep_weights(weights: dict[str, torch.Tensor], path: Path) -> None:
    """Keep a release's weights in float16: half the size, and the release is made from them."""
    halves = {
        name: (value.half() if value.is_floating_point() else value).numpy()
        for name, value in weights.items()
    }
    np.savez_compressed(path, **halves)  # type: ignore[arg-type]


def with_head(network: nn.Module, head: Head) -> nn.Module:
    """Put the two-class head on a four-class network; refuse networks of another shape."""
    classes = _class_count(network)
    if head == "classes" or classes == 2:
        return network
    return ContaminationHead(network).eval()


def _class_count(network: nn.Module) -> int:
    expected = f"{_BANDS} bands in, {' or '.join(map(str, _CLASS_COUNTS))} classes out"
    try:
        with torch.no_grad():
            found = tuple(network(torch.zeros(1, _BANDS, 32, 32)).shape)
    except RuntimeError as error:
        raise PackageInvalid(
            "network",
            f"does not take {_BANDS} bands",
            f"Give a network with {expected}",
            expected=expected,
            found=str(error)[:300],
        ) from error
    if len(found) != 4 or found[1] not in _CLASS_COUNTS or found[2:] != (32, 32):
        raise PackageInvalid(
            "network",
            f"answers with shape {found}",
            f"Give a network with {expected}",
            expected=expected,
            found=list(found),
        )
    return int(found[1])


def _compare(network: nn.Module, path: Path, tile_size: int) -> None:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    tiles = _random_tiles(3, tile_size)
    with torch.no_grad():
        expected = network(tiles).numpy()
    (found,) = session.run(None, {"reflectance": tiles.numpy()})
    deviation = float(np.abs(expected - found).max())
    if not deviation <= _TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise PackageInvalid(
            path,
            f"answers differ from the network's by up to {deviation:.3g}",
            "Export with another version of torch",
            expected=_TOLERANCE,
            found=deviation,
        )


def _random_tiles(count: int, tile_size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.rand(count, _BANDS, tile_size, tile_size, generator=generator) * INPUT_LIMIT


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--head", choices=("contamination", "classes"), default="contamination")
    parser.add_argument("--torchscript", action="store_true", help="WEIGHTS is a TorchScript file")
    parser.add_argument("--keep", type=Path, help="keep float16 weights here; export from them")
    arguments = parser.parse_args()
    weights = arguments.weights
    if arguments.keep:
        keep_weights(read_weights(weights), arguments.keep)
        weights = arguments.keep
    export(read_network(weights, arguments.torchscript), arguments.out, arguments.head)


if __name__ == "__main__":
    main()
