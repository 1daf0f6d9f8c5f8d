from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from deploy.model.export import FIRST_WEIGHT
from deploy.model.label import TaughtTile, read_taught_tiles
from deploy.model.train import Recipe, distillation_loss, train, widened
from flightsw.errors import UsageError
from flightsw.model.dtacsnet import DtacsNet
from tests.unit.deploy.model.simulated_taught import write_taught_tiles

CLEAR, THICK, THIN, SHADOW = range(4)


def answer(kind: int) -> torch.Tensor:
    return 4.0 * torch.nn.functional.one_hot(torch.tensor(kind), 4).float()[None, :, None, None]


def loss(
    found: int, taught: tuple[float, ...], blue: float = 0.5, recipe: Recipe | None = None
) -> float:
    targets = torch.tensor(taught)[None, :, None, None]
    reflectance = torch.full((1, 4, 1, 1), blue)
    return float(
        distillation_loss(
            answer(found), targets, torch.ones(1, 1, 1), reflectance, recipe or Recipe()
        )
    )


@pytest.mark.parametrize(
    ("taught", "right", "wrong"),
    [
        ((1.0, 0.0, 0.0), CLEAR, THICK),
        ((0.0, 1.0, 0.0), THICK, CLEAR),
        ((0.0, 0.0, 1.0), SHADOW, CLEAR),
        ((0.1, 0.2, 0.7), SHADOW, THICK),
    ],
)
def test_the_loss_prefers_the_teacher_s_answer(
    taught: tuple[float, float, float], right: int, wrong: int
) -> None:
    assert loss(right, taught) < loss(wrong, taught)


def test_bright_cloud_is_taught_as_thick_and_dim_cloud_as_thin() -> None:
    cloud = (0.0, 1.0, 0.0)
    assert loss(THICK, cloud, blue=0.6) < loss(THIN, cloud, blue=0.6)
    assert loss(THIN, cloud, blue=0.1) < loss(THICK, cloud, blue=0.1)


def test_pixels_without_weight_teach_nothing() -> None:
    targets = torch.tensor((0.0, 1.0, 0.0))[None, :, None, None]
    found = distillation_loss(
        answer(CLEAR), targets, torch.zeros(1, 1, 1), torch.zeros(1, 4, 1, 1), Recipe()
    )
    assert float(found) == 0.0


def test_a_few_steps_lower_the_loss_and_leave_weights_and_history(tmp_path: Path) -> None:
    taught = write_taught_tiles(tmp_path / "taught", 224, ("training",))
    tiles = read_taught_tiles(taught)
    validation = write_taught_tiles(tmp_path / "judged", 64, ("validation",))
    recipe = Recipe(steps=3, batch=1, validate_every=1, learning_rate=0.1, threads=1)
    train([*tiles, *read_taught_tiles(validation)[:1]], recipe, tmp_path)
    history = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [record["step"] for record in history] == [1, 2, 3]
    assert history[-1]["training_loss"] < history[0]["training_loss"]
    assert "segmentation_head.0.weight" in torch.load(tmp_path / "weights.pt", weights_only=True)


def test_bright_ground_that_is_clear_weighs_as_much_more_as_was_asked_for(
    stalling_tiles: list[TaughtTile], tmp_path: Path
) -> None:
    """In training, not in validation: runs of different weights can be compared."""
    side = STALLING.side
    reflectance = np.full((4, side, side), 0.3, np.float32)
    reflectance[:, side // 2 :] = 0.05
    cloud = np.zeros((side, side), np.float32)
    cloud[side // 2 :] = 1
    tile = replace(
        stalling_tiles[0],
        bands=reflectance,
        probabilities=np.stack((1 - cloud, cloud, 0 * cloud)),
        valid=np.ones_like(stalling_tiles[0].valid),
    )
    tiles = [tile, replace(tile, part="validation")]
    recipe = replace(STALLING, steps=1, average_decay=0.0, learning_rate=0.0, schedule="cosine")
    found = []
    for weight in (0.0, 1e6):
        train(tiles, replace(recipe, bright_weight=weight), tmp_path)
        found += history_of(tmp_path)
    assert found[0]["loss"] == found[1]["loss"]
    bright = found[1]["training_loss"]
    assert found[0]["training_loss"] != pytest.approx(bright, rel=1e-3)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("people_share", 0.9), ("bright_weight", -1.0), ("learning_rate", float("nan")), ("steps", 0)],
)
def test_a_parameter_out_of_range_is_refused_before_the_work(
    parameter: str, value: float, stalling_tiles: list[TaughtTile], tmp_path: Path
) -> None:
    option = f"--{parameter.replace('_', '-')}"
    with pytest.raises(UsageError, match=f"{option}.* must be a number from .*, got {value}"):
        train(stalling_tiles, replace(STALLING, **{parameter: value}), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_class_weights_scale_the_share_of_their_class_in_the_loss() -> None:
    weights, shares = (1.0, 3.0, 0.5), (0.2, 0.3, 0.5)
    taught = [tuple(float(index == kind) for index in range(3)) for kind in range(3)]
    plain = Recipe(thick_thin_weight=0.0)
    weighted = replace(plain, class_weights=weights)
    alone = [loss(CLEAR, target, recipe=plain) for target in taught]
    for weight, target, unweighted in zip(weights, taught, alone, strict=True):
        assert loss(CLEAR, target, recipe=weighted) == pytest.approx(weight * unweighted)
    together = sum(w * s * one for w, s, one in zip(weights, shares, alone, strict=True))
    assert loss(CLEAR, shares, recipe=weighted) == pytest.approx(together)


@pytest.fixture(scope="module")
def stalling_tiles(tmp_path_factory: pytest.TempPathFactory) -> list[TaughtTile]:
    """Tiles to learn from, and one to be judged on, all without a single valid pixel to learn."""
    folder = tmp_path_factory.mktemp("stalling")
    learnt = read_taught_tiles(write_taught_tiles(folder / "learnt", 64, ("training",)))[:1]
    judged = read_taught_tiles(write_taught_tiles(folder / "judged", 64, ("validation",)))[:1]
    return [replace(tile, valid=np.zeros_like(tile.valid)) for tile in (*learnt, *judged)]


STALLING = Recipe(
    schedule="plateau",
    steps=8,
    batch=1,
    validate_every=1,
    learning_rate=0.1,
    plateau_patience=0,
    stop_patience=3,
    threads=1,
    side=64,
)
"""No pixel counts, so the first validation loss is 0 and no later one can be lower."""


def history_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def stalled(
    stalling_tiles: list[TaughtTile], tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, float]]:
    """The history of a training that stalls on the plateau schedule."""
    folder = tmp_path_factory.mktemp("stalled")
    train(stalling_tiles, STALLING, folder)
    return history_of(folder)


