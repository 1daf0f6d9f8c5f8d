"""A scene from disk to the reference report's products, through one engine."""

from __future__ import annotations

import tempfile
from pathlib import Path
from time import perf_counter
from typing import Final

from msgspec.structs import replace

from flightsw.bench.scene import reference_scenes
from flightsw.bench.subjects import Subject
from flightsw.chain import SceneRequest, open_chain
from flightsw.comparison.figures import compare
from flightsw.model.package import ModelPackage
from flightsw.products.mask_file import open_mask

_PRODUCTS: Final = frozenset({"mask", "fill", "quicklook"})
"""The reference's: mask, cloud fill, visualisation."""


def whole_chain(
    subject: Subject, package: ModelPackage, scene: Path, truth: Path | None, work: Path
) -> dict[str, float]:
    """Seconds a scene of the reference's size and, with a truth, the F2 of the mask.

    Temporary files go to ``work``.

    Raises the :class:`~flightsw.errors.FlightError` of the module that failed.
    """
    settings = replace(subject.settings, engines=(subject.engine,))
    with tempfile.TemporaryDirectory(dir=work) as folder, open_chain(settings) as chain:
        started = perf_counter()
        processed = chain.process(SceneRequest(scene, Path(folder), _PRODUCTS))
        seconds = perf_counter() - started
        figures = {"total": seconds / reference_scenes(processed.scene, package)}
        if truth and subject.computes:
            with open_mask(truth) as true, open_mask(processed.products.paths("mask")[0]) as mask:
                f2 = compare(true, mask).f2
            if f2 is not None:
                figures["f2"] = f2
    return figures
