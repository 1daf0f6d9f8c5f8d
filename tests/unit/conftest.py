"""A tiny network, simulated taught tiles, and the package that is compiled from them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from deploy.model.compile import Compilation, compile_package
from deploy.model.export import export
from tests.unit.deploy.model.simulated_taught import (
    BRIGHT,
    PROVENANCE,
    TILE,
    TinyNetwork,
    simulated_reflectance,
    write_taught_tiles,
)


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("taught")
    write_taught_tiles(folder, 256, ("training",))
    return write_taught_tiles(folder, 48, ("validation", "held_out"))


@pytest.fixture(scope="session")
def tiny_network() -> TinyNetwork:
    """Taught the simulated teacher's rule in a moment."""
    torch.manual_seed(3)
    torch.set_num_threads(1)  # more would only wait for each other
    network = TinyNetwork().train()
    tiles = torch.from_numpy(simulated_reflectance(seed=5))
    cloud = tiles[:, 0] > BRIGHT
    classes = torch.where(cloud, torch.where(tiles[:, 0] > 0.5, 1, 2), 0)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(120):
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(network(tiles), classes)
        loss.backward()
        optimiser.step()
    return network.eval()


@pytest.fixture(scope="session")
def float_graph(tiny_network: TinyNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "network.onnx"
    export(tiny_network, path, "contamination", TILE)
    return path


@pytest.fixture(scope="session")
def released(float_graph: Path, taught: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package as it was released; tests that change files take ``package_folder``."""
    out = tmp_path_factory.mktemp("released") / "tiny-1.0"
    compile_package(float_graph, out, taught, Compilation(PROVENANCE, windows=8))
    return out


@pytest.fixture
def package_folder(released: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(released, tmp_path / released.name))
