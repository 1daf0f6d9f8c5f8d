from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightsw.keys.grant import Grant, legacy_grant, read_grant, roles_of
from telecommands.dictionary import Role
from telecommands.keys import KeyRefused, certificate, read_metadata

_PATH = Path("alice.key")
_SOME = st.frozensets(st.sampled_from(Role), min_size=1).filter(
    lambda roles: Role.HAZARDOUS not in roles or Role.COMMAND in roles
)


@given(roles=_SOME, expires=st.none() | st.integers(0, 4_000_000_000))
def test_a_grant_is_read_as_it_was_written(roles: frozenset[Role], expires: int | None) -> None:
    grant = Grant(roles, None if expires is None else expires * 10**9)
    assert read_grant(grant.metadata(), _PATH) == grant


def test_a_grant_stands_in_the_certificate(tmp_path: Path) -> None:
    path = tmp_path / "alice.key"
    grant = Grant(frozenset({Role.WATCH, Role.RECEIVE}), 1_800_000_000 * 10**9)
    path.write_bytes(certificate(b"x" * 40, grant.metadata()))
    path.chmod(0o600)
    assert read_grant(read_metadata(path), path) == grant
    path.chmod(0o620)
    with pytest.raises(KeyRefused, match="writable by other users"):
        read_metadata(path)


@pytest.mark.parametrize(
    "metadata",
    [
        {"roles": ""},
        {"roles": "watch admin"},
        {"roles": "watch hazardous"},
        {"roles": "watch", "expires": "soon"},
    ],
)
def test_a_grant_that_cannot_be_understood_is_refused(metadata: dict[str, str]) -> None:
    with pytest.raises(KeyRefused):
        read_grant(metadata, _PATH)


def test_a_client_of_a_time_before_roles_does_nothing_hazardous() -> None:
    assert read_grant({}, _PATH) is None
    assert legacy_grant(commands=True).roles == {Role.WATCH, Role.COMMAND, Role.RECEIVE}
    assert legacy_grant(commands=False).roles == {Role.WATCH}


def test_an_unknown_role_is_named() -> None:
    with pytest.raises(KeyRefused, match="'root', which is not a role"):
        roles_of(["watch", "root"], _PATH)
