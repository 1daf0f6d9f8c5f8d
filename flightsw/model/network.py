"""The floating-point network: of a model package, or of a published TorchScript file."""

from __future__ import annotations

import warnings
from itertools import pairwise
from pathlib import Path
from pickle import UnpicklingError
from typing import Final
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from flightsw.errors import EngineUnavailable, PackageInvalid
from flightsw.model.dtacsnet import CLASSES, ContaminationHead, DtacsNet
from flightsw.model.package import ModelPackage

SIDE_MULTIPLE: Final = 32
"""Height and width of an input are multiples of it: the encoder halves five times."""

_FIRST_NAMES: Final = 3
_LEAST_PROBABILITY: Final = 1e-7  # keeps its logarithm finite
UNFIT: Final = (
    OSError,
    EOFError,
    RuntimeError,
    LookupError,
    TypeError,
    AttributeError,
    ValueError,
    UnpicklingError,
    BadZipFile,
)
"""What reading a file raises that does not hold weights."""


def open_network(package: ModelPackage) -> nn.Module:
    """The package's network, FP32, in eval mode.

    Takes reflectance ``(N, bands, H, W)`` in the package's band order, H and W multiples of
    :data:`SIDE_MULTIPLE`;
    answers logits ``(N, classes, H, W)`` of the package's classes.  Raises
    :class:`EngineUnavailable` if the package has none, :class:`PackageInvalid` if
    its file is not such a network.
    """
    if package.network is None:
        raise EngineUnavailable(
            f"the package {package.model_id}",
            "holds no floating-point network",
            "Install a package with network.npz, or leave this engine out of the chain",
        )
    network = read_dtacsnet(package.network, len(package.bands))
    return _with_classes(network, package.classes, package.network)


def open_torchscript(path: Path, bands: tuple[str, ...], classes: tuple[str, ...]) -> nn.Module:
    """A published TorchScript file as a network of ``classes``, FP32, in eval mode.

    Use only a file that you trust: TorchScript is code, and loading runs it.  The file must take
    one channel for each of ``bands``, in this order, and answer the four classes of
    :data:`~flightsw.model.dtacsnet.CLASSES`, as logits or as probabilities, whose logarithms are
    logits.  Raises :class:`PackageInvalid` with what was ``expected`` and ``found``.
    """
    network = read_torchscript(path)
    answer = trial_answer(network, len(bands), (len(CLASSES),), path)
    if _are_probabilities(answer):
        network = _LogarithmHead(network).eval()
    return _with_classes(network, classes, path)


