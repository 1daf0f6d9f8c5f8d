"""The product queue: whose turn it is, and what its states allow."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flightsw.downlink.catalogue import CLASS_OF, ProductCatalogue
from flightsw.errors import OutputNotWritable
from flightsw.state import StateFile
from telecommands.dictionary import (
    Code,
    DownlinkClass,
    Identifier,
    ListProducts,
    ProductCounts,
    ProductKind,
    ProductState,
)
from telecommands.refusal import Refusal
from tests.unit.flightsw.downlink.conftest import Board


def _order(catalogue: ProductCatalogue) -> list[str]:
    taken: list[str] = []
    while stored := catalogue.next(taken):
        taken.append(stored.record.product)
    return taken


def test_every_kind_has_a_class() -> None:
    assert set(CLASS_OF) == set(get_args(ProductKind))


def test_ids_are_identifiers_and_differ_within_a_job(board: Board) -> None:
    files = [board.file("job-1-20231114T221320Z", "fill") for _ in range(3)]
    records = board.catalogue.add("job-1-20231114T221320Z", files, 0)
    ids = [msgspec.convert(record.product, Identifier) for record in records]
    assert len(set(ids)) == 3


def test_summaries_go_before_masks_before_imagery(board: Board) -> None:
    expected = [board.add(kind).product for kind in ("mask", "geotiff", "report")][::-1]
    assert _order(board.catalogue) == expected


def test_within_a_class_the_clearest_goes_first_then_the_oldest(board: Board) -> None:
    cloudy, old, new, clearest = (board.add(clear=clear).product for clear in (0.1, 0.5, 0.5, 0.9))
    assert _order(board.catalogue) == [clearest, old, new, cloudy]


def test_priority_goes_before_class(board: Board) -> None:
    image, summary = board.add("fill", clear=0).product, board.add("report").product
    board.catalogue.prioritise(image, 1)
    assert _order(board.catalogue) == [image, summary]


@settings(max_examples=20)
@given(
    products=st.lists(
        st.tuples(
            st.sampled_from(list(CLASS_OF)),
            st.sampled_from((0.0, 0.5, 1.0)),
            st.integers(0, 2),
            st.sampled_from(list(ProductState)),
        ),
        max_size=8,
    )
)
def test_the_order_of_downlink_is_that_of_the_listing_and_of_the_rule(
    products: list[tuple[ProductKind, float, int, ProductState]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("board")
    with StateFile(folder / "state") as state:
        board = Board(state, folder)
        ranks = {}
        for number, (kind, clear, priority, end) in enumerate(products):
            record = board.add(kind, clear=clear)
            board.catalogue.prioritise(record.product, priority)
            _bring_to(board.catalogue, record.product, record.sha256, end)
            if end is ProductState.QUEUED:
                order = list(DownlinkClass).index(CLASS_OF[kind])
                ranks[record.product] = (-priority, order, -clear, number)
        expected = sorted(ranks, key=ranks.__getitem__)
        listed = board.catalogue.list(ListProducts(states=(ProductState.QUEUED,)))
        assert _order(board.catalogue) == expected
        assert [record.product for record in listed.products] == expected


def _bring_to(catalogue: ProductCatalogue, product: str, sha256: str, end: ProductState) -> None:
    if end is ProductState.HELD:
        catalogue.hold(product)
    elif end is ProductState.DELIVERED:
        catalogue.delivered(product, sha256, 1)
    elif end is ProductState.DELETED:
        catalogue.delete(product)


def test_a_held_product_stays_until_it_is_released(board: Board) -> None:
    product = board.add().product
    assert board.catalogue.hold(product).state is ProductState.HELD
    assert board.catalogue.next() is None
    board.catalogue.release(product)
    assert _order(board.catalogue) == [product]


def test_a_delivered_product_is_offered_again_only_when_released(board: Board) -> None:
    record = board.add()
    assert board.catalogue.delivered(record.product, record.sha256, 5)
    assert board.catalogue.next() is None
    released = board.catalogue.release(record.product)
    assert (released.state, released.confirmed) == (ProductState.QUEUED, 0)
    assert _order(board.catalogue) == [record.product]


def test_delivery_is_recorded_once(board: Board) -> None:
    record = board.add()
    assert board.catalogue.delivered(record.product, record.sha256, 5)
    assert not board.catalogue.delivered(record.product, record.sha256, 6)


def test_another_sha256_than_ours_is_not_a_delivery(board: Board) -> None:
    record = board.add()
    with pytest.raises(Refusal, match="BAD_ARGUMENTS"):
        board.catalogue.delivered(record.product, "0" * 64, 5)
    assert board.catalogue.stored(record.product).record == record


def test_a_deleted_product_is_gone_with_its_job_folder_and_stays_so(board: Board) -> None:
    record = board.add()
    path = board.path(record.product)
    assert board.catalogue.delete(record.product).state is ProductState.DELETED
    assert not path.parent.exists()
    assert board.catalogue.delete(record.product).state is ProductState.DELETED
    for refused in (
        lambda: board.catalogue.release(record.product),
        lambda: board.catalogue.hold(record.product),
        lambda: board.catalogue.prioritise(record.product, 3),
        lambda: board.catalogue.delivered(record.product, record.sha256, 5),
    ):
        with pytest.raises(Refusal, match="PRODUCT_STATE"):
            refused()


def test_deleting_keeps_the_other_files_of_the_job(board: Board) -> None:
    files = [board.file("job-1", kind) for kind in ("mask", "report")]
    mask, report = board.catalogue.add("job-1", files, 0)
    board.catalogue.delete(mask.product)
    assert board.path(report.product).exists()


def test_a_deletion_that_a_crash_cut_short_can_be_repeated(board: Board) -> None:
    product = board.add().product
    board.path(product).unlink()
    assert board.catalogue.delete(product).state is ProductState.DELETED


def test_a_file_that_cannot_be_removed_is_not_called_deleted(board: Board) -> None:
    product = board.add().product
    path = board.path(product)
    path.unlink()
    path.mkdir()
    with pytest.raises(OutputNotWritable):
        board.catalogue.delete(product)
    assert board.catalogue.stored(product).record.state is ProductState.QUEUED


def test_products_of_a_job_that_did_not_end_are_not_there(board: Board, state: StateFile) -> None:
    def cut_short() -> None:
        with state.transaction():
            board.add()
            raise KeyError

    with pytest.raises(KeyError):
        cut_short()
    assert board.catalogue.counts() == ProductCounts()


def test_unknown_products_are_refused(board: Board) -> None:
    with pytest.raises(Refusal) as refused:
        board.catalogue.hold("job-9.mask.1")
    assert refused.value.code is Code.UNKNOWN_PRODUCT


def test_counts_give_each_state_and_the_bytes_that_wait(board: Board) -> None:
    waiting, held, delivered, deleted = (board.add(size=size) for size in (1000, 200, 30, 4))
    board.catalogue.hold(held.product)
    board.catalogue.delivered(delivered.product, delivered.sha256, 1)
    board.catalogue.delete(deleted.product)
    assert board.catalogue.counts() == ProductCounts(
        queued=1, held=1, delivered=1, deleted=1, queued_bytes=waiting.size
    )
    assert board.catalogue.bytes_on_board() == 1230


def test_a_listing_gives_the_order_of_downlink_then_the_others_newest_first(board: Board) -> None:
    held = [board.add().product for _ in range(2)]
    for product in held:
        board.catalogue.hold(product)
    image, summary = board.add("fill").product, board.add("report").product
    listed = board.catalogue.list(ListProducts())
    assert [one.product for one in listed.products] == [summary, image, *held[::-1]]
    page = board.catalogue.list(ListProducts(limit=2, skip=1))
    assert ([one.product for one in page.products], page.total) == ([image, held[1]], 4)


def test_the_catalogue_outlives_the_service(tmp_path: Path) -> None:
    with StateFile(tmp_path / "state") as state:
        record = Board(state, tmp_path).add()
        ProductCatalogue(state).confirm(record.product, 7)
    with StateFile(tmp_path / "state") as state:
        stored = ProductCatalogue(state).next()
    assert stored is not None
    assert stored.record == msgspec.structs.replace(record, confirmed=7)


@pytest.mark.parametrize("all_of_them", [False, True])
def test_waiting_products_that_are_distrusted_are_held(board: Board, all_of_them: bool) -> None:
    first, second, held = (board.add() for _ in range(3))
    board.catalogue.hold(held.product)
    named = None if all_of_them else (second.product, held.product)
    expected = (first.product, second.product) if all_of_them else (second.product,)
    assert board.catalogue.distrust(named) == expected
    following = board.catalogue.next()
    assert (following and following.record.product) == (None if all_of_them else first.product)
