"""Which products make room for new ones."""

from __future__ import annotations

import pytest

from flightsw.downlink.storage import make_room
from flightsw.errors import DiskFull
from telecommands.dictionary import ProductState
from tests.unit.flightsw.downlink.conftest import Board

_LARGE = 10**9


def test_nothing_is_removed_if_there_is_room(board: Board) -> None:
    board.add(size=50)
    assert make_room(board.catalogue, 50, quota_bytes=100, disk_bytes=_LARGE) == ()


def test_delivered_products_go_first_the_oldest_delivery_before_the_others(board: Board) -> None:
    summary, image, mask = (board.add(kind, size=100) for kind in ("report", "fill", "geotiff"))
    board.catalogue.delivered(mask.product, mask.sha256, 20)
    board.catalogue.delivered(summary.product, summary.sha256, 10)
    removed = make_room(board.catalogue, 150, quota_bytes=300, disk_bytes=_LARGE)
    assert [one.product for one in removed] == [summary.product, mask.product]
    assert not board.path(mask.product).exists()
    assert board.path(image.product).exists()
    assert board.catalogue.stored(mask.product).record.state is ProductState.DELETED


def test_then_lowest_priority_last_class_cloudiest_and_oldest(board: Board) -> None:
    raised = board.add("fill", size=100)
    board.catalogue.prioritise(raised.product, 2)
    mask = board.add("geotiff", size=100)
    clear, cloudy_old, cloudy_new = (
        board.add("fill", clear=clear, size=100) for clear in (0.9, 0.1, 0.1)
    )
    removed = make_room(board.catalogue, 500, quota_bytes=500, disk_bytes=_LARGE)
    expected = [cloudy_old, cloudy_new, clear, mask, raised]
    assert [one.product for one in removed] == [one.product for one in expected]


def test_the_disk_asks_for_room_as_well_as_the_quota(board: Board) -> None:
    product = board.add(size=100).product
    removed = make_room(board.catalogue, 50, quota_bytes=_LARGE, disk_bytes=-40)
    assert [one.product for one in removed] == [product]


def test_a_product_under_transfer_goes_last(board: Board) -> None:
    first, second = (board.add(size=100).product for _ in range(2))
    options = {"quota_bytes": 200, "disk_bytes": _LARGE, "under_transfer": {first}}
    assert [one.product for one in make_room(board.catalogue, 100, **options)] == [second]
    assert [one.product for one in make_room(board.catalogue, 200, **options)] == [first]


def test_the_products_of_the_job_to_keep_stay(board: Board) -> None:
    kept, other = board.add(size=100), board.add(size=100)
    options = {"quota_bytes": 200, "disk_bytes": _LARGE, "keep_job": kept.job}
    with pytest.raises(DiskFull):
        make_room(board.catalogue, 101, **options)
    assert [one.product for one in make_room(board.catalogue, 100, **options)] == [other.product]


def test_nothing_is_removed_where_it_would_not_be_enough(board: Board) -> None:
    product = board.add(size=100).product
    with pytest.raises(DiskFull, match=r"storage\.quota_bytes") as full:
        make_room(board.catalogue, 301, quota_bytes=300, disk_bytes=_LARGE)
    assert full.value.fields == {"needed_bytes": 301, "free_bytes": 300}
    assert board.path(product).exists()