def read_dtacsnet(path: Path, bands: int) -> DtacsNet:
    """Read a ``state_dict`` of the four-class :class:`DtacsNet`; eval mode.

    Raises :class:`PackageInvalid` if the file holds anything else.
    """
    network = DtacsNet(bands)
    try:
        network.load_state_dict(read_weights(path))
    except UNFIT as error:
        raise PackageInvalid(
            path,
            f"is not a state_dict of a DTACSNet-CD with {bands} bands and {len(CLASSES)} classes",
            "Install an intact package, or export the weights again (deploy.model.export --keep)",
            expected=list(network.state_dict())[:_FIRST_NAMES],
            found=str(error)[:300],
        ) from error
    return network.eval()


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the weights of a training (``.pt``) or of a release (``.npz``, float16)."""
    if path.suffix != ".npz":
        weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        return weights
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


def read_torchscript(path: Path) -> nn.Module:
    """Load a TorchScript file on the CPU; eval mode.  Loading runs code: only trusted files.

    Raises :class:`PackageInvalid` if the file does not exist or is not TorchScript.
    """
    with warnings.catch_warnings():
        # Deprecated in favour of torch.export; the published files are TorchScript.
        warnings.filterwarnings("ignore", "`torch.jit.load` is deprecated", DeprecationWarning)
        try:
            network: nn.Module = torch.jit.load(  # type: ignore[no-untyped-call]
                str(path), map_location="cpu"
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise PackageInvalid(
                path,
                "is not a TorchScript file" if path.is_file() else "does not exist",
                "Give the published file, as it was downloaded",
                expected="a TorchScript file",
                found=cause_of(error),
            ) from error
    return network.float().eval()


def trial_answer(
    network: nn.Module, bands: int, class_counts: tuple[int, ...], subject: object
) -> Tensor:
    """The network's answer ``(1, classes, 32, 32)`` to a tile of noise.

    Raises :class:`PackageInvalid` about ``subject`` unless the network takes ``bands`` channels
    and answers with finite numbers for one of ``class_counts``.
    """
    expected = f"{bands} bands in, {' or '.join(map(str, class_counts))} classes out"
    cure = f"Give a network with {expected}"
    noise = torch.rand(
        1, bands, SIDE_MULTIPLE, SIDE_MULTIPLE, generator=torch.Generator().manual_seed(1)
    )
    try:
        with torch.no_grad():
            answer = network(noise)
    except RuntimeError as error:
        raise PackageInvalid(
            subject, f"does not take {bands} bands", cure, expected=expected, found=cause_of(error)
        ) from error
    shapes = [(1, count, SIDE_MULTIPLE, SIDE_MULTIPLE) for count in class_counts]
    if not isinstance(answer, Tensor) or answer.shape not in shapes:
        found = list(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        raise PackageInvalid(
            subject, f"answers with shape {found}", cure, expected=expected, found=found
        )
    if not answer.isfinite().all():
        cause = "answers with values that are not finite numbers"
        raise PackageInvalid(subject, cause, "Give weights of a training that converged")
    return answer


def in_band_order(network: nn.Module, own: tuple[str, ...], given: tuple[str, ...]) -> nn.Module:
    """``network``, whose channels are the bands ``own``, for input in the order ``given``."""
    if own == given:
        return network
    return _BandOrder(network, [given.index(band) for band in own]).eval()


def for_inference(network: nn.Module) -> nn.Module:
    """The network changed in place: normalisation folded into convolutions, channels last.

    Folding changes answers by float rounding alone.  Tiles are channels last; in this format the
    CPU's kernels took 0.8 of the time.
    """
    for block in network.modules():
        if isinstance(block, nn.Sequential):
            for (place, layer), (behind, following) in pairwise([*block.named_children()]):
                if isinstance(layer, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
                    setattr(block, place, fuse_conv_bn_eval(layer, following))
                    setattr(block, behind, nn.Identity())
    network.requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def cause_of(error: Exception) -> str:
    """Torch's message of an error in one line, without the tracebacks of TorchScript and CUDA."""
    first, *others = str(error).strip().splitlines() or [type(error).__name__]
    return (others[-1] if others and "TorchScript" in first else first)[:300]


class _BandOrder(nn.Module):
    """Puts the channels in the network's own order."""

    order: Tensor

    def __init__(self, network: nn.Module, order: list[int]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("order", torch.tensor(order))

    def forward(self, reflectance: Tensor) -> Tensor:
        ordered = reflectance.index_select(1, self.order)
        logits: Tensor = self.network(ordered.contiguous(memory_format=torch.channels_last))
        return logits


class _LogarithmHead(nn.Module):
    """Probabilities as logits: softmax of their logarithms is the probabilities again."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, reflectance: Tensor) -> Tensor:
        probabilities: Tensor = self.network(reflectance)
        return probabilities.float().clamp_min(_LEAST_PROBABILITY).log()


def _are_probabilities(answer: Tensor) -> bool:
    sums = answer.sum(dim=1)
    return bool((answer >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-3)


def _with_classes(network: nn.Module, classes: tuple[str, ...], path: Path) -> nn.Module:
    """Put the head for ``classes`` on a network of four."""
    if len(classes) == len(CLASSES):
        return network
    if len(classes) == 2:
        return ContaminationHead(network).eval()
    raise PackageInvalid(
        path,
        f"answers {len(CLASSES)} classes, which are not {' '.join(classes)}",
        "Install a package of two or four classes",
        expected=f"2 or {len(CLASSES)} classes",
        found=list(classes),
    )
