from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from zmq import curve_keypair

from flightsw.errors import LinkError
from flightsw.keys import ClientKey, Grant, KeyFolder
from telecommands.auth import TelecommandKey
from telecommands.dictionary import Role
from telecommands.keys import (
    certificate,
    generate_curve_pair,
    generate_telecommand_key,
    read_curve_public,
    read_telecommand_key,
)


@pytest.fixture
def ground(tmp_path: Path) -> Path:
    folder = tmp_path / "ground"
    for name in ("alice", "bob"):
        generate_curve_pair(folder, name)
        generate_telecommand_key(folder, name)
    return folder


@pytest.fixture
def keys(tmp_path: Path) -> KeyFolder:
    folder = KeyFolder(tmp_path / "flight" / "keys")
    folder.generate("sat-a")
    return folder


def test_the_service_has_a_pair_of_its_own(keys: KeyFolder) -> None:
    public = keys.authorised_folder.parent / "service.key"
    assert keys.service_pair().public == read_curve_public(public)


def test_the_unit_has_one_name_or_none(keys: KeyFolder, tmp_path: Path) -> None:
    assert keys.unit(None) == keys.unit("sat-a") == "sat-a"
    with pytest.raises(LinkError, match=r"unit sat-a, but service.unit is sat-b"):
        keys.unit("sat-b")
    assert KeyFolder(tmp_path).unit("sat-b") == "sat-b"
    with pytest.raises(LinkError, match="flightsw keys generate --unit NAME"):
        KeyFolder(tmp_path).unit(None)
    public = keys.authorised_folder.parent / "service.key"
    public.write_text(public.read_text().replace("sat-a", "../sat"))
    with pytest.raises(LinkError, match="not a valid name of a unit"):
        keys.unit(None)


