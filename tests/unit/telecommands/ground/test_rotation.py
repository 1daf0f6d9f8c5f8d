"""A rotation of keys, interrupted anywhere, is continued by the same command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from telecommands.auth import TelecommandKey
from telecommands.dictionary import Code, Stage, Verification
from telecommands.ground.connection import GroundKeys, read_ground_keys
from telecommands.ground.errors import LinkError, NoAnswer, UnusableKey
from telecommands.ground.rotation import KeyRotation
from telecommands.ground.sequence import SequenceFile
from telecommands.keys import (
    fingerprint,
    generate_curve_pair,
    generate_telecommand_key,
    wrap_secret,
)

_NAME = "alice"
_OLD_UNTIL = 2**62


class Interrupted(Exception):  # noqa: N818 - not a fault
    """The machine of the ground is switched off."""


class Board:
    """The service's side of the link: which keys of the client count.

    ``interrupted`` is the message at which the ground ends: before it arrives, or after.
    """

    def __init__(self, keys: GroundKeys) -> None:
        assert keys.curve is not None
        assert keys.telecommand is not None
        self.counting = {(keys.curve.public, keys.telecommand.secret)}
        self.interrupted: tuple[int, str] | None = None
        self.refuses: Code | None = None
        self.rotations: list[int] = []
        self._messages = 0

    def commanding(self, keys: GroundKeys, _sequence: SequenceFile) -> Any:
        return _Client(self, keys)

    def take(self, keys: GroundKeys, name: str, args: dict[str, Any]) -> Verification:
        self._messages += 1
        if self.interrupted == (self._messages, "before"):
            raise Interrupted
        assert keys.curve is not None
        assert keys.telecommand is not None
        publics, secrets = zip(*self.counting, strict=True)
        if keys.curve.public not in publics or keys.telecommand.secret not in secrets:
            raise NoAnswer("tcp://board", "rejects this client's key")
        stage, code = Stage.COMPLETED, None
        if name == "ROTATE_KEY" and self.refuses:
            stage, code = Stage.REJECTED, self.refuses
        elif name == "ROTATE_KEY":
            secret = bytes.fromhex(args["secret"])
            new = wrap_secret(keys.telecommand, bytes.fromhex(args["nonce"]), secret)
            self.counting.add((args["public"].encode(), new))
            self.rotations.append(args["old_until"])
        if self.interrupted == (self._messages, "after"):
            raise Interrupted
        return Verification(
            id="x", key_id=_NAME, name=name, stage=stage, at=0, code=code, cause="no", cure="Wait"
        )


class _Client:
    def __init__(self, board: Board, keys: GroundKeys) -> None:
        self._board, self._keys = board, keys

    def __enter__(self) -> _Client:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def execute(self, name: str, args: dict[str, Any], _timeout_s: float) -> Verification:
        return self._board.take(self._keys, name, args)


@pytest.fixture
def ground(tmp_path: Path) -> Path:
    folder = tmp_path / "ground"
    generate_curve_pair(folder, _NAME)
    generate_telecommand_key(folder, _NAME)
    generate_curve_pair(tmp_path / "board", "service", "sat-a")
    (folder / "service.key").write_bytes((tmp_path / "board" / "service.key").read_bytes())
    return folder


def _keys(ground: Path) -> tuple[bytes, bytes]:
    keys = read_ground_keys(ground, _NAME)
    assert keys.curve is not None
    assert isinstance(keys.telecommand, TelecommandKey)
    return keys.curve.public, keys.telecommand.secret


def _run(ground: Path, board: Board) -> str:
    return KeyRotation(ground, _NAME, board.commanding).run(_OLD_UNTIL)


def test_new_keys_are_sent_tried_and_put_in_place(ground: Path) -> None:
    board, old = Board(read_ground_keys(ground, _NAME)), _keys(ground)
    shown = _run(ground, board)
    new = _keys(ground)
    assert new[0] != old[0]
    assert new[1] != old[1]
    assert shown == fingerprint(new[0])
    assert board.counting == {old, new}
    assert board.rotations == [_OLD_UNTIL]
    assert not (ground / "next").exists()


@pytest.mark.parametrize("message", [1, 2])
@pytest.mark.parametrize("when", ["before", "after"])
def test_what_a_lost_link_interrupted_is_continued(ground: Path, message: int, when: str) -> None:
    board = Board(read_ground_keys(ground, _NAME))
    board.interrupted = message, when
    with pytest.raises(Interrupted):
        _run(ground, board)
    assert _keys(ground) in board.counting
    board.interrupted = None
    shown = _run(ground, board)
    assert shown == fingerprint(_keys(ground)[0])
    assert _keys(ground) in board.counting
    assert len(board.counting) == 2  # one new key, sent once or twice


@pytest.mark.parametrize("placed", range(3))
def test_what_was_put_in_place_in_part_is_completed(
    ground: Path, placed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    board, left = Board(read_ground_keys(ground, _NAME)), [placed]
    replace = Path.replace

    def replaced(path: Path, target: Path) -> Path:
        if path.parent.name == "next":
            if not left[0]:
                raise Interrupted
            left[0] -= 1
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", replaced)
    with pytest.raises(Interrupted):
        _run(ground, board)
    monkeypatch.undo()
    _run(ground, board)
    assert _keys(ground) in board.counting
    assert len(board.counting) == 2
    assert not (ground / "next").exists()


def test_a_refusal_says_so_and_leaves_the_keys(ground: Path) -> None:
    board, old = Board(read_ground_keys(ground, _NAME)), _keys(ground)
    board.refuses = Code.TIME_PASSED
    with pytest.raises(LinkError, match="ROTATE_KEY was answered REJECTED with TIME_PASSED: no"):
        _run(ground, board)
    assert _keys(ground) == old


def test_a_client_that_cannot_sign_gets_a_message_with_the_cure(ground: Path) -> None:
    board = Board(read_ground_keys(ground, _NAME))
    (ground / f"{_NAME}.telecommand_key").unlink()
    with pytest.raises(UnusableKey, match="authorised on board"):
        _run(ground, board)
