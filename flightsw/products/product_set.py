"""The products of one scene, written while it streams."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import quote

from typing_extensions import Self

from flightsw.config import NameStyle
from flightsw.errors import EmptyScene, OutputNotWritable
from flightsw.host.disk import check_space, disk_errors, sha256, sync
from flightsw.host.location import Location, shown
from flightsw.products.array_file import MaskArray
from flightsw.products.cloud_fill import CloudFill
from flightsw.products.cog import MaskCog, ProbabilityCog
from flightsw.products.contents import FinishedRows, SceneSummary
from flightsw.products.footprint import ValidOutline
from flightsw.products.geotiff import ClassGeotiff, MaskGeotiff
from flightsw.products.kinds import ProductContext, check_products
from flightsw.products.names import ProductNames, file_name_of
from flightsw.products.partial_folder import PartialFolder, remove_stale
from flightsw.products.quicklook import QuickLook
from flightsw.products.report import FileRecord, SceneReport, encode_report, make_report
from flightsw.products.size import bytes_needed
from flightsw.products.stac import encode_item
from flightsw.scene.scene import SceneMetadata

_HASH_THREADS: Final = 4
_STAC: Final = "stac.json"
_REPORT: Final = "report.json"


class Product(Protocol):
    """One kind of product, while it is written in the partial folder."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The ends of its file names, which are the names in the partial folder."""
        ...

    def write(self, rows: FinishedRows) -> None:
        """Take the next rows."""
        ...

    def finish(self, summary: SceneSummary) -> tuple[str, ...]:
        """Complete the files; return remarks."""
        ...

    def close(self) -> None:
        """Close what is open, finished or not."""
        ...


_MAKERS: Final[Mapping[str, Callable[[Path, SceneMetadata, ProductContext], Product]]] = {
    "mask": lambda folder, scene, _: MaskArray(folder, scene),
    "geotiff": MaskGeotiff,
    "cog": MaskCog,
    "classes": ClassGeotiff,
    "probability": ProbabilityCog,
    "fill": lambda folder, scene, _: CloudFill(folder, scene),
    "quicklook": QuickLook,
}
"""All but STAC item and report, which are written last: they describe the others."""


@dataclass(frozen=True)
class PublishedProducts:
    """What the output folder holds now; ``files`` includes the report if it was chosen."""

    folder: Path
    files: tuple[FileRecord, ...]
    report: SceneReport

    def paths(self, product: str) -> tuple[Path, ...]:
        """The files of one product kind."""
        return tuple(self.folder / file.name for file in self.files if file.product == product)


