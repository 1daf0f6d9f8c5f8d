"""Onboard service that turns a Sentinel-2 scene into a cloud mask.

The names in ``__all__`` are what programs may build on (docs/library.md).  Each is loaded when it
is first used, so that ``import flightsw`` takes a few milliseconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from flightsw.chain import ProcessedScene
    from flightsw.config import Settings
    from flightsw.engines.fallback import open_engine
    from flightsw.errors import (
        EngineError,
        FlightError,
        Interrupted,
        MemoryExhausted,
        ModelError,
        ProductError,
        SceneError,
        UsageError,
    )
    from flightsw.library import dataset, load_settings, mask, probability, process
    from flightsw.model.package import ModelPackage, load_package
    from flightsw.pipeline.process import process_scene
    from flightsw.products.contents import SceneSummary
    from flightsw.products.mask_rows import MaskRows
    from flightsw.scene import open_scene
    from flightsw.scene.array_scene import ArrayScene
    from flightsw.scene.scene import Georeference, SceneMetadata

__version__ = "0.2.0.dev0"

__all__ = [
    "ArrayScene",
    "EngineError",
    "FlightError",
    "Georeference",
    "Interrupted",
    "MaskRows",
    "MemoryExhausted",
    "ModelError",
    "ModelPackage",
    "ProcessedScene",
    "ProductError",
    "SceneError",
    "SceneMetadata",
    "SceneSummary",
    "Settings",
    "UsageError",
    "__version__",
    "dataset",
    "load_package",
    "load_settings",
    "mask",
    "open_engine",
    "open_scene",
    "probability",
    "process",
    "process_scene",
]

_HOMES: Final = {
    "chain": ("ProcessedScene",),
    "config": ("Settings",),
    "engines.fallback": ("open_engine",),
    "errors": (
        *("EngineError", "FlightError", "Interrupted", "MemoryExhausted"),
        *("ModelError", "ProductError", "SceneError", "UsageError"),
    ),
    "library": ("dataset", "load_settings", "mask", "probability", "process"),
    "model.package": ("ModelPackage", "load_package"),
    "pipeline.process": ("process_scene",),
    "products.contents": ("SceneSummary",),
    "products.mask_rows": ("MaskRows",),
    "scene": ("open_scene",),
    "scene.array_scene": ("ArrayScene",),
    "scene.scene": ("Georeference", "SceneMetadata"),
}
"""The module of each name, as the imports for type checkers say."""


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            value = getattr(import_module(f"flightsw.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'flightsw' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
