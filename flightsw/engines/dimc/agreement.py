"""What the D-IMC engine needs of a model package, and whether the compiled model keeps it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

from flightsw.config import DimcSettings
from flightsw.dimc.compiled_model import CompiledModel, read_compiled_model
from flightsw.errors import PackageInvalid


class ModelPackage(Protocol):
    """The part of a model package that this engine needs."""

    @property
    def folder(self) -> Path:
        """Where the package lies."""
        ...

    @property
    def model_id(self) -> str:
        """Identity of the model, for products and telemetry."""
        ...

    @property
    def bands(self) -> tuple[str, ...]:
        """Input channels in order."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Output channels in order."""
        ...

    @property
    def tile_size(self) -> int:
        """Height and width of a tile in pixels."""
        ...

    @property
    def stride(self) -> int:
        """Pixels between two windows."""
        ...

    def compiled_model(self, arrangement: Literal["spatial", "batch"]) -> Path:
        """Folder with the ``model.json`` of that arrangement."""
        ...


def read_agreed_model(package: ModelPackage, settings: DimcSettings) -> tuple[Path, CompiledModel]:
    """The ``model.json`` for the arrangement of the settings, and what it says.

    Four instances run the model of one tile.  Raises
    :class:`~flightsw.errors.PackageInvalid` where package and manifest contradict each other.
    """
    batched = settings.arrangement == "batch"
    model_json = package.compiled_model("batch" if batched else "spatial") / "model.json"
    model = read_compiled_model(model_json)
    _require_agreement(package, settings, model)
    return model_json, model


def _require_agreement(package: ModelPackage, settings: DimcSettings, model: CompiledModel) -> None:
    """The manifest must describe the tiles that the package promises."""
    batch = model.input.unpadded_shape[0] if settings.arrangement == "batch" else 1
    tile = (batch, package.tile_size, package.tile_size)
    for key, tensor, expected in (
        ("input_shapes", model.input, (*tile, len(package.bands))),
        ("output_shapes", model.output, (*tile, len(package.classes))),
    ):
        if tensor.unpadded_shape != expected:
            raise PackageInvalid(
                model.manifest,
                f"{key} without padding must be {expected}, found {tensor.unpadded_shape}",
                "Compile the model again for this arrangement, or install an intact package",
                key=key,
                expected=str(expected),
                found=str(tensor.unpadded_shape),
            )
