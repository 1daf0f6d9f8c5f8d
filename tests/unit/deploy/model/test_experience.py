from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.model.dataset import BANDS, Tile, in_order
from deploy.model.experience import (
    count,
    examples_of,
    joined,
    knows_colours,
    learn,
    part,
    versions,
)
from deploy.model.networks import Network
from deploy.model.strange import FAULTS
from flightsw.config import PipelineSettings
from flightsw.model.package import ModelPackage, load_package
from flightsw.model.sound_scenes import SoundScenes, sizes_of
from flightsw.pipeline import process_scene
from flightsw.pipeline.experience import SceneExperience
from tests.unit.flightsw.small_parts import ArithmeticEngine, ArrayScene

_ENGINE = ArithmeticEngine()
_BINS = sum(sizes_of(len(BANDS)))


def _logits(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    steps = np.rint(windows / 0.004 - 128).clip(-128, 127).astype(np.int8)
    answers = _ENGINE.infer(np.ascontiguousarray(steps.transpose(0, 2, 3, 1)))
    return np.ascontiguousarray(answers.transpose(0, 3, 1, 2).astype(np.float32) * np.float32(0.05))


@pytest.fixture(scope="module")
def package() -> ModelPackage:
    return load_package()


def _tile(side: int, region: str = "here") -> tuple[Tile, NDArray[np.uint16]]:
    random = np.random.default_rng(side)
    # Whole steps, which float32 and float64 round alike.
    coarse = 1000 + 40 * random.integers(3, 125, (4, side // 8 + 1, side // 8 + 1))
    numbers = coarse.repeat(8, axis=1).repeat(8, axis=2)[:, :side, :side].astype(np.uint16)
    numbers[:, :50, :90] = 0
    valid = (numbers != 0).all(axis=0)
    bands = ((numbers.astype(np.float32) - 1000) / 10_000 * valid).astype(np.float32)
    return Tile("tile", region, "l2a", 10, BANDS, bands, valid), numbers


def test_an_image_is_counted_as_the_scene_in_flight(package: ModelPackage) -> None:
    tile, numbers = _tile(300)
    histograms = count(Network(_logits), package, tile)
    random = np.random.default_rng(1).uniform(0, 1, (3, _BINS))
    sound = SoundScenes(("a", "b", "c"), random, np.zeros(3), np.full(3, 100.0), 1)
    processed = process_scene(
        ArrayScene(numbers),
        _ENGINE,
        PipelineSettings(device="cpu"),
        experience=SceneExperience(_ENGINE.info, package.input, sound),
    ).experience
    assert processed
    assert processed.pixels == histograms.pixels
    assert (processed.distance, processed.towards) == sound.distance(histograms.shares())


def test_images_count_in_whole_windows_and_a_few_of_a_place_with_each_fault() -> None:
    tile, _ = _tile(512)
    shown = [(kind, one.valid.shape) for kind, one in versions(tile, 224, faulty=True)]
    assert shown == [
        ("", (434, 434)),
        ("", (224, 224)),
        *((kind, (224, 224)) for kind in FAULTS),
    ]
    assert [kind for kind, _ in versions(tile, 224, faulty=False)] == ["", ""]


def test_a_package_of_six_bands_learns_in_its_own_order(
    package: ModelPackage,
) -> None:
    six = msgspec.structs.replace(package, bands=("B12", "B11", "B08", "B04", "B03", "B02"))
    names = in_order(six.bands)

    def answers(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        return _logits(np.ascontiguousarray(windows[:, :4]))

    network = Network(answers, bands=names)
    tile, _ = _tile(300)
    further = np.stack([tile.bands[3] * np.float32(0.75), tile.bands[3] * np.float32(0.5)])
    tile = replace(tile, names=names, bands=np.concatenate((tile.bands, further)))
    shares = count(network, six, tile).shares()
    own = sum(sizes_of(6)[:1])
    four = count(Network(_logits), package, replace(tile, names=BANDS, bands=tile.bands[:4]))
    first = four.shares()[: sizes_of(4)[0]]  # B02, which is the last of the six
    np.testing.assert_array_equal(shares[5 * own : 6 * own], first)
    assert set(examples_of(network, six, [tile]).kinds) == {"", *FAULTS}


def test_what_is_learnt_finds_the_faults_of_the_same_places(package: ModelPackage) -> None:
    tiles = [_tile(300 + number, f"place {number}")[0] for number in range(10)]
    examples = examples_of(Network(_logits), package, tiles)
    assert len(examples.kinds) == 10 * (1 + len(FAULTS))
    sound = learn(examples)
    assert sound.strange == tuple(FAULTS)
    icy = part(examples, np.array(examples.kinds) == "sea ice")
    found = [sound.distance(one.astype(np.float64) ** 2) for one in icy.roots]
    assert all(distance > 1 for distance, _ in found)
    kept = part(examples, np.array(examples.kinds) == "")
    inside = [sound.distance(one.astype(np.float64) ** 2)[0] for one in kept.roots]
    assert max(inside) < 1


def test_images_join_what_is_known_without_joint_colours(package: ModelPackage) -> None:
    network, tiles = Network(_logits), [_tile(300, place)[0] for place in ("here", "there")]
    old = examples_of(network, package, tiles, colours=False)
    assert not knows_colours(old)
    assert not learn(joined(old, old)).colours
    new = examples_of(network, package, tiles)
    assert knows_colours(new)
    np.testing.assert_array_equal(new.roots[:, : old.roots.shape[1]], old.roots)


def test_images_with_too_few_pixels_leave_what_is_known_as_it_is(package: ModelPackage) -> None:
    known = examples_of(Network(_logits), package, [_tile(300)[0]])
    none = examples_of(Network(_logits), package, [_tile(100)[0]])
    np.testing.assert_array_equal(joined(known, none).roots, known.roots)
