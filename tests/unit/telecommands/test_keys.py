from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telecommands.ground.connection import read_ground_keys
from telecommands.ground.errors import UnusableKey
from telecommands.ground.station import Station, StationEndpoints
from telecommands.keys import (
    KeyRefused,
    check_name,
    fingerprint,
    generate_curve_pair,
    generate_telecommand_key,
    make_key_folder,
    read_curve_pair,
    read_curve_public,
    read_telecommand_key,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def test_a_generated_pair_is_read_back(folder: Path) -> None:
    secret = generate_curve_pair(folder, "alice")
    pair = read_curve_pair(secret)
    assert secret == folder / "alice.key_secret"
    assert read_curve_public(folder / "alice.key") == pair.public
    assert len(pair.secret) == 40


def test_a_generated_telecommand_key_is_read_back_under_its_name(folder: Path) -> None:
    key = read_telecommand_key(generate_telecommand_key(folder, "alice"))
    assert key.key_id == "alice"
    assert len(key.secret) == 32


def test_two_generated_keys_differ(folder: Path) -> None:
    one, other = (
        read_telecommand_key(generate_telecommand_key(folder, name)) for name in ("one", "other")
    )
    assert one.secret != other.secret


def test_what_is_generated_belongs_to_its_owner_alone(folder: Path) -> None:
    generate_curve_pair(folder, "alice")
    generate_telecommand_key(folder, "alice")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == dict.fromkeys(("alice.key", "alice.key_secret", "alice.telecommand_key"), 0o600)


@pytest.mark.parametrize("suffix", ["key", "key_secret", "telecommand_key"])
def test_generating_never_overwrites(folder: Path, suffix: str) -> None:
    make_key_folder(folder)
    there = folder / f"alice.{suffix}"
    there.write_text("kept")
    generate = generate_telecommand_key if suffix == "telecommand_key" else generate_curve_pair
    with pytest.raises(KeyRefused, match="already exists"):
        generate(folder, "alice")
    assert [path.name for path in folder.iterdir()] == [there.name]
    assert there.read_text() == "kept"


def test_no_secret_is_shown(folder: Path) -> None:
    pair = read_curve_pair(generate_curve_pair(folder, "alice"))
    key = read_telecommand_key(generate_telecommand_key(folder, "alice"))
    assert pair.secret.decode() not in f"{pair!r} {pair}"
    assert key.secret.hex() not in f"{key!r} {key}"
    assert repr(key.secret) not in f"{key!r} {key}"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644, 0o660])
def test_a_secret_that_others_may_use_is_refused_with_the_cure(folder: Path, mode: int) -> None:
    pair, key = generate_curve_pair(folder, "alice"), generate_telecommand_key(folder, "alice")
    for path in (pair, key):
        path.chmod(mode)
        read = read_curve_pair if path is pair else read_telecommand_key
        with pytest.raises(KeyRefused) as refused:
            read(path)
        assert refused.value.path == path
        assert refused.value.cure == f"Run: chmod 600 {path}"
        path.chmod(0o600)
        read(path)


def test_links_folders_and_absent_files_are_refused(folder: Path) -> None:
    key = generate_telecommand_key(folder, "alice")
    link = folder / "linked.telecommand_key"
    link.symlink_to(key)
    (folder / "folder.telecommand_key").mkdir(mode=0o700)
    for name, cause in (
        ("linked", "is a link"),
        ("folder", "is not a file"),
        ("absent", "no such"),
    ):
        with pytest.raises(KeyRefused, match=cause):
            read_telecommand_key(folder / f"{name}.telecommand_key")


@pytest.mark.parametrize(
    "content",
    [b"", b"0" * 63, b"0" * 65, b"g" * 64, b"0" * 64 + b"\n\n", b"\xff" * 64, b"0" * 5000],
)
def test_garbage_is_not_a_telecommand_key(folder: Path, content: bytes) -> None:
    path = generate_telecommand_key(folder, "alice")
    path.write_bytes(content)
    with pytest.raises(KeyRefused):
        read_telecommand_key(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"public-key",
        b'public-key = "short"',
        b'public-key = "' + b"a" * 40 + b'"\nsecret-key = "short"',
        b'public-key = "' + b"a" * 40 + b'"',
    ],
)
def test_garbage_is_not_a_pair(folder: Path, content: bytes) -> None:
    path = generate_curve_pair(folder, "alice")
    path.write_bytes(content)
    with pytest.raises(KeyRefused):
        read_curve_pair(path)


