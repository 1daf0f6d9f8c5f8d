"""Whether the compiled model for the card agrees with its package."""

from __future__ import annotations

from pathlib import Path

from flightsw.config import DimcSettings
from flightsw.dimc.compiled_model import CompiledModel, read_compiled_model
from flightsw.errors import PackageInvalid
from flightsw.model.package import ModelPackage


def read_agreed_model(package: ModelPackage, settings: DimcSettings) -> tuple[Path, CompiledModel]:
    """The ``model.json`` for the arrangement of the settings, and what it says.

    Four instances run the model of one tile.  Raises
    :class:`~flightsw.errors.PackageInvalid` if package and manifest contradict each other.
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
                f"has {key} {tensor.unpadded_shape} without padding, which must be {expected}",
                "Compile the model again for this arrangement, or install an intact package",
                key=key,
                expected=str(expected),
                found=str(tensor.unpadded_shape),
            )
