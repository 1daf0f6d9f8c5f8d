"""kill -9 and power cuts at any moment: nothing is lost, nothing is done twice.

Samples of the campaigns of ``make faults``, with the same code and the same checker.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.faults.kills import PHASES, kill_often
from deploy.faults.laboratory import Laboratory
from deploy.faults.power_cuts import cut_once, record_life
from deploy.faults.recording import is_available

_KILLS = 8
_CUTS = 24


def test_kills_at_any_moment_lose_no_job_and_deliver_every_product_once(
    laboratory: Laboratory, tmp_path: Path
) -> None:
    episode = kill_often(laboratory, tmp_path / "unit", seed=4, kills=_KILLS)
    assert episode["findings"] == []
    assert {"working"} <= set(episode["phases"]) <= set(PHASES)
    assert episode["jobs"] > 0
    assert episode["products"] > 0


@pytest.mark.skipif(not is_available(), reason="strace is not installed (apt-get install strace)")
def test_what_a_disk_may_hold_after_a_power_cut_is_whole_and_nothing_promised_is_lost(
    laboratory: Laboratory, tmp_path: Path
) -> None:
    life = record_life(laboratory, tmp_path / "unit")
    cuts = [cut_once(life, seed) for seed in range(_CUTS)]
    assert [one for one in cuts if one["findings"]] == []
