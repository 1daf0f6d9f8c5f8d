"""Cells that must be exact, and the code-blocks that they depend on."""

from __future__ import annotations

import numpy as np
import pytest

from flightsw.scene.exact_cells import SIDE, ExactCells
from flightsw.scene.passes import BlockCoding, Bounds, packets_of

_CODING = BlockCoding(3, 4, 4, b"\xff" * 4, (10,) * 12)


def _cells(pixel: tuple[int, int]) -> ExactCells:
    pixels = np.zeros((200, 300), np.bool_)
    pixels[pixel] = True
    return ExactCells.none_of(range(500, 700), range(100, 400), 0).marking(pixels, 500, 100)


def test_a_pixel_marks_its_cell_and_no_other() -> None:
    cells = _cells((20, 299))
    assert np.argwhere(cells.marked).tolist() == [[20 // SIDE, 299 // SIDE]]
    assert cells.share == pytest.approx(1 / cells.marked.size)


def test_a_mark_is_kept_when_others_are_added() -> None:
    first = _cells((0, 0))
    both = first.marking(np.ones((1, 1), np.bool_), 699, 399)
    assert both.marked[0, 0]
    assert both.marked[-1, -1]
    assert both.marked.sum() == 2


def test_blocks_far_from_a_marked_cell_are_not_complete() -> None:
    packets = packets_of(Bounds(100, 500, 400, 700), _CODING, 4)
    cells = _cells((190, 290))
    (finest,) = packets[-1][:1]
    touched = np.reshape([*cells.touched_by(finest)], (finest.rows, finest.columns))
    assert touched[-1, -1]
    assert touched.sum() <= 4
    assert all(cells.touched_by(packets[0][0])[-1:])


def test_no_block_is_complete_if_no_cell_is_marked() -> None:
    cells = ExactCells.none_of(range(500, 700), range(100, 400), 0)
    for packet in packets_of(Bounds(100, 500, 400, 700), _CODING, 4):
        for blocks in packet:
            assert not any(cells.touched_by(blocks))
