"""``flightsw keys``: what is written, printed and refused."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from flightsw.cli import main
from flightsw.keys import Client, KeyFolder
from telecommands.dictionary import Role
from telecommands.keys import generate_curve_pair, generate_telecommand_key

Capture = pytest.CaptureFixture[str]

_DAY_NS = 86_400 * 10**9


class Board:
    """The key folder of a unit, and the files that its clients sent."""

    def __init__(self, folder: Path) -> None:
        self.ground = folder / "ground"
        self.keys = folder / "state" / "keys"
        assert main(["keys", "generate", "--unit", "sat-a", "--keys", str(self.keys)]) == 0
        self.make("alice")

    def make(self, name: str) -> None:
        generate_curve_pair(self.ground, name)
        generate_telecommand_key(self.ground, name)

    def replace(self, name: str) -> None:
        """The client made new keys under its name."""
        for path in self.ground.glob(f"{name}.*"):
            path.unlink()
        self.make(name)

    def authorise(self, *options: str, commands: bool = True) -> int:
        telecommand = ["--telecommand-key", str(self.ground / "alice.telecommand_key")]
        public = str(self.ground / "alice.key")
        return self.run("authorise", public, *(telecommand if commands else ()), *options)

    def run(self, *words: str) -> int:
        return main(["keys", *words, "--keys", str(self.keys)])

    @property
    def alice(self) -> Client:
        return KeyFolder(self.keys).clients().clients["alice"]


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


def test_roles_are_given_shown_and_changed(board: Board, capsys: Capture) -> None:
    assert board.authorise() == 0
    assert board.alice.grant.roles == set(Role)
    assert board.authorise("--roles", "watch,receive") == 0
    assert board.alice.grant.roles == {Role.WATCH, Role.RECEIVE}
    assert board.authorise() == 0  # keeps them
    assert "alice may watch, receive\n" in capsys.readouterr().out.splitlines(keepends=True)[-1]
    assert board.alice.grant.roles == {Role.WATCH, Role.RECEIVE}
    assert board.authorise("--roles", "command", commands=False) == 0
    assert board.run("list") == 0
    assert " command" in capsys.readouterr().out


def test_the_message_says_that_a_client_only_relays(board: Board, capsys: Capture) -> None:
    assert board.authorise("--roles", "command", commands=False) == 0
    assert "relays telecommands that others have signed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--roles", "watch,admin"), "'admin', which is not a role"),
        (("--roles", "hazardous"), "hazardous without the role command"),
        (("--roles", ""), "--roles has no role"),
        (("--expires", "soon"), "--expires cannot be 'soon', which is not a time"),
        (("--expires", "+1y"), "--expires cannot be '+1y'"),
        (("--expires", "+9999999d"), "--expires cannot be '+9999999d'"),  # after the year 9999
        (("--old-until", "later"), "--old-until cannot be 'later'"),
    ],
)
def test_an_option_that_cannot_be_understood_changes_nothing(
    board: Board, capsys: Capture, options: tuple[str, ...], message: str
) -> None:
    assert board.authorise(*options) == 2
    assert message in capsys.readouterr().err
    assert KeyFolder(board.keys).clients().clients == {}


def test_an_end_is_a_date_or_a_span_and_can_be_taken_back(board: Board, capsys: Capture) -> None:
    for text, expected in (
        ("2033-01-31T12:00:00Z", 1_990_785_600),
        ("2033-01-31T13:00:00+01:00", 1_990_785_600),
        ("2033-01-31 12:00", 1_990_785_600),  # UTC
    ):
        assert board.authorise("--expires", text) == 0
        assert board.alice.grant.expires == expected * 10**9
    assert "until 2033-01-31T12:00:00Z" in capsys.readouterr().out
    before = time.time_ns()
    assert board.authorise("--expires", "+90d") == 0
    after = time.time_ns()
    expires = board.alice.grant.expires
    assert expires is not None
    assert before + 89 * _DAY_NS < expires <= after + 90 * _DAY_NS
    assert board.authorise() == 0
    assert board.alice.grant.expires == expires
    assert board.authorise("--expires", "never") == 0
    assert board.alice.grant.expires is None


def test_another_key_of_a_known_name_needs_a_time_until_which_both_count(
    board: Board, capsys: Capture
) -> None:
    assert board.authorise("--roles", "watch,command") == 0
    old = board.alice.keys[0]
    board.replace("alice")
    assert board.authorise() != 0
    assert "--old-until" in capsys.readouterr().err
    assert board.alice.keys == (old,)
    assert board.authorise("--old-until", "+1h") == 0
    first, newest = board.alice.keys
    assert (first.public, newest.until) == (old.public, None)
    assert board.alice.grant.roles == {Role.WATCH, Role.COMMAND}
    capsys.readouterr()
    assert board.run("list") == 0
    assert "old key, valid until" in capsys.readouterr().out
    assert board.run("list", "--json") == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert listed["retiring"] != listed["fingerprint"]
    assert listed["roles"] == ["watch", "command"]


def test_the_end_of_a_key_is_kept_to_the_microsecond(board: Board) -> None:
    assert board.authorise() == 0
    board.replace("alice")
    assert board.authorise("--old-until", "2100-01-31T12:00:00.123457Z") == 0
    assert board.alice.keys[0].until == 4_105_080_000_123_457_000


def test_a_revoked_client_is_gone_with_its_rotated_keys(board: Board, capsys: Capture) -> None:
    assert board.authorise() == 0
    board.replace("alice")
    assert board.authorise("--old-until", "+1h") == 0
    record = board.keys.parent / "rotated_keys" / "alice.rotated"
    assert record.exists()
    assert board.run("revoke", "alice") == 0
    assert not record.exists()
    assert board.run("list") == 0
    assert "alice" not in capsys.readouterr().out.partition("accepted\n")[2]
    assert board.run("revoke", "alice") != 0
    assert "no such client is authorised" in capsys.readouterr().err


def test_the_settings_say_where_rotated_keys_are(board: Board, tmp_path: Path) -> None:
    settings = tmp_path / "flight.toml"
    settings.write_text(f'[service]\nstate_dir = "{tmp_path / "elsewhere"}"\n')
    assert board.authorise() == 0
    board.replace("alice")
    assert board.authorise("--old-until", "+1h", "--settings", str(settings)) == 0
    assert (tmp_path / "elsewhere" / "rotated_keys" / "alice.rotated").exists()


def test_a_unit_needs_a_name_for_its_keys(tmp_path: Path, capsys: Capture) -> None:
    assert main(["keys", "generate", "--keys", str(tmp_path / "new")]) == 2
    assert "--unit NAME" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
