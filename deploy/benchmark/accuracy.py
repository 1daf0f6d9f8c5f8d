"""How right the mask is: INT8 against FP32, against people, the teacher, and a real product."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import glymur
import numpy as np
from numpy.typing import NDArray

from deploy.model.card_input import as_card_input
from deploy.model.dataset import T29UNU_TRAINING_COLUMNS, Tile, read_split, read_tiles
from deploy.model.evaluate import score, summary
from deploy.model.judged import JudgedTile, class_probabilities, read_judged_tiles
from deploy.model.networks import Network, open_network, package_network
from deploy.model.scores import Confusion, confusion
from deploy.model.surfaces import is_called_cloud_free
from deploy.model.teacher import (
    four_band_probabilities,
    teacher_probabilities,
    two_scale_probabilities,
)
from flightsw.chain import SceneRequest, open_chain
from flightsw.config import DimcSettings, Settings
from flightsw.model.package import ModelPackage
from flightsw.products.contents import CONTAMINATED, NO_DATA

CONTAMINATED_SCENE_CLASSES: Final = (3, 8, 9, 10)
"""Of Sen2Cor's scene classification: cloud shadow, medium and high cloud, thin cirrus."""


def measure_accuracy(package: ModelPackage, weights: Path, data: Path) -> dict[str, Any]:
    """Judge the INT8 package and the FP32 weights it was made from: shares of pixels, indices."""
    int8, fp32 = package_network(package), open_network(weights)
    tiles = taught_held_out_tiles(data, teacher_probabilities)
    four_bands = taught_held_out_tiles(data, four_band_probabilities)
    two_scales = taught_held_out_tiles(data, two_scale_probabilities)
    false_alarms = [
        float(contaminated(int8, tile)[tile.valid].mean())
        for tile in tiles
        if is_called_cloud_free(tile.name)
    ]
    by_int8, by_fp32 = score(int8, tiles, fp32), summary(score(fp32, tiles))
    chips = read_judged_tiles(data / "labelled")
    chips_int8, chips_fp32 = score(int8, chips), score(fp32, chips)
    counted = summary(by_int8)
    return {
        "mean_agreement_with_fp32": counted["mean_agreement"],
        "worst_agreement_with_fp32": counted["worst_agreement"],
        "f2_int8": counted["f2"],
        "f2_fp32": by_fp32["f2"],
        "agreement_with_teacher": counted["accuracy"],
        "agreement_with_four_band_teacher": summary(score(int8, four_bands))["accuracy"],
        "teacher_with_itself_on_four_bands": _agreement(tiles, four_bands),
        "agreement_with_teacher_at_two_scales": summary(score(int8, two_scales))["accuracy"],
        "teacher_with_itself_at_two_scales": _agreement(tiles, two_scales),
        "contaminated_share_of_clear_tiles": float(np.mean(false_alarms)),
        "contaminated_share_of_worst_clear_tile": max(false_alarms),
        "clear_tiles": len(false_alarms),
        "cloud_iou_by_chip": {
            chip.name: chip.cloud.intersection_over_union for chip in chips_fp32 if chip.cloud
        },
        "contaminated_iou_by_chip": {
            chip.name: chip.contaminated.intersection_over_union for chip in chips_int8
        },
        "f2_of_real_product": judge_real_product(data).f2,
        "held_out_tiles": len(tiles),
    }


def taught_held_out_tiles(
    data: Path, teacher: Callable[[Tile], NDArray[np.float32]]
) -> list[JudgedTile]:
    """Tiles of the regions that training never saw, with the teacher's answer."""
    split = read_split()
    return [
        JudgedTile(
            name=tile.name,
            region=tile.region,
            part="held_out",
            bands=tile.four_bands,
            valid=tile.valid,
            reference=teacher(tile).argmax(axis=0).astype(np.uint8),
            knows_shadow=True,
        )
        for tile in read_tiles(data)
        if split.part_of(tile.region) == "held_out" and tile.allowed is None
    ]


def contaminated(network: Network, tile: JudgedTile) -> NDArray[np.bool_]:
    """The network's binary mask of a tile."""
    mask: NDArray[np.bool_] = class_probabilities(network, as_card_input(tile.bands)).argmax(0) > 0
    return mask


def _agreement(tiles: list[JudgedTile], others: list[JudgedTile]) -> float:
    """Share of all valid pixels that two references call the same."""
    same = [
        ((one.reference > 0) == (other.reference > 0))[one.valid]
        for one, other in zip(tiles, others, strict=True)
    ]
    return float(np.concatenate(same).mean())


def judge_real_product(data: Path, settings: Settings | None = None) -> Confusion:
    """Process the real T29UNU product at 60 m; judge its east half by its scene classification."""
    product = next((data / "safe").glob("S2A_MSIL2A_*_T29UNU_*.SAFE"))
    chosen = settings or Settings(dimc=DimcSettings(card="simulator"))
    with tempfile.TemporaryDirectory() as folder, open_chain(chosen) as chain:
        request = SceneRequest(product, Path(folder), frozenset({"mask"}))
        processed = chain.process(request)
        mask: NDArray[np.uint8] = np.load(processed.products.paths("mask")[0])
    classification = glymur.Jp2k(next(product.glob("GRANULE/*/IMG_DATA/R60m/*_SCL_60m.jp2")))[:]
    east = np.s_[:, T29UNU_TRAINING_COLUMNS:]
    valid = (mask[east] != NO_DATA) & (classification[east] != 0)
    contaminated = np.isin(classification[east], CONTAMINATED_SCENE_CLASSES)
    return confusion(mask[east] == CONTAMINATED, contaminated, valid)