def test_a_stalled_validation_lowers_the_rate_on_the_plateau_schedule(
    stalled: list[dict[str, float]],
) -> None:
    rates = [record["learning_rate"] for record in stalled]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.001])


def test_the_plateau_schedule_stops_after_the_stalled_validations_it_was_given(
    stalled: list[dict[str, float]],
) -> None:
    assert [record["step"] for record in stalled] == [1, 2, 3, 4]


def test_the_cosine_schedule_continues_to_its_last_step_however_stalled(
    stalling_tiles: list[TaughtTile], tmp_path: Path
) -> None:
    train(stalling_tiles, replace(STALLING, schedule="cosine", steps=5), tmp_path)
    assert len(history_of(tmp_path)) == 5


def test_widened_weights_answer_as_they_did_whatever_the_new_bands_show() -> None:
    torch.manual_seed(2)
    bands = ("B02", "B03", "B04", "B08", "B11", "B12")
    four, six = DtacsNet().eval(), DtacsNet(len(bands)).eval()
    six.load_state_dict(widened(four.state_dict(), bands))
    tiles = torch.rand(1, 6, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(six(tiles), four(tiles[:, :4]))


@pytest.mark.parametrize("kept", [True, False])
def test_batch_normalisation_stays_as_it_was_if_asked_to(tmp_path: Path, kept: bool) -> None:
    (tile, *_) = read_taught_tiles(write_taught_tiles(tmp_path / "taught", 64, ("training",)))
    recipe = Recipe(steps=1, batch=2, side=32, keep_statistics=kept, threads=1)
    initial = DtacsNet()
    torch.save(initial.state_dict(), tmp_path / "initial.pt")
    tiles = [tile, replace(tile, part="validation")]
    found = train(tiles, recipe, tmp_path, tmp_path / "initial.pt").state_dict()
    name = "encoder.features.0.1.running_mean"
    assert torch.equal(found[name], initial.state_dict()[name]) is kept


def test_weights_of_other_bands_are_not_guessed() -> None:
    weights = DtacsNet(5).state_dict()
    assert widened(weights, ("B02", "B03", "B04", "B05", "B06")) is weights
    with pytest.raises(UsageError, match="have 5 bands"):
        widened(weights, ("B02", "B03", "B04", "B08", "B11", "B12"))
    with pytest.raises(UsageError, match="have 4 bands"):
        widened(DtacsNet().state_dict(), ("B02", "B11"))


def test_a_network_of_other_bands_is_trained_on_them(tmp_path: Path) -> None:
    bands = ("B02", "B11", "B12")
    taught = write_taught_tiles(tmp_path / "taught", 64, ("training",), bands)
    learnt = read_taught_tiles(taught)[:1]
    judged = [replace(tile, part="validation") for tile in learnt]
    recipe = Recipe(bands=bands, steps=1, batch=1, side=64, threads=1)
    network = train([*learnt, *judged], recipe, tmp_path)
    assert network.state_dict()[FIRST_WEIGHT].shape[1] == len(bands)
    assert history_of(tmp_path)[0]["step"] == 1


def test_training_without_tiles_to_validate_with_says_so(tmp_path: Path) -> None:
    learnt = read_taught_tiles(write_taught_tiles(tmp_path / "learnt", 64, ("training",)))
    with pytest.raises(UsageError, match="have none for validation"):
        train(learnt, Recipe(), tmp_path)


def test_training_without_b02_says_why_not(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="lack B02, which separates thick cloud from thin"):
        train([], Recipe(bands=("B03", "B11")), tmp_path)


@pytest.mark.parametrize("side", [0, 100, -32])
def test_windows_that_the_network_cannot_take_are_refused(tmp_path: Path, side: int) -> None:
    with pytest.raises(UsageError, match=f"must be a multiple of 32 pixels, got {side}"):
        train([], Recipe(side=side), tmp_path)
