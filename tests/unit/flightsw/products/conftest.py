"""A simulated scene with its mask, and how to publish products of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from flightsw.config import NameStyle
from flightsw.products.contents import Experience, FinishedRows, SceneSummary, StageTiming
from flightsw.products.kinds import PRODUCT_KINDS, ProductContext
from flightsw.products.product_set import ProductSet, PublishedProducts
from flightsw.scene.scene import Georeference, SceneMetadata

BANDS = ("B02", "B03", "B04", "B08")
ALL_PRODUCTS = frozenset(kind.name for kind in PRODUCT_KINDS)


@dataclass(frozen=True)
class Simulated:
    metadata: SceneMetadata
    context: ProductContext
    digital_numbers: NDArray[np.uint16]
    mask: NDArray[np.uint8]
    classes: NDArray[np.uint8]
    probability: NDArray[np.uint8]
    experience: Experience | None = None

    def rows(self, splits: Iterable[int] = ()) -> list[FinishedRows]:
        """The scene's rows, cut at the given rows."""
        edges = [0, *sorted({cut for cut in splits if 0 < cut < len(self.mask)}), len(self.mask)]
        return [
            FinishedRows(
                top=top,
                digital_numbers=self.digital_numbers[:, top:end],
                mask=self.mask[top:end],
                classes=self.classes[top:end],
                probability=self.probability[top:end],
            )
            for top, end in pairwise(edges)
        ]

    def summary(self) -> SceneSummary:
        clear, contaminated = (int(np.count_nonzero(self.mask == value)) for value in (0, 1))
        return SceneSummary(
            valid_pixels=clear + contaminated,
            no_data_pixels=self.mask.size - clear - contaminated,
            pixels_by_class={"clear": clear, "contaminated": contaminated},
            tiles=9,
            tiles_without_data=1,
            fusion="or",
            seconds=2.0,
            inference_seconds=0.5,
            stages={"accelerator": StageTiming(8, 0.94, 0.89, 1.38, 1.72, 0.21, 2.04)},
            experience=self.experience,
        )

    def product_set(
        self, out: Path, *chosen: str, overwrite: bool = True, names: NameStyle = "scene"
    ) -> ProductSet:
        return ProductSet(
            out,
            frozenset(chosen),
            self.metadata,
            self.context,
            overwrite=overwrite,
            names=names,
        )

    def publish(
        self,
        out: Path,
        *chosen: str,
        splits: Iterable[int] = (),
        overwrite: bool = True,
        names: NameStyle = "scene",
    ) -> PublishedProducts:
        with self.product_set(out, *chosen, overwrite=overwrite, names=names) as products:
            for rows in self.rows(splits):
                products.write(rows)
            return products.publish(self.summary())

    def with_mask(self, mask: NDArray[np.uint8]) -> Simulated:
        classes = np.where(mask == 1, 2, mask).astype(np.uint8)
        probability = np.where(mask == 1, 80, mask).astype(np.uint8)
        return replace(self, mask=mask, classes=classes, probability=probability)

    def with_metadata(self, **changes: object) -> Simulated:
        return replace(self, metadata=replace(self.metadata, **changes))


def simulated_scene(height: int, width: int, seed: int = 0) -> Simulated:
    random = np.random.default_rng(seed)
    shape = (height, width)
    mask = random.choice(np.array([0, 1, 255], np.uint8), shape, p=(0.6, 0.3, 0.1))
    numbers = random.integers(1001, 12_000, (len(BANDS), *shape), dtype=np.uint16)
    numbers[:, mask == 255] = 0
    classes = np.where(mask == 1, random.integers(1, 4, shape, dtype=np.uint8), mask)
    probability = np.where(mask == 255, mask, random.integers(0, 50, shape) + 50 * mask % 255)
    metadata = SceneMetadata(
        name="S2A_MSIL2A_20221005T115401_N0400_R023_T29UNU_20221005T164002",
        tile_id="T29UNU",
        level="L2A",
        baseline="04.00",
        bands=BANDS,
        offsets=dict(zip(BANDS, (-1000, -1000, -990, -1000), strict=True)),
        quantification=10_000.0,
        height=height,
        width=width,
        ground_sample_distance=10,
        georeference=Georeference("EPSG:32629", (10.0, 0.0, 499_980.0, 0.0, -10.0, 6_100_020.0)),
        sensed_at=datetime(2022, 10, 5, 11, 54, 1, tzinfo=timezone.utc),
        platform="Sentinel-2A",
        remarks=("cut for a test",),
    )
    context = ProductContext(
        tag="axelera",
        engine="dimc",
        device="simulator",
        precision="int8",
        model_id="dtacsnet-cd-1",
        classes=("clear", "thick cloud", "thin cloud", "cloud shadow"),
        fusion="or",
        software_version="1.2.3",
        created=datetime(2026, 11, 29, 12, tzinfo=timezone.utc),
    )
    planes = (plane.astype(np.uint8) for plane in (mask, classes, probability))
    return Simulated(metadata, context, numbers, *planes)


@pytest.fixture(scope="session")
def simulate() -> Callable[..., Simulated]:
    """``simulate(height, width, seed)``: a scene of noise with clear, contaminated and no data."""
    return simulated_scene


@pytest.fixture(scope="session")
def all_products() -> frozenset[str]:
    return ALL_PRODUCTS
