"""``python -m deploy.model.export WEIGHTS OUT.onnx``: trained weights to a checked ONNX graph."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from deploy.model.card_input import INPUT_LIMIT, WINDOW
from deploy.model.command import one_line_errors
from deploy.model.dataset import BANDS
from flightsw.errors import PackageInvalid, UsageError
from flightsw.model.dtacsnet import CLASSES, ContaminationHead
from flightsw.model.network import (
    UNFIT,
    read_dtacsnet,
    read_torchscript,
    read_weights,
    trial_answer,
)
from flightsw.model.onnx_export import export_onnx
from telecommands.command_line import real_number

Head = Literal["contamination", "classes"]

FIRST_WEIGHT: Final = "encoder.features.0.0.weight"
"""Of the first convolution, ``(channels, bands, 3, 3)``."""

_CLASS_COUNTS: Final = (2, len(CLASSES))
_HEAD_BIAS: Final = "segmentation_head.0.bias"
_CHANGE: Final = real_number(-20, 20, "a change of a logit")
_TOLERANCE: Final = 2e-3  # of a logit, between torch and ONNX Runtime


def export(
    network: nn.Module,
    out: Path,
    head: Head,
    tile_size: int = WINDOW,
    bands: int = len(BANDS),
) -> None:
    """Write ``network`` as ONNX: float NCHW reflectance in, logits out, any batch.

    Batch normalisation is folded into the convolutions.  The answer is compared
    with the network's own on random tiles; raises :class:`PackageInvalid` if
    they differ, or unless ``network`` has that many ``bands`` and 2 or 4 classes; no file is left
    then.
    """
    deployed = with_head(network.eval(), head, bands)
    export_onnx(deployed, out, tile_size, bands)
    try:
        onnx.checker.check_model(str(out), full_check=True)
        _compare(deployed, out, tile_size, bands)
    except BaseException:
        out.unlink(missing_ok=True)
        raise


def read_network(path: Path, torchscript: bool = False) -> nn.Module:
    """Read a ``state_dict`` of DTACSNet-CD of any bands, or a published TorchScript file."""
    return read_torchscript(path) if torchscript else read_dtacsnet(path, _bands_in(path))


def channels_of(network: nn.Module) -> int:
    """The number of bands that a DTACSNet-CD takes."""
    return int(network.state_dict()[FIRST_WEIGHT].shape[1])


def _bands_in(path: Path) -> int:
    """The bands of a ``state_dict``; a file without its first weight is refused when it is read."""
    try:
        return int(read_weights(path)[FIRST_WEIGHT].shape[1])
    except UNFIT:
        return len(BANDS)


def keep_weights(weights: dict[str, torch.Tensor], path: Path) -> None:
    """Keep a release's weights in float16: half the size; the release is made from these."""
    halves = {
        name: (value.half() if value.is_floating_point() else value).numpy()
        for name, value in weights.items()
    }
    np.savez_compressed(path, **halves)  # type: ignore[arg-type]


def with_lowered(
    weights: dict[str, torch.Tensor], clear: float = 0.0, shadow: float = 0.0
) -> dict[str, torch.Tensor]:
    """Lower the logits of clear and of cloud shadow.

    F2 weighs missed cloud more than false alarms, and the loss does not, so clear is lowered.
    Shadow is lowered as far as false alarms of shadow cost more than the shadow that is found.
    """
    bias = weights[_HEAD_BIAS].clone()
    bias[CLASSES.index("clear")] -= clear
    bias[CLASSES.index("cloud shadow")] -= shadow
    return {**weights, _HEAD_BIAS: bias}


def mean_of(runs: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The mean of the weights of several training runs from the same initial weights.

    It is often better than each of them (Wortsman and others 2022, "Model soups").  Counts are
    those of the first run.  Raises :class:`UsageError` unless all are of one network.
    """
    first = runs[0]
    shapes = [{name: value.shape for name, value in run.items()} for run in runs]
    if any(shape != shapes[0] for shape in shapes):
        raise UsageError("the weights", "are of different networks", "Give those of one network")
    return {
        name: torch.stack([run[name].float() for run in runs]).mean(dim=0)
        if value.is_floating_point()
        else value
        for name, value in first.items()
    }


def with_head(network: nn.Module, head: Head, bands: int = len(BANDS)) -> nn.Module:
    """Put the two-class head on a four-class network; refuse networks of another shape."""
    classes = trial_answer(network, bands, _CLASS_COUNTS, "the network").shape[1]
    if head == "classes" or classes == 2:
        return network
    return ContaminationHead(network).eval()


def _compare(network: nn.Module, path: Path, tile_size: int, bands: int) -> None:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    tiles = _random_tiles(3, tile_size, bands)
    with torch.no_grad():
        expected = network(tiles).numpy()
    (found,) = session.run(None, {"reflectance": tiles.numpy()})
    deviation = float(np.abs(expected - found).max())
    if not deviation <= _TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise PackageInvalid(
            path,
            f"gives answers that differ from the network's by up to {deviation:.3g}",
            "Export with another version of torch",
            expected=_TOLERANCE,
            found=deviation,
        )


def _random_tiles(count: int, tile_size: int, bands: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.rand(count, bands, tile_size, tile_size, generator=generator) * INPUT_LIMIT


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path, help="weights that train wrote, or --torchscript")
    parser.add_argument("out", type=Path, help="ONNX file to write")
    parser.add_argument(
        "--head",
        choices=("contamination", "classes"),
        default="contamination",
        help="output classes: clear and contaminated, or all four (default: %(default)s)",
    )
    parser.add_argument("--torchscript", action="store_true", help="WEIGHTS is a TorchScript file")
    parser.add_argument(
        "--channels",
        type=int,
        default=len(BANDS),
        help="input bands of a TorchScript file; other weights show theirs (default: %(default)s)",
    )
    parser.add_argument(
        "--keep", type=Path, help="write the weights here in float16, and export those"
    )
    parser.add_argument(
        "--average", type=Path, nargs="+", default=[], metavar="WEIGHTS",
        help="with --keep: the mean of these weights and the first, of runs from the same start",
    )  # fmt: skip
    parser.add_argument(
        "--lower-clear", type=_CHANGE, default=0.0, metavar="LOGIT",
        help="with --keep: lower the clear logit by this much, for F2 (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--lower-shadow", type=_CHANGE, default=0.0, metavar="LOGIT",
        help="with --keep: lower the shadow logit by this much (default: %(default)s)",
    )  # fmt: skip
    arguments = parser.parse_args()
    weights = arguments.weights
    if arguments.keep:
        mean = mean_of([read_weights(path) for path in (weights, *arguments.average)])
        lowered = with_lowered(mean, arguments.lower_clear, arguments.lower_shadow)
        keep_weights(lowered, arguments.keep)
        weights = arguments.keep
    elif arguments.average or arguments.lower_clear or arguments.lower_shadow:
        cause = "are changed by --average, --lower-clear and --lower-shadow"
        raise UsageError("the weights", cause, "Give --keep")
    network = read_network(weights, arguments.torchscript)
    bands = arguments.channels if arguments.torchscript else channels_of(network)
    export(network, arguments.out, arguments.head, bands=bands)


if __name__ == "__main__":
    with one_line_errors("export"):
        main()
