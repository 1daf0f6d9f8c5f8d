"""``python -m deploy.model.train TAUGHT OUT``: train DTACSNet-CD on class probabilities.

``TAUGHT`` is what ``deploy.model.label`` wrote: a teacher's soft answers, or
human labels as probabilities of 0 and 1.  The loss is cross-entropy with
class weights; the learning rate follows a cosine over the time or steps given,
or falls whenever the validation loss stalls (``--schedule plateau``).
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from deploy.model.card_input import WINDOW, as_card_input
from deploy.model.command import one_line_errors
from deploy.model.crops import (
    MOST_PEOPLE,
    PEOPLE_SHARE,
    CropStream,
    bright_clear,
    mirrored,
    thick_share,
)
from deploy.model.dataset import BANDS, in_order
from deploy.model.export import FIRST_WEIGHT
from deploy.model.label import TaughtTile, read_taught_tiles
from flightsw.errors import UsageError
from flightsw.host.processor import multiplies_bfloat16
from flightsw.model.dtacsnet import DtacsNet
from flightsw.model.network import read_weights

_MULTIPLE: Final = 32  # of pixels a side, that the network takes
_RANGES: Final = {
    "minutes": (0, inf),
    "steps": (1, inf),
    "batch": (1, 4096),
    "learning_rate": (0, 1),
    "people_share": (0, MOST_PEOPLE),
    "bright_weight": (0, 1e6),
    "validate_every": (1, inf),
    "threads": (1, 1024),
}
"""Least and most of parameters of a recipe."""


@dataclass(frozen=True)
class Recipe:
    """All parameters of a training run.

    ``bands`` are the network's channels, in the order of ``dataset.in_order``.
    ``side`` is that of the windows in pixels; ``keep_statistics`` leaves batch normalisation as the
    initial weights have it, which small batches would disturb.
    ``class_weights`` are for clear, cloud and shadow; ``people_share`` is the share of the windows
    from images that people labelled; ``bright_weight`` is what bright ground that is surely
    clear weighs more than other pixels; ``minutes`` and ``steps``
    end the training, whichever comes first; ``patience`` counts validations.
    """

    schedule: str = "cosine"
    minutes: float = 60.0
    steps: int = 1_000_000
    batch: int = 16
    side: int = WINDOW
    keep_statistics: bool = False
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    bands: tuple[str, ...] = BANDS
    class_weights: tuple[float, float, float] = (1.0, 1.0, 1.0)
    thick_thin_weight: float = 0.1
    bright_weight: float = 0.0
    people_share: float = PEOPLE_SHARE
    average_decay: float = 0.998
    validate_every: int = 200
    plateau_patience: int = 4
    stop_patience: int = 10
    seed: int = 1
    threads: int = 2


def distillation_loss(
    logits: Tensor, targets: Tensor, weight: Tensor, reflectance: Tensor, recipe: Recipe
) -> Tensor:
    """Weighted cross-entropy of the collapsed classes, plus thick against thin within cloud.

    ``logits`` ``(N, 4, H, W)``; ``targets`` ``(N, 3, H, W)`` or ``(N, 4, H, W)``
    probabilities; ``weight`` ``(N, H, W)``.  Cloud's logit is the larger of
    thick and thin, as in the deployed head, so the trained function is the deployed one.
    """
    if targets.shape[1] == logits.shape[1]:
        share = targets[:, 1] / (targets[:, 1] + targets[:, 2]).clamp_min(1e-6)
        targets = torch.stack((targets[:, 0], targets[:, 1] + targets[:, 2], targets[:, 3]), dim=1)
    else:
        share = thick_share(reflectance, recipe.bands)
    cloud = logits[:, 1:3].amax(dim=1)
    collapsed = functional.log_softmax(
        torch.stack((logits[:, 0], cloud, logits[:, 3]), dim=1), dim=1
    )
    balance = torch.tensor(recipe.class_weights, device=logits.device)[None, :, None, None]
    taught = -(balance * targets * collapsed).sum(dim=1)
    kinds = functional.log_softmax(logits[:, 1:3], dim=1)
    kind = -(share * kinds[:, 0] + (1 - share) * kinds[:, 1]) * targets[:, 1]
    per_pixel = taught + recipe.thick_thin_weight * kind
    return (per_pixel * weight).sum() / weight.sum().clamp_min(1)


class AveragedNetwork:
    """Exponential moving average of a network's weights and statistics."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval()
        self._decay = decay
        self._updates = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move towards ``network``; the first updates move further."""
        self._updates += 1
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        for mine, theirs in zip(
            self.network.state_dict().values(), network.state_dict().values(), strict=True
        ):
            if mine.is_floating_point():
                mine.lerp_(theirs, 1 - decay)
            else:
                mine.copy_(theirs)


@dataclass(frozen=True)
class Validation:
    """Loss, and share of pixels on which network and teacher give the same binary mask."""

    loss: float
    agreement: float


@torch.no_grad()
def validate(network: nn.Module, tiles: list[TaughtTile], recipe: Recipe) -> Validation:
    """Judge a network on whole windows of tiles that it was not trained on."""
    losses, agreements = [], []
    for tile in tiles:
        right, total = 0.0, 0.0
        for reflectance, targets, weight in _windows(tile, recipe.bands):
            logits = network(reflectance)
            losses.append(float(distillation_loss(logits, targets, weight, reflectance, recipe)))
            same = (logits.argmax(1) > 0) == (targets.argmax(1) > 0)
            right += float((same * weight).sum())
            total += float(weight.sum())
        agreements.append(right / max(total, 1))
    return Validation(float(np.mean(losses)), float(np.mean(agreements)))


def train(
    tiles: list[TaughtTile], recipe: Recipe, out: Path, initial: Path | None = None
) -> nn.Module:
    """Train a network; ``out`` receives recipe, ``weights.pt`` (best so far) and ``history.jsonl``.

    ``initial`` is a ``state_dict`` to start from, of the recipe's bands or of those of the shipped
    release.  Raises :class:`UsageError`.
    """
    _refuse_unfit(tiles, recipe)
    out.mkdir(parents=True, exist_ok=True)
    (out / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2))
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(recipe.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    judged = [tile for tile in tiles if tile.part == "validation"]
    learnt = [tile for tile in tiles if tile.part == "training"]
    network = DtacsNet(len(recipe.bands)).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if initial:
        network.load_state_dict(widened(read_weights(initial), recipe.bands))
    average = AveragedNetwork(network, recipe.average_decay)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, factor=0.1, patience=recipe.plateau_patience
    )
    batches = iter(
        DataLoader(
            CropStream(learnt, recipe.seed, recipe.people_share, recipe.bands, recipe.side),
            batch_size=recipe.batch,
        )
    )
    history = (out / "history.jsonl").open("w")
    best, stalled, started = float("inf"), 0, time.monotonic()
    for step in range(recipe.steps):
        progress = max((time.monotonic() - started) / 60 / recipe.minutes, step / recipe.steps)
        if recipe.schedule == "cosine":
            _set_cosine_rate(optimiser, recipe, progress, step)
        loss = _learn(network, optimiser, next(batches), device, recipe)
        average.update(network)
        last = progress >= 1 or step + 1 == recipe.steps
        if not last and (step + 1) % recipe.validate_every:
            continue
        found = validate(copy.deepcopy(average.network).cpu(), judged, recipe)
        record = {
            "step": step + 1,
            "minutes": (time.monotonic() - started) / 60,
            "learning_rate": optimiser.param_groups[0]["lr"],
            "training_loss": loss,
        }
        history.write(json.dumps(record | asdict(found)) + "\n")
        history.flush()
        torch.save(average.network.state_dict(), out / "latest.pt")
        stalled = 0 if found.loss < best else stalled + 1
        if found.loss < best:
            best = found.loss
            torch.save(average.network.state_dict(), out / "weights.pt")
        if recipe.schedule == "plateau":
            plateau.step(found.loss)
        if last or (recipe.schedule == "plateau" and stalled >= recipe.stop_patience):
            break
    history.close()
    network.load_state_dict(torch.load(out / "weights.pt", map_location=device, weights_only=True))
    trained: nn.Module = network.eval()
    return trained


def _refuse_unfit(tiles: list[TaughtTile], recipe: Recipe) -> None:
    """Raise :class:`UsageError` before the work, with what is wrong."""
    for name, (least, most) in _RANGES.items():
        value = getattr(recipe, name)
        if not least <= value <= most:
            cause = f"must be a number from {least} to {most}, got {value}"
            cure = f"Leave it out for {getattr(Recipe, name)}"
            raise UsageError(f"--{name.replace('_', '-')}", cause, cure)
    if "B02" not in recipe.bands:
        cause = f"({', '.join(recipe.bands)}) lack B02, which separates thick cloud from thin"
        raise UsageError("the bands", cause, "Add B02")
    if recipe.side < _MULTIPLE or recipe.side % _MULTIPLE:
        cause = f"must be a multiple of {_MULTIPLE} pixels, got {recipe.side}"
        raise UsageError("the side of a window", cause, f"Give {WINDOW}, or 128 to save time")
    for part in ("training", "validation"):
        if not any(tile.part == part for tile in tiles):
            cure = "Label images of such regions, or simulated ones (label --simulated-kept)"
            raise UsageError("the taught tiles", f"have none for {part}", cure)


def widened(weights: dict[str, Tensor], bands: tuple[str, ...]) -> dict[str, Tensor]:
    """Weights of a network of ``bands``, which answers as it did for the shipped release's bands.

    The channels of bands that it did not have begin at zero.  Weights of as many channels as
    ``bands`` are left as they are.  Raises :class:`UsageError` for others.
    """
    first = weights[FIRST_WEIGHT].float()
    if first.shape[1] == len(bands):
        return weights
    if first.shape[1] != len(BANDS) or not {*BANDS} <= {*bands}:
        cause = f"have {first.shape[1]} bands, which are not {', '.join(bands)}"
        raise UsageError("the initial weights", cause, f"Give weights of {', '.join(BANDS)}")
    wide = torch.zeros(first.shape[0], len(bands), *first.shape[2:])
    wide[:, [bands.index(band) for band in BANDS]] = first
    return {**weights, FIRST_WEIGHT: wide}


def _learn(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    batch: list[Tensor],
    device: torch.device,
    recipe: Recipe,
) -> float:
    reflectance, targets, weight = (part.to(device) for part in batch)
    reflectance = reflectance.contiguous(memory_format=torch.channels_last)
    network.train()
    if recipe.keep_statistics:
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval()
    fast = device.type != "cpu" or multiplies_bfloat16()
    with torch.autocast(device.type, torch.bfloat16, enabled=fast):
        logits = network(reflectance)
    weight = weight * (1 + recipe.bright_weight * bright_clear(reflectance, targets, recipe.bands))
    loss = distillation_loss(logits.float(), targets, weight, reflectance, recipe)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    optimiser.step()
    return float(loss.detach())


def _set_cosine_rate(
    optimiser: torch.optim.Optimizer, recipe: Recipe, progress: float, step: int
) -> None:
    warm_up = min(1.0, (step + 1) / 100)
    cosine = 0.5 * (1 + np.cos(np.pi * min(progress, 1.0)))
    for group in optimiser.param_groups:
        group["lr"] = recipe.learning_rate * warm_up * max(cosine, 0.01)


def _windows(tile: TaughtTile, bands: tuple[str, ...]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    height, width = tile.valid.shape
    for top in range(0, max(1, height - WINDOW + 1), WINDOW):
        for left in range(0, max(1, width - WINDOW + 1), WINDOW):
            area = np.s_[:, top : top + WINDOW, left : left + WINDOW]
            planes = (tile.of(bands), tile.probabilities, tile.valid[None].astype(np.float32))
            reflectance, probabilities, valid = (mirrored(plane[area]) for plane in planes)
            yield (
                torch.from_numpy(as_card_input(reflectance))[None],
                torch.from_numpy(probabilities)[None],
                torch.from_numpy(valid),
            )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("taught", type=Path, help="folder that label wrote")
    parser.add_argument("out", type=Path, help="folder for weights, history and recipe")
    parser.add_argument("--minutes", type=float, default=Recipe.minutes, help="time limit")
    parser.add_argument("--steps", type=int, default=Recipe.steps, help="limit of batches")
    parser.add_argument(
        "--schedule",
        choices=("cosine", "plateau"),
        default=Recipe.schedule,
        help="of the learning rate",
    )
    parser.add_argument("--seed", type=int, default=Recipe.seed, help="random seed")
    parser.add_argument(
        "--learning-rate", type=float, default=Recipe.learning_rate, help="at the start"
    )
    parser.add_argument(
        "--class-weights", type=float, nargs=3, default=Recipe.class_weights, metavar="WEIGHT",
        help="of clear, cloud and shadow in the loss",
    )  # fmt: skip
    parser.add_argument(
        "--people-share",
        type=float,
        default=Recipe.people_share,
        help="of the windows, from images that people labelled (%(default)s)",
    )
    parser.add_argument(
        "--bright-weight",
        type=float,
        default=Recipe.bright_weight,
        help="of bright ground that is surely clear, beyond that of other pixels (%(default)s)",
    )
    parser.add_argument(
        "--bands",
        default=",".join(BANDS),
        help="channels of the network, of those that label kept (default: %(default)s)",
    )
    parser.add_argument(
        "--batch", type=int, default=Recipe.batch, help="windows of a step (%(default)s)"
    )
    parser.add_argument(
        "--side",
        type=int,
        default=Recipe.side,
        help="pixels a side of a window, a multiple of 32 (%(default)s)",
    )
    parser.add_argument(
        "--keep-statistics",
        action="store_true",
        help="leave batch normalisation as the initial weights have it, for small batches",
    )
    parser.add_argument(
        "--validate-every", type=int, default=Recipe.validate_every, help="steps (%(default)s)"
    )
    parser.add_argument("--threads", type=int, default=Recipe.threads, help="of the processor")
    parser.add_argument(
        "--initial",
        type=Path,
        help="weights to start from (default: random): of these bands, or of the release's four",
    )
    arguments = parser.parse_args()
    _train(arguments)


def _train(arguments: argparse.Namespace) -> None:
    tiles = read_taught_tiles(arguments.taught)
    recipe = Recipe(
        schedule=arguments.schedule,
        minutes=arguments.minutes,
        steps=arguments.steps,
        seed=arguments.seed,
        learning_rate=arguments.learning_rate,
        class_weights=tuple(arguments.class_weights),
        people_share=arguments.people_share,
        bright_weight=arguments.bright_weight,
        bands=in_order(arguments.bands.split(",")),
        batch=arguments.batch,
        side=arguments.side,
        keep_statistics=arguments.keep_statistics,
        validate_every=arguments.validate_every,
        threads=arguments.threads,
    )
    train(tiles, recipe, arguments.out, arguments.initial)


if __name__ == "__main__":
    with one_line_errors("train"):
        main()
