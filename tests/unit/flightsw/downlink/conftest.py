"""Real state, real files, and clocks that stand still until a test moves them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from flightsw.downlink.catalogue import NewProduct, ProductCatalogue
from flightsw.state import StateFile
from telecommands.dictionary import ProductKind, ProductRecord


class Board:
    """A catalogue, and the folder where its jobs leave their files."""

    def __init__(self, state: StateFile, folder: Path) -> None:
        self.state = state
        self.catalogue = ProductCatalogue(state)
        self.folder = folder
        self._jobs = 0

    def add(
        self, kind: ProductKind = "mask", *, clear: float = 0.5, size: int = 10, at: int = 0
    ) -> ProductRecord:
        """One product of a job of its own."""
        self._jobs += 1
        job = f"job-{self._jobs}"
        return self.catalogue.add(job, [self.file(job, kind, clear, size)], at)[0]

    def file(self, job: str, kind: ProductKind, clear: float = 0.5, size: int = 10) -> NewProduct:
        """A file of the job, not in the catalogue yet."""
        path = self.folder / job / f"{job}_{kind}.bin"
        path.parent.mkdir(exist_ok=True)
        content = (job.encode() + bytes(range(256))) * (size // 256 + 1)
        path.write_bytes(content[:size])
        return NewProduct(kind, path, size, hashlib.sha256(content[:size]).hexdigest(), clear)

    def path(self, product: str) -> Path:
        return self.catalogue.stored(product).path


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateFile]:
    with StateFile(tmp_path / "state") as state:
        yield state


@pytest.fixture
def board(state: StateFile, tmp_path: Path) -> Board:
    folder = tmp_path / "products"
    folder.mkdir()
    return Board(state, folder)
