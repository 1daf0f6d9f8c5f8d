"""``python -m deploy.model.paired TAUGHT FIRST SECOND``: two networks on the same tiles.

FIRST and SECOND are packages or exported ``.onnx`` files, of any bands that the tiles have.
Each figure is given for both, with the difference SECOND less FIRST; the intervals are over
draws of the tiles, the same for both, so that a difference is judged tile by tile.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from deploy.model.card import Interval
from deploy.model.command import one_line_errors, write_json
from deploy.model.crops import BRIGHT_BLUE
from deploy.model.dataset import BANDS, TAUGHT_CLASSES
from deploy.model.kept_out import AnsweredTile, answered_tiles, difference, interval
from deploy.model.label import TaughtTile, read_taught_tiles
from deploy.model.networks import Network, open_network
from deploy.model.scores import Confusion
from deploy.model.surfaces import SURFACES, is_called_cloud_free, surfaces_of
from flightsw.errors import UsageError

_CLOUD, _SHADOW = map(TAUGHT_CLASSES.index, ("cloud", "shadow"))
_ALSO_TAUGHT: Final = ("snow", "bright ground")
"""Surfaces that are too rare among what was kept out; taught tiles are counted apart."""
_FINEST: Final = 10

Pixels = NDArray[np.bool_]
Figure = Callable[[Confusion], float | None]


class PairedRow(msgspec.Struct, frozen=True):
    """One figure of two networks over the same pixels of the same tiles."""

    figure: str
    tiles_were: str
    tiles: int
    pixels: int
    first: Interval
    second: Interval
    difference: Interval


def paired_rows(tiles: Sequence[TaughtTile], first: Network, second: Network) -> list[PairedRow]:
    """Against the teacher by scale, then what both keep clear of cloud-free tiles by surface.

    Raises :class:`UsageError` if no tile was kept out.
    """
    judged = [tile for tile in tiles if tile.part == "held_out" or _adds_a_surface(tile)]
    if not any(tile.part == "held_out" for tile in judged):
        raise UsageError("the taught tiles", "have none that was kept out", "Label such regions")
    answered = answered_tiles(judged, {"first": first, "second": second})
    return [*_against_the_teacher(answered), *_kept_clear(answered)]


def _against_the_teacher(answered: Sequence[AnsweredTile]) -> Iterator[PairedRow]:
    kept_out = [one for one in answered if one.tile.part == "held_out" and not one.tile.labelled]
    figures: Mapping[str, tuple[Figure, Callable[[TaughtTile], Pixels]]] = {
        "F2": (lambda count: count.f2, lambda tile: tile.valid),
        "pixels that agree": (lambda count: count.agreement, lambda tile: tile.valid),
        "thin cloud found": (lambda count: count.recall, _thin_cloud),
        "thick cloud found": (lambda count: count.recall, _thick_cloud),
        "shadow found": (lambda count: count.recall, lambda tile: _is(tile, _SHADOW)),
        "clear kept": (_clear_kept, lambda tile: _is(tile, 0)),
    }
    for metres in sorted({one.tile.ground_sample_distance for one in kept_out}):
        group = [one for one in kept_out if one.tile.ground_sample_distance == metres]
        for name, (figure, pixels) in figures.items():
            places = [pixels(one.tile) for one in group]
            yield from _row(f"{name}, {metres} m", "held_out", group, places, figure)


def _kept_clear(answered: Sequence[AnsweredTile]) -> Iterator[PairedRow]:
    free = [one for one in answered if _is_cloud_free(one.tile)]
    for index, surface in enumerate(SURFACES):
        for part in ("held_out", "training"):
            if part == "training" and surface not in _ALSO_TAUGHT:
                continue
            group = [one for one in free if one.tile.part == part]
            places = [surfaces_of(one.tile) == index for one in group]
            yield from _row(f"{surface} kept clear", part, group, places, _clear_kept, free=True)


def _row(
    name: str,
    part: str,
    group: Sequence[AnsweredTile],
    places: Sequence[Pixels],
    figure: Figure,
    *,
    free: bool = False,
) -> Iterator[PairedRow]:
    """One row over the tiles that have such pixels, or none; ``free``: all of them are clear."""
    kept = [(one, place) for one, place in zip(group, places, strict=True) if place.any()]
    if not kept:
        return
    first, second = (
        [one.counts(network, place, clear=free) for one, place in kept]
        for network in ("first", "second")
    )
    yield PairedRow(
        figure=name,
        tiles_were=part,
        tiles=len(kept),
        pixels=sum(count.pixels for count in first),
        first=interval(first, figure),
        second=interval(second, figure),
        difference=difference(first, second, figure),
    )


def _adds_a_surface(tile: TaughtTile) -> bool:
    if tile.part != "training" or not _is_cloud_free(tile):
        return False
    return bool(np.isin(surfaces_of(tile), list(map(SURFACES.index, _ALSO_TAUGHT))).any())


def _is_cloud_free(tile: TaughtTile) -> bool:
    if tile.ground_sample_distance != _FINEST:
        return False
    return is_called_cloud_free(tile.name) or (tile.labelled and not tile.contaminated.any())


def _is(tile: TaughtTile, kind: int) -> Pixels:
    return np.asarray((tile.probabilities.argmax(axis=0) == kind) & tile.valid)


def _thin_cloud(tile: TaughtTile) -> Pixels:
    return np.asarray(_is(tile, _CLOUD) & (tile.of(("B02",))[0] < BRIGHT_BLUE))


def _thick_cloud(tile: TaughtTile) -> Pixels:
    return _is(tile, _CLOUD) & ~_thin_cloud(tile)


def _clear_kept(count: Confusion) -> float | None:
    clear = count.both_clear + count.only_b
    return count.both_clear / clear if clear else None


def as_markdown(rows: Sequence[PairedRow], names: tuple[str, str]) -> str:
    """A table; shares in per cent, F2 from 0 to 1, intervals in brackets."""
    lines = [
        f"| figure | tiles were | tiles | pixels | {names[0]} | {names[1]} | difference |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        shown = _plain if row.figure.startswith("F2") else _per_cent
        cells = (row.figure, row.tiles_were, str(row.tiles), f"{row.pixels:,}")
        figures = (shown(row.first, ""), shown(row.second, ""), shown(row.difference, "+"))
        lines.append(f"| {' | '.join((*cells, *figures))} |")
    return "\n".join(lines)


def _plain(one: Interval, sign: str) -> str:
    return f"{one.value:{sign}.3f} ({one.low:{sign}.3f} to {one.high:{sign}.3f})"


def _per_cent(one: Interval, sign: str) -> str:
    value, low, high = (100 * figure for figure in (one.value, one.low, one.high))
    return f"{value:{sign}.2f} % ({low:{sign}.1f} to {high:{sign}.1f})"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("taught", type=Path, help="folder that label wrote")
    parser.add_argument("first", type=Path, help="package or .onnx file")
    parser.add_argument("second", type=Path, help="package or .onnx file")
    parser.add_argument("--bands", default=",".join(BANDS), help="channels of an .onnx file")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    arguments = parser.parse_args()
    bands = tuple(arguments.bands.split(","))
    tiles = read_taught_tiles(arguments.taught)
    paths = (arguments.first, arguments.second)
    rows = paired_rows(tiles, *(open_network(path, bands) for path in paths))
    if arguments.json:
        write_json(arguments.json, rows)
    print(as_markdown(rows, (arguments.first.name, arguments.second.name)))


if __name__ == "__main__":
    with one_line_errors("paired"):
        main()
