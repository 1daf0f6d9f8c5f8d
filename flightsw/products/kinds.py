"""Which products there are, and what each needs of the scene and the model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from flightsw.errors import UsageError

if TYPE_CHECKING:  # the command line's help names the kinds, and scenes load for 300 ms
    from flightsw.scene.scene import SceneMetadata


class ProductKind(NamedTuple):
    """A name for ``--products``, what it gives, and the bands it draws on."""

    name: str
    description: str
    bands: tuple[str, ...] = ()


PRODUCT_KINDS: Final = (
    ProductKind("mask", "cloud mask as a NumPy array: 0 clear, 1 contaminated, 255 no data"),
    ProductKind("geotiff", "cloud mask as a 1-bit CCITT G4 GeoTIFF, no data as internal mask"),
    ProductKind("classes", "class map as a GeoTIFF with colours; models of more than two classes"),
    ProductKind("fill", "B02, B03, B04 in reflectance, clouds filled", ("B02", "B03", "B04")),
    ProductKind("quicklook", "six panels in one JPEG", ("B02", "B03", "B04", "B08")),
    ProductKind("stac", "STAC item that describes the files"),
    ProductKind("report", "figures, settings and SHA-256 of each file as JSON"),
)

DEFAULT_PRODUCTS: Final = frozenset({"mask", "geotiff", "report"})


@dataclass(frozen=True)
class ProductContext:
    """What made the mask: goes into names, report and STAC item.

    ``tag`` names the engine in file names (``axelera``, ``trt``); ``classes``
    are the model's own, clear first.
    """

    tag: str
    engine: str
    device: str
    precision: str
    model_id: str
    classes: tuple[str, ...]
    fusion: str
    software_version: str


def draws_on_bands(chosen: Iterable[str]) -> bool:
    """Whether any of the products is made of more than the mask: of the bands themselves."""
    return any(kind.bands for kind in PRODUCT_KINDS if kind.name in chosen)


def check_products(chosen: Iterable[str], scene: SceneMetadata, context: ProductContext) -> None:
    """Raise :class:`UsageError` for a product that does not exist or cannot be made here."""
    kinds = {kind.name: kind for kind in PRODUCT_KINDS}
    wanted = set(chosen)
    if unknown := sorted(wanted - kinds.keys()):
        raise UsageError(
            ", ".join(unknown), "no such product", f"Choose from {', '.join(kinds)}", known=[*kinds]
        )
    if not wanted:
        raise UsageError("products", "none chosen", f"Choose from {', '.join(kinds)}")
    if "classes" in wanted and len(context.classes) <= 2:
        raise UsageError(
            "classes",
            f"model {context.model_id} only tells clear from contaminated",
            "Leave this product out, or use a model of more than two classes",
        )
    for name in sorted(wanted):
        if missing := [band for band in kinds[name].bands if band not in scene.bands]:
            raise UsageError(
                name, f"needs {', '.join(missing)}, which is not read", "Leave this product out"
            )
