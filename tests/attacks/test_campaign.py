"""A sample of the campaign of attacks, and that it would notice what escapes."""

from __future__ import annotations

from deploy.faults.attackers import ATTACKS
from deploy.faults.attacks import attack_once, text_of_attacks
from tests.attacks.conftest import Attacked

_SECONDS = 0.5


def test_an_attack_is_measured_and_leaves_the_unit_as_it_was(attacked: Attacked) -> None:
    results = [
        attack_once(attacked.unit, attacked.product, name, _SECONDS, 1)
        for name in ("changed frames", "watch-only key")
    ]
    for one in results:
        assert one["findings"] == []
        assert one["sent"] > 0
        assert len(one["ping_ms"]) > 1
    table = text_of_attacks(results)
    assert "| changed frames |" in table
    assert set(ATTACKS) >= {one["attack"] for one in results}


def test_the_campaign_notices_what_escapes(attacked: Attacked) -> None:
    ground = attacked.unit.ground
    kept = {path: path.read_bytes() for path in ground.glob("watcher.key*")}
    try:
        for path in kept:  # the one that may only watch has the key of one that may command
            path.write_bytes((ground / f"commander{path.suffix}").read_bytes())
        one = attack_once(attacked.unit, attacked.product, "watch-only key", _SECONDS, 1)
    finally:
        for path, content in kept.items():
            path.write_bytes(content)
    assert "received on downlink" in str(one["findings"])
