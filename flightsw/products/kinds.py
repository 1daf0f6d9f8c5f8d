"""The kinds of product, and what each needs of the scene and the model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from flightsw.errors import UsageError
from flightsw.host.location import Location

if TYPE_CHECKING:  # the command line's help names the kinds, and scenes load for 300 ms
    from flightsw.scene.scene import SceneMetadata


class ProductKind(NamedTuple):
    """The name for ``--products``, a description, and the bands that the product is made of.

    ``holds_bands``: the bands themselves are in it, so they have to be exact.
    """

    name: str
    description: str
    bands: tuple[str, ...] = ()
    holds_bands: bool = False


PRODUCT_KINDS: Final = (
    ProductKind("mask", "cloud mask as a NumPy array (0 clear, 1 contaminated, 255 no data)"),
    ProductKind("geotiff", "cloud mask as a 1-bit CCITT G4 GeoTIFF, no data as internal mask"),
    ProductKind("cog", "cloud mask as a coloured 8-bit GeoTIFF with overviews, for GIS programs"),
    ProductKind("classes", "class map as a coloured GeoTIFF, for models of more than two classes"),
    ProductKind("probability", "cloud probability as a GeoTIFF (0 to 100 per cent, 255 no data)"),
    ProductKind("fill", "B02, B03, B04 in reflectance, clouds filled", ("B02", "B03", "B04"), True),
    ProductKind("quicklook", "six panels in one JPEG", ("B02", "B03", "B04", "B08")),
    ProductKind("stac", "STAC item that describes the files"),
    ProductKind("report", "figures, settings and SHA-256 of each file as JSON"),
)

DEFAULT_PRODUCTS: Final = frozenset({"mask", "cog", "report"})
"""For use on the ground; PROCESS_SCENE has its own default."""


@dataclass(frozen=True)
class ProductContext:
    """What made the mask; recorded in file names, report and STAC item.

    ``tag`` names the engine in file names (``axelera``, ``trt``); ``classes``
    are the model's, clear first.  ``threshold_percent`` None: the larger logit decides.
    ``created`` is the time of processing; ``source`` the path or address of the scene, None if it
    is in memory.  ``unit`` is the name of the unit that processed it, if it has one.
    """

    tag: str
    engine: str
    device: str
    precision: str
    model_id: str
    classes: tuple[str, ...]
    fusion: str
    software_version: str
    threshold_percent: int | None = None
    buffer_m: float = 0.0
    created: datetime | None = None
    source: Location | None = None
    unit: str | None = None


def draws_on_bands(chosen: Iterable[str]) -> bool:
    """Whether any of the products is made of the scene's bands, not of the mask alone."""
    return any(kind.bands for kind in PRODUCT_KINDS if kind.name in chosen)


def holding_bands(chosen: Iterable[str]) -> list[str]:
    """The products of which the scene's bands are a part."""
    return [kind.name for kind in PRODUCT_KINDS if kind.holds_bands and kind.name in chosen]


def check_products(chosen: Iterable[str], scene: SceneMetadata, context: ProductContext) -> None:
    """Raise :class:`UsageError` for a product that does not exist or cannot be made here."""
    kinds = {kind.name: kind for kind in PRODUCT_KINDS}
    wanted = set(chosen)
    if unknown := sorted(wanted - kinds.keys()):
        cause = "is not a product" if len(unknown) == 1 else "are not products"
        raise UsageError(
            ", ".join(unknown), cause, f"Choose from {', '.join(kinds)}", known=[*kinds]
        )
    if not wanted:
        raise UsageError("the list of products", "is empty", f"Choose from {', '.join(kinds)}")
    if "classes" in wanted and len(context.classes) <= 2:
        raise UsageError(
            "classes",
            f"cannot be made: model {context.model_id} only distinguishes clear and contaminated",
            "Omit this product, or use a model with more than two classes",
        )
    if "stac" in wanted and scene.sensed_at is None:
        raise UsageError(
            "stac",
            f"cannot be made because the time of {scene.name} is unknown",
            "Omit this product, or put the time in the file's name, as in a_20221005T115411.tif",
        )
    for name in sorted(wanted):
        if missing := [band for band in kinds[name].bands if band not in scene.bands]:
            cause = f"cannot be made: model {context.model_id} does not see {', '.join(missing)}"
            cure = f"Omit this product, or use a model with {', '.join(kinds[name].bands)}"
            raise UsageError(name, cause, cure)
