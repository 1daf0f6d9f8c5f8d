"""The comparison of two mask files: figures, remarks and the map, as text and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flightsw.comparison.difference_map import check_map, write_map
from flightsw.comparison.figures import Comparison, compare
from flightsw.errors import UsageError
from flightsw.products.mask_file import MaskFile, open_mask


@dataclass(frozen=True)
class MaskSource:
    """Where a mask came from; ``scene`` and ``engine`` are None if unknown."""

    path: str
    scene: str | None
    engine: str | None


@dataclass(frozen=True)
class ComparedMasks:
    """The outcome; ``map`` is None unless a map was requested."""

    a: MaskSource
    b: MaskSource
    comparison: Comparison
    remarks: tuple[str, ...]
    map: Path | None

    def as_record(self) -> dict[str, Any]:
        """All of it, JSON-able."""
        return {
            "a": vars(self.a),
            "b": vars(self.b),
            **self.comparison.as_record(),
            "remarks": list(self.remarks),
            "map": str(self.map) if self.map else None,
        }

    def as_text(self) -> str:
        """A few aligned lines."""
        found = self.comparison
        only = (found.valid_only_in_a, found.valid_only_in_b)
        lines = [
            f"A  {self.a.path}  {self.a.engine or ''}".rstrip(),
            f"B  {self.b.path}  {self.b.engine or ''}".rstrip(),
            f"  agreement        {found.agreement:.4%} of {found.pixels:,} pixels valid in both",
            f"  precision of B   {_share(found.precision)}",
            f"  recall of B      {_share(found.recall)}",
            f"  F2, IoU          {_share(found.f2)}, {_share(found.intersection_over_union)}",
            "                          B clear  B contaminated",
            f"  A clear          {found.both_clear:14,}  {found.only_b:14,}",
            f"  A contaminated   {found.only_a:14,}  {found.both_contaminated:14,}",
            f"  valid in one     {only[0]:,} pixels in A alone, {only[1]:,} in B alone",
            *_distance_lines(found),
            *([f"  map              {self.map}"] if self.map else []),
            *(f"  note: {remark}" for remark in self.remarks),
        ]
        return "\n".join(lines)


def compare_files(a: Path, b: Path, difference_map: Path | None = None) -> ComparedMasks:
    """Compare two masks, each a file or a product folder, and write the map if it is named.

    Raises :class:`~flightsw.errors.UsageError` and
    :class:`~flightsw.errors.ProductError`.
    """
    if difference_map:
        check_map(difference_map)
    with open_mask(a) as mask_a, open_mask(b) as mask_b:
        if difference_map:
            _check_not_an_input(difference_map, mask_a, mask_b)
        comparison = compare(mask_a, mask_b)
        if difference_map:
            write_map(difference_map, mask_a, mask_b, mask_a.georeference)
        return ComparedMasks(
            a=_source(mask_a),
            b=_source(mask_b),
            comparison=comparison,
            remarks=tuple(_remarks(mask_a, mask_b, comparison)),
            map=difference_map,
        )


def _check_not_an_input(difference_map: Path, *masks: MaskFile) -> None:
    for mask in masks:
        if difference_map.exists() and difference_map.samefile(mask.path):
            raise UsageError(difference_map, "is one of the masks", "Give the map another name")


def _source(mask: MaskFile) -> MaskSource:
    return MaskSource(str(mask.path), mask.scene, mask.engine)


def _remarks(a: MaskFile, b: MaskFile, comparison: Comparison) -> list[str]:
    remarks = []
    if a.scene and b.scene and a.scene != b.scene:
        remarks.append(f"A is of the scene {a.scene}, B of {b.scene}")
    places = [mask.georeference.transform for mask in (a, b) if mask.georeference]
    if len(set(places)) > 1:
        remarks.append("A and B differ in their georeference")
    if comparison.disagreeing and comparison.distances is None:
        remarks.append("A has no cloud edge, so there are no distances from it")
    return remarks


def _distance_lines(found: Comparison) -> list[str]:
    if found.distances is None:
        return []
    distances = found.distances
    within = ", ".join(f"{near} px {share:.1%}" for near, share in distances.within.items())
    return [
        f"  {distances.pixels:,} disagreeing pixels, from the nearest cloud edge of A:",
        f"    median         {distances.median:.2f} px",
        f"    P95, max       {distances.p95:.2f} px, {distances.maximum:.2f} px",
        f"    within         {within}",
    ]


def _share(share: float | None) -> str:
    return "none" if share is None else f"{share:.4f}"
