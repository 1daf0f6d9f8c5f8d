"""What a person on board grants a client: roles, and until when.

It stands in the metadata of the client's certificate in ``authorised/``, which the service writes
itself and never copies from the client's file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

import msgspec

from telecommands.dictionary import Role
from telecommands.keys import KeyRefused

ALL_ROLES: Final = frozenset(Role)
_ROLES: Final = "roles"
_EXPIRES: Final = "expires"
_NS: Final = 1_000_000_000


class Grant(msgspec.Struct, frozen=True):
    """The roles of a client; ``expires`` is UTC in nanoseconds, None: they do not end."""

    roles: frozenset[Role]
    expires: int | None = None

    def metadata(self) -> dict[str, str]:
        """As text by name, for a certificate."""
        text = {_ROLES: " ".join(names(self.roles))}
        return text if self.expires is None else text | {_EXPIRES: utc_text(self.expires)}


def read_grant(metadata: Mapping[str, str], path: Path) -> Grant | None:
    """The grant in a certificate's metadata; None: it has none.

    Raises :class:`KeyRefused` for roles or a time that cannot be understood.
    """
    if _ROLES not in metadata:
        return None
    expires = metadata.get(_EXPIRES)
    return Grant(
        roles_of(metadata[_ROLES].split(), path),
        None if expires is None else _nanoseconds(expires, path),
    )


def legacy_grant(*, commands: bool) -> Grant:
    """What a certificate without roles means: it was authorised before there were any.

    Anyone who has a telecommand key may do all but what is hazardous, others only watch: nobody
    decided then that they may do more.
    """
    return Grant(frozenset({Role.WATCH, Role.COMMAND, Role.RECEIVE} if commands else {Role.WATCH}))


def roles_of(words: Iterable[str], path: Path) -> frozenset[Role]:
    """The roles of these names; :class:`KeyRefused`, about ``path``, for another name or none."""
    given = tuple(words)
    unknown = [word for word in given if word not in [role.value for role in Role]]
    if unknown or not given:
        cause = f"has {unknown[0]!r}, which is not a role" if unknown else "has no role"
        cure = f"Choose from {', '.join(role.value for role in Role)}"
        raise KeyRefused(path, cause, cure)
    roles = frozenset(Role(word) for word in given)
    if Role.HAZARDOUS in roles and Role.COMMAND not in roles:
        cause = f"has the role {Role.HAZARDOUS.value} without the role {Role.COMMAND.value}"
        raise KeyRefused(path, cause, "Give both, or neither")
    return roles


def names(roles: frozenset[Role]) -> tuple[str, ...]:
    """The roles' names, in the order of :class:`Role`."""
    return tuple(role.value for role in Role if role in roles)


def utc_text(ns: int) -> str:
    """A time in UTC nanoseconds as ISO 8601, to the second."""
    return datetime.fromtimestamp(ns // _NS, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _nanoseconds(text: str, path: Path) -> int:
    try:
        moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    except ValueError as error:
        cause = f"expires at {text!r}, which is not a time as in 2027-01-31T12:00:00Z"
        raise KeyRefused(path, cause, "Authorise the client again") from error
    return int(moment.timestamp()) * _NS
