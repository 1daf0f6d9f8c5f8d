"""Mutated telecommand frames: a sample of the campaign, and that it would notice an escape."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from deploy.faults import frames
from deploy.faults.frames import ESCAPE, SOUND, frame_outcomes

_FRAMES = 2000


def test_a_frame_that_nobody_signed_is_refused_with_a_code(tmp_path: Path) -> None:
    found = Counter(frame_outcomes(tmp_path / "state", 0, _FRAMES))
    assert set(found) <= set(SOUND)
    assert found["refused"] > _FRAMES // 2
    assert found["signed by an insider, refused"]
    assert found["signed by an insider, decoded"]


def test_the_campaign_notices_an_authentication_that_checks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flightsw.commanding.gate.verify", lambda _header, _body, _key: None)
    assert ESCAPE in set(frame_outcomes(tmp_path / "state", 0, 300))


def test_the_campaign_notices_an_exception_that_is_not_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(*_: object) -> None:
        raise IndexError

    monkeypatch.setattr("flightsw.commanding.gate.decode_header", careless)
    assert "unexpected IndexError" in set(frame_outcomes(tmp_path / "state", 0, 30))


def test_every_mutation_differs_from_what_was_signed() -> None:
    chance = frames.random.Random(1)
    for number in range(200):
        one, other = frames.signed(chance, 2 * number), frames.signed(chance, 2 * number + 1)
        assert frames.mutated(chance, one, other) not in (one, other)
