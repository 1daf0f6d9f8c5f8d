"""Simulated tiles with a simulated teacher's answer, as ``deploy.model.label`` writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from deploy.model.compile import Provenance
from deploy.model.dataset import BANDS
from deploy.model.golden_tiles import golden_tiles
from flightsw.model.description import TrainingData

TILE = 32

BRIGHT = 0.3
"""Reflectance of B02 above which the simulated teacher sees cloud."""

PROVENANCE = Provenance("Tiny", "MIT", (TrainingData("simulated", "CC0-1.0", "none"),))


class TinyNetwork(nn.Module):
    """The kinds of layer of DTACSNet-CD, once each, bands in and four classes out."""

    def __init__(self, bands: int = len(BANDS)) -> None:
        super().__init__()
        self.stem = _layer(bands, 12, stride=2)
        self.depthwise = _layer(12, 12, groups=12)
        self.project = nn.Sequential(nn.Conv2d(12, 12, 1, bias=False), nn.BatchNorm2d(12))
        self.refine = _layer(12 + bands, 12)
        self.head = nn.Conv2d(12, 4, 3, padding=1)

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        stem = self.stem(tiles)
        below = stem + self.project(self.depthwise(stem))
        above = nn.functional.interpolate(below, scale_factor=2.0, mode="nearest")
        logits: torch.Tensor = self.head(self.refine(torch.cat((above, tiles), dim=1)))
        return logits


def simulated_reflectance(seed: int, bands: tuple[str, ...] = BANDS) -> NDArray[np.float32]:
    """Tiles of every kind, ``(n, bands, 32, 32)``."""
    tiles = np.stack(list(golden_tiles(TILE, bands, seed).values()))
    return (tiles.transpose(0, 3, 1, 2).astype(np.float32) + 128) * np.float32(0.004)


def _layer(channels: int, width: int, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, stride, 1, groups=groups, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU6(),
    )


def write_taught_tiles(
    folder: Path, side: int, parts: tuple[str, ...], order: tuple[str, ...] = BANDS
) -> Path:
    """Simulated tiles whose teacher calls everything bright a cloud."""
    folder.mkdir(exist_ok=True)
    number = len(list(folder.glob("*.npz")))
    for part in parts:
        for name, tile in golden_tiles(side, order, seed=len(part)).items():
            if "cloud" not in name and name != "coast":
                continue
            reflectance = (tile.transpose(2, 0, 1).astype(np.float32) + 128) * 0.004
            bands = reflectance.astype(np.float16)
            cloud = (bands[0].astype(np.float32) > BRIGHT).astype(np.float16)
            np.savez(
                folder / f"{number:04d}.npz",
                name=f"{part} {name}",
                region=f"{part}-{number}",
                part=part,
                ground_sample_distance=10,
                labelled=False,
                order=np.array(order),
                bands=bands,
                valid=np.ones((side, side), bool),
                probabilities=np.stack((1 - cloud, cloud, np.zeros_like(cloud))),
            )
            number += 1
    return folder
