"""Wrong answers of a card: a sample of the campaign of ``make faults``, the same code."""

from __future__ import annotations

import pytest

from deploy.faults.answers import KINDS, AnswerLaboratory, is_missed, text_of_answers
from deploy.faults.judged_tiles import judged_scenes
from flightsw.config import DimcSettings, Settings
from flightsw.engines.fallback import open_engine
from flightsw.engines.golden import GoldenAnswers
from flightsw.model.package import load_package


@pytest.fixture(scope="module")
def laboratory() -> AnswerLaboratory:
    package = load_package()
    settings = Settings(dimc=DimcSettings(card="simulator"))
    scene = next(judged_scenes(package, real=False))
    with open_engine("dimc", package, settings) as engine:
        return AnswerLaboratory(engine, GoldenAnswers(engine.info, package).pair_sums, [scene])


def test_wrong_answers_of_each_kind_are_corrected(laboratory: AnswerLaboratory) -> None:
    found = [laboratory.trial(seed) for seed in range(4 * len(KINDS))]
    assert {one["kind"] for one in found} == {*KINDS}
    assert not any(map(is_missed, found))
    assert sum(one["corrected"] for one in found) >= len(found) - 1  # a patch may fit its place


def test_a_trial_is_drawn_by_its_seed_and_the_table_counts_each_once(
    laboratory: AnswerLaboratory,
) -> None:
    found = [laboratory.trial(seed) for seed in range(len(KINDS))]
    assert laboratory.trial(3) == found[3]
    rows = text_of_answers(found).splitlines()
    assert f"| all | {len(found)} | {sum(one['corrected'] for one in found)} |" in rows[-1]
