"""Agreement, confusion and distances from the cloud edge, against a naive reference."""

from __future__ import annotations

from itertools import product
from math import ceil, hypot
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from flightsw.comparison.edge_distance import NEAR, EdgeDistances, edge_distances
from flightsw.comparison.figures import compare
from flightsw.errors import ProductError, UsageError

Mask = NDArray[np.uint8]


@st.composite
def _pairs(draw: st.DrawFn, largest: int = 14) -> tuple[Mask, Mask]:
    shape = draw(st.tuples(st.integers(1, largest), st.integers(1, largest)))
    values = st.sampled_from([0, 0, 0, 1, 1, 255])
    a, b = (draw(arrays(np.uint8, shape, elements=values)) for _ in range(2))
    return a, b


def _edge_pixels(mask: Mask) -> list[tuple[int, int]]:
    height, width = mask.shape
    found = []
    for y, x in product(range(height), range(width)):
        sides = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        near = [mask[j, i] for j, i in sides if 0 <= j < height and 0 <= i < width]
        if (mask[y, x] == 0 and 1 in near) or (mask[y, x] == 1 and 0 in near):
            found.append((y, x))
    return found


def _distances(a: Mask, b: Mask) -> list[float]:
    """Sorted distances of the disagreeing pixels, by trying every edge pixel of A."""
    edges = _edge_pixels(a)
    disagreeing = np.argwhere((a != b) & (a != 255) & (b != 255))
    return sorted(min((hypot(y - j, x - i) for j, i in edges)) for y, x in disagreeing)


def _assert_same(found: EdgeDistances | None, expected: list[float]) -> None:
    assert found is not None
    assert found.pixels == len(expected)
    assert found.maximum == pytest.approx(expected[-1])
    assert found.median == pytest.approx(expected[ceil(0.5 * len(expected)) - 1], abs=0.006)
    assert found.p95 == pytest.approx(expected[ceil(0.95 * len(expected)) - 1], abs=0.006)
    for near in NEAR:
        share = sum(distance <= near for distance in expected) / len(expected)
        assert found.within[near] == pytest.approx(share)


@given(_pairs())
def test_counts_are_those_of_every_pixel_looked_at(pair: tuple[Mask, Mask]) -> None:
    a, b = pair
    said = list(zip(a.ravel().tolist(), b.ravel().tolist(), strict=True))
    assume(any(255 not in both for both in said))
    found = compare(a, b)
    assert found.both_clear == said.count((0, 0))
    assert found.both_contaminated == said.count((1, 1))
    assert found.only_a == said.count((1, 0))
    assert found.only_b == said.count((0, 1))
    assert found.valid_only_in_a == said.count((0, 255)) + said.count((1, 255))
    assert found.valid_only_in_b == said.count((255, 0)) + said.count((255, 1))
    valid = [both for both in said if 255 not in both]
    assert found.agreement == pytest.approx(sum(one == other for one, other in valid) / len(valid))


@given(_pairs())
def test_exchanged_masks_exchange_what_is_not_symmetric(pair: tuple[Mask, Mask]) -> None:
    a, b = pair
    assume(((a != 255) & (b != 255)).any())
    there, back = compare(a, b), compare(b, a)
    assert there.agreement == back.agreement
    assert there.intersection_over_union == back.intersection_over_union
    assert (there.precision, there.recall) == (back.recall, back.precision)
    assert (there.only_a, there.only_b) == (back.only_b, back.only_a)
    assert there.valid_only_in_a == back.valid_only_in_b


@given(_pairs())
def test_a_mask_agrees_with_itself(pair: tuple[Mask, Mask]) -> None:
    mask, _ = pair
    assume((mask != 255).any())
    found = compare(mask, mask)
    assert found.agreement == 1.0
    assert found.disagreeing == 0
    assert found.distances is None
    expected = 1.0 if (mask == 1).any() else None
    assert found.precision == found.recall == found.f2 == expected
    assert found.intersection_over_union == expected


