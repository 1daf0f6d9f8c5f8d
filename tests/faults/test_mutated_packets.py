"""Mutated packet headers: a sample of the campaign of ``make faults``, the same code."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from deploy.faults import packets
from deploy.faults.packets import coded_tiles, outcomes

_MUTATIONS = 900


def test_packets_are_rewritten_or_refused_and_never_anything_else(tmp_path: Path) -> None:
    found = Counter(outcomes(coded_tiles(tmp_path), 0, _MUTATIONS))
    assert found.keys() <= {*packets.SOUND}
    assert found["refused"] > _MUTATIONS // 10
    assert found["rewritten"] > _MUTATIONS // 10
    assert found["decoded"]


def test_the_campaign_finds_an_exception_that_is_not_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(*_: object) -> list[bytes]:
        raise IndexError

    tiles = coded_tiles(tmp_path)
    monkeypatch.setattr(packets, "with_fewer_passes", careless)
    assert set(outcomes(tiles, 0, 3)) == {"unexpected IndexError"}
