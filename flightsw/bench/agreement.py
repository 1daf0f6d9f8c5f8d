"""How many pixels of the golden tiles an engine classifies as the floating-point network does."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from flightsw.bench.scene import golden_scenes
from flightsw.comparison.figures import compare
from flightsw.config import Settings, TorchSettings
from flightsw.engines.engine import Engine
from flightsw.engines.fallback import open_engine
from flightsw.model.package import ModelPackage
from flightsw.pipeline import process_scene
from flightsw.products.mask_rows import MaskRows


class GoldenAgreement:
    """Compares engines with ``torch-cpu`` in FP32, which runs once, when first needed."""

    def __init__(self, package: ModelPackage, settings: Settings) -> None:
        self._package = package
        self._settings = settings

    def of(self, engine: Engine) -> float:
        """Share of the golden tiles' pixels that have the same class as with FP32, 0 to 1.

        Raises :class:`~flightsw.errors.EngineError` if either cannot run.
        """
        return compare(self._reference, self._mask(engine)).agreement

    @cached_property
    def _reference(self) -> NDArray[np.uint8]:
        torch = TorchSettings(threads=self._settings.torch.threads)
        settings = Settings(pipeline=self._settings.pipeline, torch=torch)
        with open_engine("torch-cpu", self._package, settings) as engine:
            return self._mask(engine)

    def _mask(self, engine: Engine) -> NDArray[np.uint8]:
        """The masks of all golden tiles, one below the other."""
        sink = MaskRows()
        for scene in golden_scenes(self._package):
            ordered = scene.in_bands(engine.info.bands)
            process_scene(ordered, engine, self._settings.pipeline, [sink])
        return sink.mask()
