from __future__ import annotations

from flightsw.downlink.taken import TakenBytes
from flightsw.state import StateFile
from tests.unit.flightsw.downlink.conftest import Board


def test_only_bytes_without_a_gap_count(state: StateFile) -> None:
    taken = TakenBytes(state, lambda: 0.0)
    for offset, size, known in ((5, 5, 0), (0, 5, 5), (3, 4, 7), (8, 2, 7), (7, 3, 10), (0, 2, 10)):
        taken.add("p", "alice", offset, size)
        assert taken.of("p", "alice") == known
    assert taken.of("p", "bob") == 0


def test_what_was_kept_survives_a_restart_and_the_products_end_forgets_it(
    state: StateFile, board: Board
) -> None:
    product = board.add(size=10).product
    taken = TakenBytes(state, lambda: 0.0)
    taken.keep(product, "alice", 7)
    taken.keep(product, "bob", 3)
    taken.keep(product, "alice", 9)  # within a second: not written
    again = TakenBytes(state, lambda: 0.0)
    assert (again.of(product, "alice"), again.of(product, "bob")) == (7, 3)
    board.catalogue.delete(product)
    assert TakenBytes(state, lambda: 0.0).of(product, "alice") == 0
