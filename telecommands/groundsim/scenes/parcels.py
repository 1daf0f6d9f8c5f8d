"""Man-made patterns of the land: blocks between roads and the parcels in them.

Each value is a function of the pixel's position and a seed, through an integer hash,
so that each window can be rendered alone and neighbours agree at their border.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from telecommands.groundsim.scenes.fractal import Field, Window

_BLOCK: Final = 380  # mean spacing of blocks in pixels: 3.8 km
Hashes = NDArray[np.uint32]


@dataclass(frozen=True)
class Blocks:
    """Irregular cells between roads: ``name`` a hash per pixel, ``edge`` pixels to the border."""

    name: Hashes
    edge: Field


@dataclass(frozen=True)
class Parcels:
    """Fields in the blocks: ``name`` a hash, ``edge`` pixels to the border, ``along`` 0..1."""

    name: Hashes
    edge: Field
    along: Field


def hash_of(*parts: NDArray[np.integer] | int) -> Hashes:
    """One well-mixed uint32 of several integers (the 32-bit finaliser of MurmurHash3)."""
    value: Hashes = np.zeros(1, dtype=np.uint32)
    for part in parts:
        value = (value * np.uint32(31)) ^ (np.asarray(part).astype(np.int64).astype(np.uint32))
        value = (value ^ (value >> np.uint32(16))) * np.uint32(0x85EBCA6B)
        value = (value ^ (value >> np.uint32(13))) * np.uint32(0xC2B2AE35)
        value ^= value >> np.uint32(16)
    return value


def unit(hashes: Hashes, draw: int = 0) -> Field:
    """Independent uniform numbers in [0, 1) for each hash; ``draw`` selects the series."""
    value = (hashes ^ np.uint32(draw * 0x9E3779B9 & 0xFFFFFFFF)) * np.uint32(0x2C1B3C6D)
    value ^= value >> np.uint32(15)
    value *= np.uint32(0x297A2D39)
    return (value >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)


def blocks(seed: int, x: Field, y: Field) -> Blocks:
    """Cells nearest to the points of a jittered lattice, at coordinates in pixels."""
    column = np.floor(x / _BLOCK).astype(np.int32)
    row = np.floor(y / _BLOCK).astype(np.int32)
    left, top = int(column.min()) - 1, int(row.min()) - 1
    lattice = hash_of(
        seed,
        np.arange(top, int(row.max()) + 2)[:, None],
        np.arange(left, int(column.max()) + 2)[None, :],
    )
    point_x = ((np.arange(lattice.shape[1]) + left)[None, :] + unit(lattice, 1)) * _BLOCK
    point_y = ((np.arange(lattice.shape[0]) + top)[:, None] + unit(lattice, 2)) * _BLOCK
    point_x, point_y = point_x.astype(np.float32), point_y.astype(np.float32)
    nearest = np.full(x.shape, np.inf, dtype=np.float32)
    second = nearest.copy()
    name = np.zeros(x.shape, dtype=np.uint32)
    cell = (row - top) * lattice.shape[1] + (column - left)
    for down in (-1, 0, 1):
        for across in (-1, 0, 1):
            index = cell + (down * lattice.shape[1] + across)
            squared = (point_x.take(index) - x) ** 2 + (point_y.take(index) - y) ** 2
            closer = squared < nearest
            second = np.minimum(second, np.where(closer, nearest, squared))
            nearest = np.where(closer, squared, nearest)
            name = np.where(closer, lattice.take(index), name)
    return Blocks(name, np.asarray((np.sqrt(second) - np.sqrt(nearest)) / 2, dtype=np.float32))


def parcels(within: Blocks, x: Field, y: Field) -> Parcels:
    """Rows of rectangular fields, 120 to 600 m wide; the block sets direction and size."""
    turn = unit(within.name, 3) * np.float32(np.pi)
    width = 10 + 36 * unit(within.name, 4) ** 2
    length = width * (1 + 2.5 * unit(within.name, 5))
    cosine, sine = np.cos(turn), np.sin(turn)
    across = (x * cosine + y * sine) / width
    along = (y * cosine - x * sine) / length
    column = np.floor(across)
    along = along + unit(hash_of(within.name, column), 6)
    row = np.floor(along)
    edge = np.minimum(
        (0.5 - np.abs(across - column - 0.5)) * width, (0.5 - np.abs(along - row - 0.5)) * length
    )
    return Parcels(hash_of(within.name, column, row), edge.astype(np.float32), across - column)


def coordinates(window: Window, warp_x: Field, warp_y: Field) -> tuple[Field, Field]:
    """Pixel coordinates with a small warp, so that borders are not straight."""
    x = window.columns.astype(np.float32)[None, :] + warp_x
    y = window.rows.astype(np.float32)[:, None] + warp_y
    return x, y
