"""What every worker of a run computes with, and the digest of what its answers depend on."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

import msgspec

from flightsw import __version__
from flightsw.config import Settings
from flightsw.errors import UsageError
from flightsw.model.package import load_package
from flightsw.products.kinds import PRODUCT_KINDS
from telecommands.dictionary import Decode
from telecommands.failure import UNDECODABLE

_MASK_CLASSES: Final = 2
_DIGEST: Final = 16  # characters

_ONLY_PACE: Final = {
    "": ("service", "model"),
    "dimc": ("double_buffer", "dma_buffers", "thread_priority", "threads"),
    "torch": ("threads",),
    "tensorrt": ("cache", "workspace_mb"),
    "pipeline": ("queue_depth", "decode_workers", "stall_seconds", "power_budget_w"),
}
"""Settings, by section, on which no product depends; a setting that is not here makes another
run.  The model has its own place in a record's key."""


class RunOrder(msgspec.Struct, frozen=True, kw_only=True):
    """The same for all scenes of a run; sent to the workers as JSON.

    ``model`` is the package's folder, which every worker must see, and ``model_id`` what must be in
    it.  ``out`` is the run's folder.  ``copies`` is the folder of the bands' lossless copies,
    ``compared_with`` that of another run.
    ``retry_failed``: a scene whose failure is recorded is computed again.
    """

    software_version: str
    model: Path
    model_id: str
    settings: Settings
    products: tuple[str, ...]
    ground_sample_distance: int
    out: Path
    copies: Path | None = None
    compared_with: Path | None = None
    retry_failed: bool = False

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of the version and of everything that the products depend on."""
        return _digest(self.software_version, self.settings, self.products, self.request)

    @property
    def request(self) -> tuple[Any, ...]:
        """What the settings do not hold."""
        return (self.ground_sample_distance,)


def make_order(
    settings: Settings,
    out: Path,
    products: tuple[str, ...],
    ground_sample_distance: int | None = None,
    *,
    copies: Path | None = None,
    compared_with: Path | None = None,
    retry_failed: bool = False,
) -> RunOrder:
    """The order for a folder of archives, ``out``: each model and each digest has its own folder.

    Raises :class:`UsageError` for products that cannot be made, for copies of a fast decode, and
    what :func:`~flightsw.model.package.load_package` raises.
    """
    # Masks of one run are of one engine: a worker whose engine fails is given up instead.
    settings = msgspec.structs.replace(settings, engines=settings.engines[:1])
    package = load_package(settings.model)
    _check(products, package.classes, package.model_id)
    if copies and settings.pipeline.decode != "exact":
        cause = "cannot be made of a fast decode, whose bands are not those of the files"
        raise UsageError("the copies", cause, "Decode exactly, or omit them")
    distance = ground_sample_distance or settings.scene.ground_sample_distance
    chosen = tuple(sorted(products))
    digest = _digest(__version__, settings, chosen, (distance,))
    return RunOrder(
        software_version=__version__,
        model=package.folder.resolve(),
        model_id=package.model_id,
        settings=settings,
        products=chosen,
        ground_sample_distance=distance,
        out=out.resolve() / f"{package.model_id}_{digest}",
        copies=copies.resolve() if copies else None,
        compared_with=compared_with.resolve() if compared_with else None,
        retry_failed=retry_failed,
    )


def with_decode(settings: Settings, decode: Decode | None) -> Settings:
    """The settings with another decode, if one is given."""
    if decode is None:
        return settings
    pipeline = msgspec.structs.replace(settings.pipeline, decode=decode)
    return msgspec.structs.replace(settings, pipeline=pipeline)


def encode_order(order: RunOrder) -> bytes:
    """The order as JSON."""
    return msgspec.json.encode(order, enc_hook=str)


def decode_order(content: bytes) -> RunOrder:
    """The order that :func:`encode_order` encoded; :class:`UsageError` for another version's."""
    try:
        return msgspec.json.decode(content, type=RunOrder, dec_hook=lambda kind, value: kind(value))
    except UNDECODABLE as error:
        cause = f"runs flightsw {__version__}, which cannot read the driver's order ({error})"
        raise UsageError("the worker", cause, "Install one version on all machines") from error


def _check(products: tuple[str, ...], classes: tuple[str, ...], model_id: str) -> None:
    known = [kind.name for kind in PRODUCT_KINDS]
    if not products:
        raise UsageError("the list of products", "is empty", f"Choose from {', '.join(known)}")
    for product in products:
        if product not in known:
            raise UsageError(product, "is not a product", f"Choose from {', '.join(known)}")
    if "classes" in products and len(classes) <= _MASK_CLASSES:
        cause = f"cannot be made: model {model_id} only distinguishes clear and contaminated"
        raise UsageError("classes", cause, "Omit this product")


def _digest(version: str, settings: Settings, products: tuple[str, ...], request: Any) -> str:
    plain = msgspec.to_builtins(settings, enc_hook=str)
    for section, names in _ONLY_PACE.items():
        for name in names:
            del (plain[section] if section else plain)[name]
    content = msgspec.json.encode([version, plain, products, request], order="sorted")
    return hashlib.sha256(content).hexdigest()[:_DIGEST]
