"""A run over stub scenes in real processes: a worker, then the driver, is killed with SIGKILL."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from deploy.archive.kills import is_right, kill_once

pytest.importorskip("distributed", reason="needs the extra archive")


def test_an_archive_is_complete_after_kills_and_computes_nothing_twice(tmp_path: Path) -> None:
    result = kill_once(tmp_path, random.Random(3), scenes=16)
    assert is_right(result), result
    assert 0 < result["recorded_before"] < 16
    assert result["computed"] == 16 - result["recorded_before"]
