from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from deploy.model.label import read_taught_tiles
from deploy.model.train import Recipe, distillation_loss, train
from tests.unit.model.simulated_taught import write_taught_tiles

CLEAR, THICK, THIN, SHADOW = range(4)


def answer(kind: int) -> torch.Tensor:
    return 4.0 * torch.nn.functional.one_hot(torch.tensor(kind), 4).float()[None, :, None, None]


def loss(found: int, taught: tuple[float, float, float], blue: float = 0.5) -> float:
    targets = torch.tensor(taught)[None, :, None, None]
    reflectance = torch.full((1, 4, 1, 1), blue)
    return float(
        distillation_loss(answer(found), targets, torch.ones(1, 1, 1), reflectance, Recipe())
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