@pytest.mark.parametrize("name", ["", "a b", ".a", "a.b", "a/b", "-a", "a" * 21])
def test_a_wrong_name_of_a_unit_makes_no_keys(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "new"
    if name:
        with pytest.raises(LinkError, match="1 to 20 of"):
            KeyFolder(folder).generate(name)
    assert not folder.exists()


def test_generating_twice_is_refused_and_keeps_the_pair(keys: KeyFolder) -> None:
    pair = keys.service_pair()
    with pytest.raises(LinkError, match="already exists"):
        keys.generate("sat-a")
    assert keys.service_pair() == pair


def test_without_a_pair_the_cure_is_named(tmp_path: Path) -> None:
    with pytest.raises(LinkError, match="flightsw keys generate"):
        KeyFolder(tmp_path).service_pair()


def test_a_service_pair_that_others_may_read_is_refused(keys: KeyFolder) -> None:
    secret = keys.authorised_folder.parent / "service.key_secret"
    secret.chmod(0o644)
    with pytest.raises(LinkError, match=f"chmod 600 {secret}"):
        keys.service_pair()


def test_nobody_is_let_in_before_being_authorised(keys: KeyFolder) -> None:
    assert keys.names() == []
    assert keys.clients().telecommand == {}


def test_an_authorised_client_is_listed_and_may_command(keys: KeyFolder, ground: Path) -> None:
    shared = ground / "alice.telecommand_key"
    assert keys.authorise(ground / "alice.key", shared).name == "alice"
    assert keys.authorise(ground / "bob.key").name == "bob"
    assert [(one.name, one.may_command) for one in keys.names()] == [
        ("alice", True),
        ("bob", False),
    ]
    assert keys.clients().telecommand == {"alice": (read_telecommand_key(shared),)}


def test_only_the_public_key_is_copied(keys: KeyFolder, ground: Path) -> None:
    public = ground / "alice.key"
    public.write_text(f"# a remark that stays on the ground\n{public.read_text()}")
    keys.authorise(public)
    copy = keys.authorised_folder / "alice.key"
    assert read_curve_public(copy) == read_curve_public(public)
    assert "remark" not in copy.read_text()


def test_all_that_lies_in_the_folder_is_private(keys: KeyFolder, ground: Path) -> None:
    keys.authorise(ground / "alice.key", ground / "alice.telecommand_key")
    root = keys.authorised_folder.parent
    modes = {
        path.relative_to(root).as_posix(): stat.S_IMODE(path.stat().st_mode)
        for path in (root, *root.rglob("*"))
    }
    assert modes == {
        ".": 0o700,
        "authorised": 0o700,
        "telecommand": 0o700,
        "service.key": 0o600,
        "service.key_secret": 0o600,
        "authorised/alice.key": 0o600,
        "telecommand/alice.telecommand_key": 0o600,
    }


def test_a_file_with_a_secret_in_it_is_refused(keys: KeyFolder, ground: Path) -> None:
    leaked = ground / "carol.key"
    leaked.write_bytes((ground / "alice.key_secret").read_bytes())
    with pytest.raises(LinkError, match="holds the client's secret key"):
        keys.authorise(leaked)
    assert keys.names() == []


def test_authorising_again_changes_nothing_and_may_add_the_right_to_command(
    keys: KeyFolder, ground: Path
) -> None:
    keys.authorise(ground / "alice.key")
    keys.authorise(ground / "alice.key", ground / "alice.telecommand_key")
    keys.authorise(ground / "alice.key")
    assert [(one.name, one.may_command) for one in keys.names()] == [("alice", True)]


def test_another_key_under_a_known_name_needs_a_revocation_first(
    keys: KeyFolder, ground: Path
) -> None:
    shared = ground / "alice.telecommand_key"
    keys.authorise(ground / "alice.key", shared)
    known = keys.names()
    for name in ("alice.key", "alice.telecommand_key"):
        (ground / name).write_bytes((ground / name.replace("alice", "bob")).read_bytes())
        with pytest.raises(LinkError, match="flightsw keys revoke alice"):
            keys.authorise(ground / "alice.key", shared)
        assert keys.names() == known
    keys.revoke("alice")
    keys.authorise(ground / "alice.key", shared)
    assert keys.clients().telecommand == {"alice": (read_telecommand_key(shared),)}


def test_a_revoked_client_leaves_nothing_behind(keys: KeyFolder, ground: Path) -> None:
    keys.authorise(ground / "alice.key", ground / "alice.telecommand_key")
    keys.revoke("alice")
    assert keys.names() == []
    assert keys.clients().telecommand == {}
    with pytest.raises(LinkError, match="no such client"):
        keys.revoke("alice")


def test_a_telecommand_key_of_another_client_is_refused(keys: KeyFolder, ground: Path) -> None:
    with pytest.raises(LinkError, match="belongs to bob"):
        keys.authorise(ground / "alice.key", ground / "bob.telecommand_key")
    assert keys.names() == []


def test_no_client_takes_the_services_name(keys: KeyFolder, ground: Path) -> None:
    generate_curve_pair(ground, "service")
    with pytest.raises(LinkError, match="service's own name"):
        keys.authorise(ground / "service.key")


@pytest.mark.parametrize("name", ["alice.key_secret", "alice.telecommand_key", "absent.key"])
def test_a_file_without_a_public_key_is_not_authorised(
    keys: KeyFolder, ground: Path, name: str
) -> None:
    with pytest.raises(LinkError):
        keys.authorise(ground / name)
    assert keys.names() == []


def test_a_shared_secret_that_others_may_read_locks_out_its_client_only(
    keys: KeyFolder, ground: Path
) -> None:
    for name in ("alice", "bob"):
        keys.authorise(ground / f"{name}.key", ground / f"{name}.telecommand_key")
    copy = keys.telecommand_folder / "alice.telecommand_key"
    copy.chmod(0o640)
    clients = keys.clients()
    assert set(clients.telecommand) == {"bob"}
    [refused] = clients.refused
    assert f"chmod 600 {copy}" in str(refused)
    listed = {one.name: one for one in keys.names()}
    assert (listed["alice"].may_command, listed["bob"].may_command) == (False, True)
    assert "chmod 600" in listed["alice"].problems[0]


def _spoil(path: Path, how: str) -> None:
    if how == "binary":
        path.write_bytes(bytes(range(256)))
    elif how == "empty":
        path.touch()
    elif how == "no public key":
        path.write_text("metadata\ncurve\n")
    elif how == "a secret only":
        path.write_text('curve\n    secret-key = "x"\n')
    elif how == "folder":
        path.mkdir()
    elif how == "dangling link":
        path.symlink_to("nowhere")
    elif how == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(b"#" * 100_000)


SPOILT = (
    "binary", "empty", "no public key", "a secret only", "folder", "dangling link", "pipe", "long",
)  # fmt: skip


@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize("kind", ["authorised/eve.key", "telecommand/eve.telecommand_key"])
def test_a_file_that_cannot_be_used_locks_nobody_else_out(
    keys: KeyFolder, ground: Path, how: str, kind: str
) -> None:
    keys.authorise(ground / "alice.key", ground / "alice.telecommand_key")
    _spoil(keys.authorised_folder.parent / kind, how)
    clients = keys.clients()
    assert (set(clients.clients), set(clients.telecommand)) == ({"alice"}, {"alice"})
    assert [Path(error.subject).stem for error in clients.refused] == ["eve"]
    assert [one.name for one in keys.names() if one.problems] == ["eve"]
    keys.revoke("alice")
    assert keys.clients().clients == {}


def test_a_public_key_has_one_name(keys: KeyFolder, ground: Path) -> None:
    keys.authorise(ground / "alice.key")
    (ground / "mallory.key").write_bytes((ground / "alice.key").read_bytes())
    with pytest.raises(LinkError, match="already under the name alice"):
        keys.authorise(ground / "mallory.key")
    copy = keys.authorised_folder / "mallory.key"
    copy.write_bytes((keys.authorised_folder / "alice.key").read_bytes())
    clients = keys.clients()
    assert set(clients.clients) == {"alice"}
    assert "the same key as alice.key" in str(clients.refused[0])


def test_every_change_of_a_file_is_seen(keys: KeyFolder, ground: Path) -> None:
    keys.authorise(ground / "alice.key", ground / "alice.telecommand_key")
    secret = keys.telecommand_folder / "alice.telecommand_key"
    states = [keys.files()]
    for change in (
        lambda: secret.chmod(0o644),
        lambda: secret.chmod(0o600),
        lambda: secret.write_text("0" * 64),
        lambda: secret.rename(secret.with_name("bob.telecommand_key")),
        lambda: keys.revoke("alice"),
    ):
        change()
        states.append(keys.files())
    assert len(set(states)) == len(states)


def test_a_name_cannot_lead_out_of_the_folder(keys: KeyFolder) -> None:
    with pytest.raises(LinkError):
        keys.revoke("../service")
    keys.service_pair()


def _clock(keys: KeyFolder, now: int) -> KeyFolder:
    return KeyFolder(keys.authorised_folder.parent, clock=lambda: now)


def test_a_client_has_the_roles_that_it_was_given(keys: KeyFolder, ground: Path) -> None:
    commander = keys.authorise(ground / "alice.key", ground / "alice.telecommand_key")
    assert commander.grant.roles == set(Role)
    assert keys.authorise(ground / "bob.key").grant.roles == {Role.WATCH}
    keys.authorise(ground / "bob.key", roles=frozenset({Role.RECEIVE}), expires=2 * 10**18)
    keys.authorise(ground / "bob.key")  # changes nothing
    bob = keys.clients().clients["bob"]
    assert bob.grant == Grant(frozenset({Role.RECEIVE}), 2 * 10**18)
    keys.authorise(ground / "bob.key", expires=None)
    assert keys.clients().clients["bob"].grant == Grant(frozenset({Role.RECEIVE}))


def test_the_clients_own_file_gives_no_roles(keys: KeyFolder, ground: Path) -> None:
    public = ground / "bob.key"
    public.write_bytes(certificate(read_curve_public(public), {"roles": "watch command hazardous"}))
    assert keys.authorise(public).grant.roles == {Role.WATCH}


@pytest.mark.parametrize("commands", [True, False])
def test_a_key_file_without_roles_keeps_a_meaning_and_is_marked(
    keys: KeyFolder, ground: Path, *, commands: bool
) -> None:
    keys.authorise(ground / "alice.key", ground / "alice.telecommand_key" if commands else None)
    copy = keys.authorised_folder / "alice.key"
    copy.write_bytes(certificate(read_curve_public(copy)))
    [listed] = keys.names()
    assert listed.roles == (("watch", "command", "receive") if commands else ("watch",))
    assert not listed.roles_given


def test_an_expired_client_is_not_let_in_and_says_so(keys: KeyFolder, ground: Path) -> None:
    keys.authorise(ground / "alice.key", expires=1000 * 10**9)
    before = _clock(keys, 999 * 10**9).clients()
    assert set(before.clients) == {"alice"}
    assert before.changes_at == 1000 * 10**9
    after = _clock(keys, 1000 * 10**9).clients()
    assert after.clients == {}
    assert "expired at 1970-01-01T00:16:40Z" in str(after.refused[0])


def test_two_keys_of_a_client_count_until_the_old_one_ends(keys: KeyFolder, ground: Path) -> None:
    shared = ground / "alice.telecommand_key"
    old = keys.authorise(ground / "alice.key", shared).keys[0]
    for suffix in (".key", ".telecommand_key"):
        (ground / f"alice{suffix}").write_bytes((ground / f"bob{suffix}").read_bytes())
    keys.authorise(ground / "alice.key", shared, old_until=2000 * 10**9)
    during = _clock(keys, 1999 * 10**9).clients()
    new = during.clients["alice"].keys[1]
    assert [key.public for key in during.clients["alice"].keys] == [old.public, new.public]
    assert during.telecommand["alice"] == (old.telecommand, new.telecommand)
    assert during.by_public[old.public] == during.by_public[new.public]
    after = _clock(keys, 2000 * 10**9).clients()
    assert after.clients["alice"].keys == (new,)
    assert after.clients["alice"].grant.roles == set(Role)
    keys.revoke("alice")
    assert keys.clients().clients == {}
    assert [*keys.rotated_folder.iterdir()] == []


def _rotated(keys: KeyFolder, ground: Path, name: str = "alice") -> Path:
    """The client is authorised, and rotated to a new pair; the record of it."""
    client = keys.authorise(ground / f"{name}.key", ground / f"{name}.telecommand_key")
    new = ClientKey(curve_keypair()[0], TelecommandKey(name, b"n" * 32))
    keys.rotate(client, client.keys[-1], new, 2**62)
    return keys.rotated_folder / f"{name}.rotated"


@pytest.mark.parametrize("how", ["damaged", "changed", "of another client", "of another unit"])
def test_a_record_of_a_rotation_that_the_service_did_not_make_locks_its_client_out(
    keys: KeyFolder, ground: Path, tmp_path: Path, how: str
) -> None:
    record = _rotated(keys, ground)
    if how == "damaged":
        record.write_text("{}")
    elif how == "changed":
        kept = json.loads(record.read_text())
        kept["keys"][1]["secret"] = "e" * 64  # the secret of anyone who writes into the state
        record.write_text(json.dumps(kept))
    elif how == "of another client":
        record.write_bytes(_rotated(keys, ground, "bob").read_bytes())
    else:
        other = KeyFolder(tmp_path / "other" / "keys")
        other.generate("sat-b")
        record.write_bytes(_rotated(other, ground).read_bytes())
    assert "alice" not in keys.clients().clients
    assert [Path(error.subject).stem for error in keys.clients().refused] == ["alice"]
    keys.revoke("alice")
    keys.authorise(ground / "alice.key", ground / "alice.telecommand_key")
    assert set(keys.clients().telecommand) >= {"alice"}


def test_a_record_from_before_there_were_seals_counts_until_the_next_rotation(
    keys: KeyFolder, ground: Path
) -> None:
    record = _rotated(keys, ground)
    before = keys.authorised_folder.parent / "rotated" / "alice.rotated"
    before.parent.mkdir()
    kept = json.loads(record.read_text())
    del kept["seal"]
    before.write_text(json.dumps(kept))
    before.chmod(0o600)
    seen = keys.files()
    record.unlink()
    assert keys.files() != seen
    alice = keys.clients().clients["alice"]
    assert len(alice.keys) == 2
    newest = ClientKey(curve_keypair()[0], TelecommandKey("alice", b"m" * 32))
    keys.rotate(alice, alice.keys[-1], newest, 2**62)
    assert keys.clients().clients["alice"].keys[-1] == newest
    keys.revoke("alice")
    assert not before.exists()
    assert not record.exists()


def test_the_records_are_below_the_state_and_only_there(
    keys: KeyFolder, ground: Path, tmp_path: Path
) -> None:
    elsewhere = KeyFolder(keys.authorised_folder.parent, tmp_path / "state")
    record = _rotated(elsewhere, ground)
    assert record == tmp_path / "state" / "rotated_keys" / "alice.rotated"
    assert record.stat().st_mode & 0o777 == 0o600
    assert record.parent.stat().st_mode & 0o777 == 0o700


def test_nobody_rotates_to_a_key_that_another_has(keys: KeyFolder, ground: Path) -> None:
    alice = keys.authorise(ground / "alice.key", ground / "alice.telecommand_key")
    bob = keys.authorise(ground / "bob.key")
    with pytest.raises(LinkError, match="already under the name bob"):
        keys.rotate(alice, alice.keys[0], bob.keys[0], 2**62)
    assert keys.clients().clients["alice"].keys == alice.keys
