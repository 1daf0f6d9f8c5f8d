"""Which network runs, and on which tiles: the settings' choice, or the package's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from torch import nn

from flightsw.config import TorchSettings
from flightsw.errors import EngineUnavailable, PackageInvalid
from flightsw.host.disk import sha256
from flightsw.model.network import SIDE_MULTIPLE, in_band_order, open_network, open_torchscript
from flightsw.model.package import ModelPackage

_HASH_DIGITS: Final = 12


@dataclass(frozen=True)
class ChosenNetwork:
    """``network`` takes tiles in the package's band order; ``model_id`` says whose weights."""

    network: nn.Module
    model_id: str
    tile_size: int
    stride: int


def choose_network(name: str, package: ModelPackage, settings: TorchSettings) -> ChosenNetwork:
    """Open the network for the engine ``name``.

    Raises :class:`EngineUnavailable` if settings do not fit (fields ``expected``, ``found``)
    or the package has no network, :class:`PackageInvalid` if its file is not a network.
    """
    tile_size, stride = _tiling(name, package, settings)
    network, model_id = _open(name, package, settings)
    return ChosenNetwork(network, model_id, tile_size, stride)


def _tiling(name: str, package: ModelPackage, settings: TorchSettings) -> tuple[int, int]:
    """Tile size and stride: the settings' or the package's."""
    if settings.tile_size is None:
        return package.tile_size, package.stride
    size, overlap = settings.tile_size, settings.overlap
    if size % SIDE_MULTIPLE or not 0 <= overlap < size:
        expected = (
            f"a tile_size that is a multiple of {SIDE_MULTIPLE} and an overlap from 0 to below it"
        )
        found = f"tile_size {size}, overlap {overlap}"
        raise EngineUnavailable(
            name,
            f"needs {expected}, not {found}",
            "Correct torch.tile_size and torch.overlap in the settings",
            expected=expected,
            found=found,
        )
    return size, size - overlap


def _open(name: str, package: ModelPackage, settings: TorchSettings) -> tuple[nn.Module, str]:
    """The network for input in the package's band order, and its identity."""
    path, bands = settings.torchscript, settings.torchscript_bands
    if path is None:
        return open_network(package), package.model_id
    if sorted(bands) != sorted(package.bands):
        raise EngineUnavailable(
            name,
            f"cannot use {path}: it takes the bands {' '.join(bands)}, the package takes"
            f" {' '.join(package.bands)}",
            "Set torch.torchscript_bands to the package's bands, in the file's order",
            expected=list(package.bands),
            found=list(bands),
        )
    try:
        network = open_torchscript(path, bands, package.classes)
    except PackageInvalid as error:  # the settings are wrong, not the package
        raise EngineUnavailable(
            name, f"cannot use its network: {error.sentence}", error.cure, **error.fields
        ) from error
    identity = f"{path.stem}+{sha256(path)[:_HASH_DIGITS]}"
    return in_band_order(network, bands, package.bands), identity