class ProductSet:
    """A row sink that publishes the chosen products of one scene, all of them or none.

    Raises :class:`~flightsw.errors.UsageError` when built for products that do
    not exist or cannot be made from this scene and model;
    :class:`~flightsw.errors.OutputNotWritable` and
    :class:`~flightsw.errors.DiskFull` when entered, and at any time later.
    Without ``overwrite``, products that ``out`` already holds are an error.
    With it they are replaced, those of an earlier percentage too.
    Leaving the context without :meth:`publish` leaves ``out`` as it was.
    """

    def __init__(
        self,
        out: Path,
        chosen: frozenset[str],
        scene: SceneMetadata,
        context: ProductContext,
        *,
        overwrite: bool = False,
        names: NameStyle = "scene",
    ) -> None:
        check_products(chosen, scene, context)
        self._out = out
        self._chosen = chosen
        self._scene = scene
        self._context = context
        self._overwrite = overwrite
        self._names = ProductNames(scene, context.model_id, context.tag, names)
        self.bytes_needed = bytes_needed(chosen, scene)
        self._next_row = 0
        self._products: dict[str, Product] = {}
        self._valid = ValidOutline(scene.height) if "stac" in chosen else None
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as undo, disk_errors(self._out, self.bytes_needed):
            if _make_folder(self._out):
                undo.callback(_remove_if_empty, self._out)
            remove_stale(self._out)
            check_space(self._out, self.bytes_needed)
            self._folder = PartialFolder(self._out, file_name_of(self._scene.name))
            undo.callback(self._folder.remove)
            for kind in sorted(self._chosen):
                if kind in _MAKERS:
                    product = _MAKERS[kind](self._folder.path, self._scene, self._context)
                    self._products[kind] = product
                    undo.callback(product.close)
            if not self._overwrite:
                self._names.refuse(self._out, self._names.earlier(self._out, self._suffixes()))
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def write(self, rows: FinishedRows) -> None:
        """Add rows to every product; :class:`ValueError` unless they follow the previous rows."""
        if rows.top != self._next_row or rows.top + len(rows.mask) > self._scene.height:
            raise ValueError(
                f"rows {rows.top} to {rows.top + len(rows.mask)} of {self._scene.height} came"
                f" when row {self._next_row} was due"
            )
        with disk_errors(self._out, self.bytes_needed):
            for product in self._products.values():
                product.write(rows)
        if self._valid:
            self._valid.write(rows)
        self._next_row += len(rows.mask)

    def publish(self, summary: SceneSummary) -> PublishedProducts:
        """Complete the files and publish them, the report last.

        Raises :class:`~flightsw.errors.EmptyScene` without a valid pixel and
        :class:`ValueError` if rows are missing.
        """
        if self._next_row != self._scene.height:
            raise ValueError(f"{self._next_row} of {self._scene.height} rows came")
        if not summary.valid_pixels:
            raise EmptyScene(self._scene.name, "has no valid pixel, so there is nothing to mask")
        with disk_errors(self._out, self.bytes_needed):
            return self._publish(summary)

    def _publish(self, summary: SceneSummary) -> PublishedProducts:
        prefix = self._names.prefix(summary.contaminated_share)
        notes = self._finish(summary)
        files = self._records(prefix)
        if self._valid:
            item = encode_item(
                prefix,
                self._scene,
                self._context,
                summary,
                files,
                valid=self._valid.hull(),
                source=_relative_reference(self._context.source, self._out),
            )
            files.append(self._add_document("stac", prefix, _STAC, item))
        report = make_report(self._scene, self._context, summary, files, notes)
        if "report" in self._chosen:
            files.append(self._add_document("report", prefix, _REPORT, encode_report(report)))
        earlier = self._names.earlier(self._out, self._suffixes())
        if not self._overwrite:
            taken = [file.name for file in files if (self._out / file.name).exists()]
            self._names.refuse(self._out, taken or earlier)
        self._folder.publish(
            [(file.name.removeprefix(f"{prefix}_"), file.name) for file in files],
            last=f"{prefix}_{_REPORT}",
            removed=set(earlier).difference(file.name for file in files),
        )
        return PublishedProducts(self._out, tuple(files), report)

    def _suffixes(self) -> list[str]:
        """The ends of the names of all chosen products."""
        made = [suffix for product in self._products.values() for suffix in product.suffixes]
        documents = {"stac": _STAC, "report": _REPORT}
        return made + [suffix for kind, suffix in documents.items() if kind in self._chosen]

    def _finish(self, summary: SceneSummary) -> list[str]:
        notes: list[str] = []
        for product in self._products.values():
            notes += product.finish(summary)
        if self._scene.georeference is None:
            notes.append("the scene has no georeference, so no product has coordinates")
        return notes

    def _records(self, prefix: str) -> list[FileRecord]:
        made = self._products.items()
        names = [(kind, suffix) for kind, product in made for suffix in product.suffixes]
        paths = [self._folder.path / suffix for _, suffix in names]
        with ThreadPoolExecutor(_HASH_THREADS, "sha256") as threads:
            hashes = list(threads.map(sha256, paths))
        return [
            FileRecord(kind, f"{prefix}_{suffix}", path.stat().st_size, found)
            for (kind, suffix), path, found in zip(names, paths, hashes, strict=True)
        ]

    def _add_document(self, kind: str, prefix: str, suffix: str, text: bytes) -> FileRecord:
        (self._folder.path / suffix).write_bytes(text)
        found = hashlib.sha256(text).hexdigest()
        return FileRecord(kind, f"{prefix}_{suffix}", len(text), found)


def _make_folder(out: Path) -> bool:
    """Make the output folder if it is absent; return whether it was."""
    if out.is_dir():
        return False
    if out.exists():
        raise OutputNotWritable(out, "is not a folder", "Give the path of a folder")
    if not out.parent.is_dir():
        cause = f"cannot be made because {out.parent} is not a folder"
        raise OutputNotWritable(out, cause, "Give a folder that exists")
    out.mkdir()
    sync(out.parent)  # else a power cut may take the folder with all that is in it
    return True


def _remove_if_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        folder.rmdir()


def _relative_reference(source: Location | None, folder: Path) -> str | None:
    """The path as a reference from a file in the folder, as URI; an address without its secrets."""
    if source is None:
        return None
    if isinstance(source, str):
        return shown(source)
    return quote(os.path.relpath(source.resolve(), folder.resolve()))
