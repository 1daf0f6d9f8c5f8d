from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightsw.errors import InferenceFailed
from flightsw.pipeline.work import TileBatch


@given(
    side=st.integers(1, 9),
    bands=st.integers(1, 5),
    dtype=st.sampled_from((np.int8, np.float16, np.float32)),
    drawn=st.data(),
)
def test_any_single_bit_of_tiles_that_wait_is_noticed(
    side: int, bands: int, dtype: type[np.int8 | np.float16 | np.float32], drawn: st.DataObject
) -> None:
    tiles = np.arange(2 * side * side * bands).reshape(2, side, side, bands).astype(dtype)
    batch = TileBatch(((0, 0), (0, 1)), tiles)
    batch.require_unchanged()
    content = tiles.reshape(-1).view(np.uint8)
    content[drawn.draw(st.integers(0, content.size - 1))] ^= 1 << drawn.draw(st.integers(0, 7))
    with pytest.raises(InferenceFailed, match="changed in memory"):
        batch.require_unchanged()
