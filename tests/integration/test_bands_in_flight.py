"""A service changes between models of different bands without a restart."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.faults.small_package import write_small_package
from deploy.rig.forked import flight_unit
from flightsw import sentinel_2
from flightsw.host.disk import sha256
from flightsw.model.package import CHECKSUMS
from telecommands.dictionary import Code, Stage
from tests.unit.flightsw.scene.safe_writer import ALL_AT, SafeProduct, as_measured

pytestmark = pytest.mark.skipif(
    "FLIGHTSW_LONG_TESTS" not in os.environ, reason="starts a service: set FLIGHTSW_LONG_TESTS"
)


def bright_beyond_10_m(band: str) -> NDArray[np.uint16]:
    """Bands at 10 m are dark, the others bright: only a model that sees those finds cloud."""
    return np.full_like(as_measured(band), 2000 if band in ALL_AT[10] else 9000)


def test_models_of_four_and_of_thirteen_bands_take_turns(tmp_path: Path) -> None:
    four = write_small_package(tmp_path / "four")
    all_bands = SafeProduct(ALL_AT, level="L1C").write(tmp_path, pixels=bright_beyond_10_m)
    with flight_unit(tmp_path / "unit") as unit:
        unit.use_package(four)
        inbox = unit.state / "model_inbox"
        thirteen = write_small_package(inbox / "thirteen", "13.0", sentinel_2.BANDS)
        level_1c = unit.add_scene(all_bands)
        level_2a = unit.add_scene(SafeProduct().write(tmp_path))
        unit.start()
        before = unit.execute("PROCESS_SCENE", scene=level_1c, products=["mask"])
        assert before.data["contaminated"] == 0
        digest = sha256(thirteen / CHECKSUMS)
        staged = unit.execute("STAGE_MODEL", package="thirteen", sha256=digest)
        model = staged.data["staged"]
        assert unit.execute("ACTIVATE_MODEL", model=model).stage is Stage.COMPLETED
        after = unit.execute("PROCESS_SCENE", scene=level_1c, products=["mask", "quicklook"])
        assert (after.data["model"], after.data["contaminated"]) == (model, 1)
        refused = unit.execute("PROCESS_SCENE", scene=level_2a)
        assert (refused.stage, refused.code) == (Stage.FAILED, Code.MISSING_BAND)
        assert unit.execute("SELF_TEST").data["passed"]
        assert unit.execute("ROLL_BACK_MODEL").data["active"] == before.data["model"]
        again = unit.execute("PROCESS_SCENE", scene=level_2a, products=["mask"])
        assert again.data["model"] == before.data["model"]
        assert unit.stop() == 0