def test_keys_of_two_pairs_make_no_pair(folder: Path) -> None:
    path = generate_curve_pair(folder, "alice")
    other = read_curve_pair(generate_curve_pair(folder, "bob"))
    pair = read_curve_pair(path)
    path.write_bytes(path.read_bytes().replace(pair.public, other.public))
    with pytest.raises(KeyRefused, match="do not match"):
        read_curve_pair(path)


@given(st.text(max_size=70))
def test_a_name_is_plain_whatever_is_given(name: str) -> None:
    allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"
    plain = 1 <= len(name) <= 64 and set(name) <= set(allowed) and name[0] not in ".-"
    try:
        check_name(name)
    except KeyRefused:
        assert not plain
    else:
        assert plain


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "-rf", "a\n", "ä", "a" * 65])
def test_no_key_gets_a_name_that_is_none(folder: Path, name: str) -> None:
    with pytest.raises(KeyRefused):
        generate_curve_pair(folder, name)
    with pytest.raises(KeyRefused):
        generate_telecommand_key(folder, name)
    assert not folder.exists()


def test_a_folder_into_which_others_write_is_refused(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o770)
    with pytest.raises(KeyRefused, match="chmod 700"):
        generate_curve_pair(folder, "alice")


def test_keys_have_different_fingerprints() -> None:
    assert fingerprint(b"a" * 40) != fingerprint(b"b" * 40)
    assert len(fingerprint(b"a" * 40)) == 32


def _ground_folder(folder: Path) -> None:
    generate_curve_pair(folder, "alice")
    generate_curve_pair(folder, "service")


def test_ground_keys_are_all_that_a_client_needs(folder: Path) -> None:
    _ground_folder(folder)
    generate_telecommand_key(folder, "alice")
    keys = read_ground_keys(folder, "alice")
    assert keys.curve == read_curve_pair(folder / "alice.key_secret")
    assert keys.service_public == read_curve_public(folder / "service.key")
    assert keys.telecommand == read_telecommand_key(folder / "alice.telecommand_key")


def test_a_client_without_telecommand_key_may_still_listen(folder: Path) -> None:
    _ground_folder(folder)
    assert read_ground_keys(folder, "alice").telecommand is None


def test_a_plain_link_needs_no_curve_keys(folder: Path) -> None:
    generate_telecommand_key(folder, "alice")
    keys = read_ground_keys(folder, "alice", curve=False)
    assert keys.curve is None
    assert keys.telecommand is not None


@pytest.mark.parametrize(
    ("absent", "cure"),
    [
        ("alice.key_secret", "Run: groundsim keys generate alice --keys"),
        ("service.key", "run: groundsim keys trust service.key --keys"),
    ],
)
def test_an_absent_key_is_named_with_the_command_that_makes_it(
    folder: Path, absent: str, cure: str
) -> None:
    _ground_folder(folder)
    (folder / absent).unlink()
    with pytest.raises(UnusableKey, match=absent) as refused:
        read_ground_keys(folder, "alice")
    assert cure in refused.value.cure
    assert "docs/operations.md, Keys" in refused.value.cure


def test_an_absent_folder_is_named_with_the_command_that_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FLIGHTSW_GROUND_KEYS", raising=False)
    with pytest.raises(UnusableKey) as refused:
        read_ground_keys(Path("keys"), "operator")
    assert str(refused.value) == (
        "./keys does not exist, so there are no ground keys for 'operator' (operator.key_secret). "
        "Run: groundsim keys generate operator (docs/operations.md, Keys)"
    )


@pytest.mark.parametrize(("watch_only", "made"), [(True, "ANOTHER_NAME"), (False, "alice")])
def test_an_absent_telecommand_key_is_named_with_the_command_that_makes_it(
    folder: Path, *, watch_only: bool, made: str
) -> None:
    if watch_only:
        _ground_folder(folder)
    links = StationEndpoints("tcp://127.0.0.1:1", "tcp://127.0.0.1:2", "tcp://127.0.0.1:3")
    keys = read_ground_keys(folder, "alice", curve=watch_only)
    with pytest.raises(UnusableKey, match=r"alice\.telecommand_key") as refused:
        Station(links, keys, folder / "alice.sequence").commanding()
    assert f"Run: groundsim keys generate {made}" in refused.value.cure
