from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flightsw.dimc.tensors import TensorInfo, copy_pixels, unpadded


def test_padded_tensor_gives_its_size_in_bytes_and_the_shape_inside_the_padding() -> None:
    info = TensorInfo((1, 230, 240, 3), padding=[(0, 0), (3, 3), (3, 13), (0, 1)])
    assert info.size == 230 * 240 * 3
    assert info.unpadded_shape == (1, 224, 224, 2)
    assert info.dtype == np.int8


def test_tensor_without_padding_is_its_own_inside() -> None:
    assert TensorInfo((1, 2, 3, 4)).unpadded_shape == (1, 2, 3, 4)


@given(
    st.integers(1, 13),
    st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * 4),
)
def test_pixels_copied_into_a_padding_are_those_that_numpy_pads(
    channels: int, padding: tuple[tuple[int, int], ...]
) -> None:
    source = np.random.default_rng(channels).integers(-128, 128, (2, 3, 4, channels), np.int8)
    padded = np.pad(np.zeros_like(source), padding, constant_values=9)
    copy_pixels(unpadded(padded, padding), source)
    np.testing.assert_array_equal(padded, np.pad(source, padding, constant_values=9))
    back = np.empty_like(source)
    copy_pixels(back, unpadded(padded, padding))
    np.testing.assert_array_equal(back, source)
