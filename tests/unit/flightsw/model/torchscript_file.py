"""Real TorchScript files of small networks, as the published ones were made."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import nn

BANDS = ("B08", "B04", "B03", "B02")
CLASSES = ("clear", "thick cloud", "thin cloud", "cloud shadow")
RADIUS = 2
"""How far around a pixel :func:`small_network` looks."""


_CLEAR = 0.04  # so that half of a noisy scene is clear


def small_network(bands: int = 4, classes: int = 4) -> nn.Sequential:
    """Looks at 5 x 5 pixels, and treats each band in another way."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        answer = nn.Conv2d(8, classes, 3, padding=1)
        nn.init.zeros_(answer.bias)
        nn.init.constant_(answer.bias[:1], _CLEAR)
        return nn.Sequential(
            nn.Conv2d(bands, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), answer
        ).eval()


def write_torchscript(network: nn.Module, path: Path, bands: int = 4) -> Path:
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", r"`torch\.jit\.(trace|trace_method|save)` is deprecated", DeprecationWarning
        )
        traced = torch.jit.trace(network, torch.rand(1, bands, 32, 32))
        torch.jit.save(traced, str(path))
    return path