def test_f2_weighs_what_is_missed_more_than_what_is_too_much() -> None:
    a = np.array([[1, 1, 1, 1, 0, 0, 0, 0]], np.uint8)
    b = np.array([[1, 1, 1, 0, 1, 1, 0, 0]], np.uint8)
    found = compare(a, b)
    precision, recall = 3 / 5, 3 / 4
    assert found.precision == pytest.approx(precision)
    assert found.recall == pytest.approx(recall)
    assert found.f2 == pytest.approx(5 * precision * recall / (4 * precision + recall))
    assert found.intersection_over_union == pytest.approx(3 / 6)


@given(_pairs())
def test_distances_are_those_to_the_nearest_edge_pixel(pair: tuple[Mask, Mask]) -> None:
    a, b = pair
    assume(((a ^ b) == 1).any())
    found = compare(a, b).distances
    if _edge_pixels(a):
        _assert_same(found, _distances(a, b))
    else:
        assert found is None


@given(_pairs(largest=30), st.sampled_from([4, 8, 12]), st.integers(1, 5))
def test_blocks_of_rows_change_no_distance_within_reach(
    pair: tuple[Mask, Mask], block_rows: int, reach: int
) -> None:
    a, b = pair
    assume(((a ^ b) == 1).any())
    assume(_edge_pixels(a))
    expected = _distances(a, b)
    found = edge_distances(a, b, block_rows=block_rows, reach=reach)
    assert found is not None
    assert found.pixels == len(expected)
    for near in (near for near in NEAR if near <= reach):
        share = sum(distance <= near for distance in expected) / len(expected)
        assert found.within[near] == pytest.approx(share)
    if expected[-1] <= reach:
        _assert_same(found, expected)


@given(
    height=st.integers(20, 150),
    width=st.integers(20, 80),
    edge=st.tuples(st.integers(0, 149), st.integers(0, 79)),
    seed=st.integers(0, 99),
)
def test_distances_beyond_reach_are_given_within_five_pixels(
    height: int, width: int, edge: tuple[int, int], seed: int
) -> None:
    a = np.zeros((height, width), np.uint8)
    a[edge[0] % height, edge[1] % width] = 1
    b = np.zeros_like(a)
    y, x = np.random.default_rng(seed).integers(0, (height, width))
    b[y, x] = 1
    assume(a[y, x] == 0)
    b = b | a
    found = edge_distances(a, b, block_rows=8, reach=4)
    assert found is not None
    expected = _distances(a, b)[0]
    assert found.maximum == pytest.approx(expected, abs=1e-4 if expected <= 4 else 5)
    assert (found.maximum <= 4) == (expected <= 4)


def test_no_data_makes_no_edge() -> None:
    a = np.array([[0, 255, 1, 1, 1, 0]], np.uint8)
    b = np.array([[1, 255, 1, 1, 1, 0]], np.uint8)
    found = compare(a, b).distances
    assert found is not None
    assert found.maximum == 4.0


def test_a_reference_without_edge_gives_no_distances() -> None:
    found = compare(np.zeros((5, 5), np.uint8), np.eye(5, dtype=np.uint8))
    assert found.disagreeing == 5
    assert found.distances is None


def test_masks_of_different_size_are_refused_with_their_sizes() -> None:
    with pytest.raises(UsageError, match="A has 5 x 4 pixels, B 4 x 5"):
        compare(np.zeros((5, 4), np.uint8), np.zeros((4, 5), np.uint8))


def test_masks_without_a_common_valid_pixel_are_refused() -> None:
    a = np.array([[0, 255]], np.uint8)
    with pytest.raises(ProductError, match="no pixel that is valid in both"):
        compare(a, a[:, ::-1])


def test_the_record_has_every_figure() -> None:
    a: Any = np.array([[0, 0, 1, 1], [0, 0, 1, 255]], np.uint8)
    b: Any = np.array([[0, 0, 0, 1], [0, 0, 1, 1]], np.uint8)
    record = compare(a, b).as_record()
    assert record["agreement"] == pytest.approx(6 / 7)
    assert record["disagreeing"] == record["only_a"] == 1
    assert record["distances"]["within"] == {1: 1.0, 2: 1.0, 3: 1.0, 8: 1.0}
    assert record["valid_only_in_b"] == 1
