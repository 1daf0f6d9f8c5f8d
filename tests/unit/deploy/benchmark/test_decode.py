from __future__ import annotations

import pytest

from deploy.benchmark.decode import band_images, decode_strips_fast
from flightsw.scene.block_coding import UnsupportedCoding
from tests.conftest import Simulated


def test_the_fast_decode_alone_reads_whole_bands_at_each_distance(simulated: Simulated) -> None:
    for distance in (10, 20):
        decode_strips_fast(band_images(simulated.scene, distance), 40.0)


def test_a_network_that_sees_every_bit_has_no_fast_decode(simulated: Simulated) -> None:
    with pytest.raises(UnsupportedCoding, match=r"the network sees steps of 0\.5 DN"):
        decode_strips_fast(band_images(simulated.scene, 10), 0.5)
