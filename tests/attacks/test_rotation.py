"""A rotation leaves no time without a key, and no old key behind."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import msgspec
import pytest

from deploy.rig.flight_unit import wait_until
from flightsw.keys import KeyFolder
from telecommands.dictionary import Code, Stage
from telecommands.ground.commanding import TelecommandClient
from telecommands.ground.connection import GroundKeys
from telecommands.ground.errors import NoAnswer
from telecommands.ground.rotation import KeyRotation
from telecommands.ground.sequence import SequenceFile
from telecommands.groundsim.cli import main
from telecommands.keys import fingerprint, generate_curve_pair, generate_telecommand_key
from tests.attacks.conftest import Attacked

_NAME = "commander"
_LINKS_CLOSED = "a client was revoked: all links are being closed and reopened"


class Rotating:
    """Rotations of a client, with what its old keys still do."""

    def __init__(self, attacked: Attacked) -> None:
        self.attacked = attacked
        self.old = attacked.keys(_NAME)
        self.sent: list[int] = []

    def commanding(self, keys: GroundKeys, sequence: SequenceFile) -> TelecommandClient:
        return TelecommandClient(self.attacked.unit.endpoints["telecommand"], keys, sequence)

    def rotate(self, old_until_s: float) -> str:
        rotation = KeyRotation(self.attacked.unit.ground, _NAME, self.commanding)
        return rotation.run(time.time_ns() + int(old_until_s * 1e9))

    def ping(self, keys: GroundKeys, link: GroundKeys | None = None) -> object:
        """What a PING signed with these keys is answered, over a link of the same or of others."""
        both = msgspec.structs.replace(keys, curve=(link or keys).curve)
        sequence = SequenceFile(self.attacked.unit.ground / "trial.sequence")
        with self.commanding(both, sequence) as client:
            answer = client.execute("PING", {}, 20)
        return answer.code or answer.stage


def test_both_keys_count_until_the_old_one_ends(attacked: Attacked) -> None:
    rotating = Rotating(attacked)
    fingerprint = rotating.rotate(3600)
    new = attacked.keys(_NAME)
    assert new.telecommand != rotating.old.telecommand
    assert new.curve != rotating.old.curve
    assert attacked.sequence(_NAME) <= 65  # the new key began at 1
    for keys, link in ((new, new), (rotating.old, rotating.old), (new, rotating.old)):
        assert rotating.ping(keys, link) is Stage.COMPLETED
    [rotated] = attacked.unit.events("KEY_ROTATED")
    assert (rotated["fields"]["key_id"], rotated["fields"]["fingerprint"]) == (_NAME, fingerprint)
    again = Rotating(attacked)
    again.rotate(1)
    newest = attacked.keys(_NAME)

    def refused(keys: GroundKeys) -> bool:
        try:
            return rotating.ping(keys, newest) is Code.BAD_MAC
        except NoAnswer:  # links were closed with the key whose time was over
            return False

    wait_until(lambda: refused(new))
    assert refused(rotating.old)
    with pytest.raises(NoAnswer, match="rejects this client's key"):
        rotating.ping(newest, rotating.old)
    assert rotating.ping(newest) is Stage.COMPLETED
    with attacked.client(_NAME) as client:
        assert client.execute("SHUT_DOWN").code is Code.NOT_PERMITTED


def test_nobody_rotates_to_the_key_of_another_or_by_schedule(attacked: Attacked) -> None:
    stolen = attacked.keys("receiver").curve
    assert stolen is not None
    request = {
        "public": stolen.public.decode(),
        "nonce": "0" * 32,
        "secret": "0" * 64,
        "old_until": 2**62,
    }
    entry = {"name": "ROTATE_KEY", "args": request}
    for name, args in (
        ("ROTATE_KEY", request),
        ("SCHEDULE", {"at": time.time_ns() + 10**8, "telecommand": entry}),
    ):
        with attacked.client(_NAME) as client:
            answer = client.execute(name, args)
        assert (answer.stage, answer.code) == (Stage.REJECTED, Code.BAD_ARGUMENTS)
    assert attacked.operator_still_commands()


def _snapshot(folder: Path) -> dict[str, tuple[object, ...]]:
    """What any write below a folder would change."""
    return {
        str(path): (
            (status := path.lstat()).st_ino,
            status.st_mode,
            status.st_mtime_ns,
            status.st_ctime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in (folder, *folder.rglob("*"))
    }


def test_the_service_writes_nothing_among_its_keys(
    attacked: Attacked, capsys: pytest.CaptureFixture[str]
) -> None:
    unit = attacked.unit
    folder = unit.state / "keys"
    generate_curve_pair(unit.ground, "leaver")
    secret = generate_telecommand_key(unit.ground, "leaver")
    KeyFolder(folder).authorise(unit.ground / "leaver.key", secret)
    before = _snapshot(folder)
    ours = ["--keys", str(unit.ground), "--as", _NAME]
    endpoints = ["--endpoints", str(unit.state / "endpoints.json")]
    assert main(["keys", "rotate", *ours, *endpoints, "--old-until", "+1h"]) == 0
    newest = attacked.keys(_NAME)
    assert newest.curve is not None
    assert fingerprint(newest.curve.public) in capsys.readouterr().out
    assert _pings(attacked)
    assert _snapshot(folder) == before
    closed = len(unit.events(_LINKS_CLOSED))
    KeyFolder(folder).revoke("leaver")
    before = _snapshot(folder)
    wait_until(lambda: len(unit.events(_LINKS_CLOSED)) > closed)
    assert unit.stop() == 0
    unit.start(wait=False)
    assert unit.announced.wait(300)
    assert _pings(attacked)  # what was rotated outlasts the restart
    assert _snapshot(folder) == before


def _pings(attacked: Attacked) -> bool:
    with attacked.client(_NAME) as client:
        return client.execute("PING", {}, 60).stage is Stage.COMPLETED
