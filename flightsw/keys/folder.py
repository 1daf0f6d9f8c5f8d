"""The folder of the flight unit's keys.

::

    keys/                                    0700
    ├── service.key  service.key_secret      the service's CURVE pair; clients need the former
    ├── authorised/NAME.key                  public CURVE keys of the clients, with their roles
    └── telecommand/NAME.telecommand_key     shared secrets of those that may command

The service writes nothing there.  The keys that replaced these by telecommand are in a folder of
its state, ``rotated_keys/NAME.rotated``, each sealed with the secret of the service's pair.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from flightsw.errors import LinkError
from flightsw.host.clock import utc_ns
from flightsw.keys.clients import Client, ClientKeys
from flightsw.keys.grant import ALL_ROLES, Grant, legacy_grant, names, read_grant, utc_text
from flightsw.keys.rotation import ROTATED_SUFFIX, ClientKey, read_rotation, write_rotation
from telecommands.auth import TelecommandKey
from telecommands.dictionary import Role
from telecommands.failure import reason_of
from telecommands.keys import (
    PUBLIC_SUFFIX,
    SECRET_SUFFIX,
    TELECOMMAND_SUFFIX,
    CurvePair,
    KeyRefused,
    certificate,
    check_name,
    fingerprint,
    generate_curve_pair,
    holds_secret,
    make_key_folder,
    publish_key_file,
    read_curve_pair,
    read_curve_public,
    read_metadata,
    read_telecommand_key,
    read_unit,
)

SERVICE: Final = "service"
"""Name of the service's own pair; no client may have it."""

_ROTATED: Final = "rotated_keys"
_ROTATED_BEFORE: Final = "rotated"  # below keys/: where they were, without seals; only read
_WATCHES: Final = frozenset({Role.WATCH})

Expiry: TypeAlias = int | Literal["as before"] | None
"""UTC in nanoseconds, or None: without end."""


class AuthorisedKey(msgspec.Struct, frozen=True):
    """A client that is let in: name, fingerprint of its newest public key, roles, when they end.

    ``retiring`` is the fingerprint of the key that counts beside it until ``retires``.  Times are
    ISO 8601 in UTC, empty if there is none.  ``roles_given``: somebody decided the roles.
    ``problems``: why a file of its is not used; without a fingerprint the client is not let in.
    """

    name: str
    fingerprint: str
    may_command: bool
    problems: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    roles_given: bool = True
    expires: str = ""
    retiring: str = ""
    retires: str = ""


class KeyFolder:
    """The folder above.  Raises :class:`LinkError` that names file, cause and cure.

    ``state`` is the folder of the service's state, by default the one that holds the folder of the
    keys.  ``clock`` gives UTC in nanoseconds: keys may end.
    """

    def __init__(
        self, folder: Path, state: Path | None = None, clock: Callable[[], int] = utc_ns
    ) -> None:
        self._folder = folder
        self._rotated_folder = (state or folder.parent) / _ROTATED
        self._clock = clock

    @property
    def authorised_folder(self) -> Path:
        """Folder of the clients' public keys."""
        return self._folder / "authorised"

    @property
    def telecommand_folder(self) -> Path:
        """Folder of the shared secrets."""
        return self._folder / "telecommand"

    @property
    def rotated_folder(self) -> Path:
        """Folder of the keys that replaced authorised ones."""
        return self._rotated_folder

    def generate(self, unit: str) -> Path:
        """Make the pair of the service of ``unit``; the path of its public half, for clients."""
        with _link_errors():
            generate_curve_pair(self._folder, SERVICE, unit)
        self._make_folders()
        return self._folder / f"{SERVICE}{PUBLIC_SUFFIX}"

    def authorise(
        self,
        public: Path,
        telecommand_key: Path | None = None,
        *,
        roles: frozenset[Role] | None = None,
        expires: Expiry = "as before",
        old_until: int | None = None,
    ) -> Client:
        """Let the client of ``NAME.key`` in, with these roles; copies its keys.

        Roles not given stay as they are; a new client, or one that gets its telecommand key now,
        has all of them with a telecommand key, else it only watches.  Another key under a known
        name is refused, unless ``old_until`` (UTC, ns) says until when both keys count.
        """
        name = public.name.removesuffix(PUBLIC_SUFFIX)
        with _link_errors():
            _check_client(name, public)
            shared = None if telecommand_key is None else read_telecommand_key(telecommand_key)
            if shared is not None and shared.key_id != name:
                cause = f"belongs to {shared.key_id}, not to {name}"
                raise KeyRefused(Path(telecommand_key or ""), cause, f"Give that of {name}")
            key = read_curve_public(public)
            self._refuse_second_name(name, key)
            self._make_folders()
            known, secret = self._authorised(name), self._telecommand(name)
            before = self._client(known) if known.exists() else None
            if before is not None and old_until is not None:
                new = ClientKey(key, shared)
                self._grant(known, before, roles, expires, commands=shared is not None)
                self._replace(before, before.keys[-1], new, old_until)
                return self._client(known)
            if before is not None and key not in {before.replaces, before.keys[-1].public}:
                raise _another(known)
            if secret.exists() and shared not in {None, read_telecommand_key(secret)}:
                raise _another(secret)
            added = shared is not None and not secret.exists()
            if before is None or not before.roles_given or added:
                roles = roles or (ALL_ROLES if shared or secret.exists() else _WATCHES)
            if before is None:
                grant = Grant(roles or _WATCHES, None if expires == "as before" else expires)
                publish_key_file(known, certificate(key, grant.metadata()))
            else:
                self._grant(known, before, roles, expires, commands=False)
            if shared is not None and added:
                publish_key_file(secret, f"{shared.secret.hex()}\n".encode())
            return self._client(known)

    def rotate(self, client: Client, old: ClientKey, new: ClientKey, old_until: int) -> None:
        """Replace the key ``old`` of a client by ``new``; both count until ``old_until`` (UTC, ns).

        A third key ends immediately.  Roles and expiry stay.
        """
        with _link_errors():
            self._refuse_second_name(client.name, new.public)
            self._replace(client, old, new, old_until)

    def revoke(self, name: str) -> None:
        """Stop letting a client in, and accepting its telecommands.

        A running service stops accepting it, and closes its links, within a second.
        """
        with _link_errors():
            check_name(name)
            files = [
                one
                for one in (
                    self._authorised(name),  # first: without it nothing of the client counts
                    self._telecommand(name),
                    self._rotated(name),
                    self._rotated_before(name),
                )
                if os.path.lexists(one)
            ]
            if not files:
                raise KeyRefused(
                    self._authorised(name),
                    "does not exist: no such client is authorised",
                    "See flightsw keys list",
                )
            for path in files:
                if path.is_dir() and not path.is_symlink():
                    raise KeyRefused(path, "is a folder", f"Run: rm -r {path}")
                path.unlink()

    def names(self) -> list[AuthorisedKey]:
        """The clients that are let in, and those whose files cannot be used, by name."""
        found = self.clients()
        problems: dict[str, list[str]] = {}
        for error in found.refused:
            problems.setdefault(Path(str(error.subject)).stem, []).append(str(error))
        return [
            _listed(name, found.clients.get(name), tuple(problems.get(name, ())))
            for name in sorted({*found.clients, *problems})
        ]

    def clients(self) -> ClientKeys:
        """Read each file by itself: one that cannot be used locks nobody else out.

        Of two names with one public key the later one does not count.  Only an unreadable folder
        raises: nobody is let in then.
        """
        now = self._clock()
        clients: dict[str, Client] = {}
        names_of: dict[bytes, str] = {}
        ends: list[int] = []
        refused: list[LinkError] = []
        for path in _files(self.telecommand_folder, TELECOMMAND_SUFFIX):
            with _collected(refused):
                read_telecommand_key(path)
        for path in _files(self.authorised_folder, PUBLIC_SUFFIX):
            with _collected(refused):
                client = self._client(path)
                for key in client.keys:
                    if names_of.get(key.public, client.name) != client.name:
                        cause = f"holds the same key as {names_of[key.public]}{PUBLIC_SUFFIX}"
                        raise KeyRefused(path, cause, "Remove one of them")
                clients[client.name] = _counting(client, path, now)
                names_of.update((key.public, client.name) for key in client.keys)
                ends += [end for end in _ends(client) if end > now]
        return ClientKeys(clients, tuple(refused), min(ends, default=None))

    def files(self) -> tuple[tuple[str, ...], ...]:
        """What distinguishes one state of the clients' files from another, their modes included."""
        return tuple(
            _states(folder)
            for folder in (
                self.authorised_folder,
                self.telecommand_folder,
                self._folder / _ROTATED_BEFORE,
                self.rotated_folder,
            )
        )

    def service_pair(self) -> CurvePair:
        """The service's CURVE pair."""
        path = self._folder / f"{SERVICE}{SECRET_SUFFIX}"
        with _link_errors():
            if not path.exists():
                raise KeyRefused(
                    path, "does not exist: the service has no key", "Run: flightsw keys generate"
                )
            return read_curve_pair(path)

    def unit(self, setting: str | None) -> str:
        """The name of this unit: the setting ``service.unit``, or what :meth:`generate` was given.

        Raises :class:`LinkError` if there is neither, or if the two differ.
        """
        path = self._folder / f"{SERVICE}{PUBLIC_SUFFIX}"
        with _link_errors():
            of_key = read_unit(path) if path.exists() else ""
        if setting and of_key and setting != of_key:
            cause = f"is the key of the unit {of_key}, but service.unit is {setting}"
            raise LinkError(path, cause, "Correct service.unit, or generate the keys of this unit")
        if not (setting or of_key):
            cure = "Set service.unit, or generate the keys with: flightsw keys generate --unit NAME"
            raise LinkError("the unit", "has no name", cure)
        return setting or of_key

    def _client(self, path: Path) -> Client:
        """The client of a certificate, with all its keys, also those whose time is over."""
        name, public, metadata = path.stem, read_curve_public(path), read_metadata(path)
        shared = self._usable_secret(name)
        keys = self._rotated_keys(name, public) or (ClientKey(public, shared),)
        given = read_grant(metadata, path)
        grant = given or legacy_grant(commands=shared is not None)
        return Client(name, grant, keys, public, roles_given=given is not None)

    def _rotated_keys(self, name: str, public: bytes) -> tuple[ClientKey, ...]:
        """Those that replaced the authorised one, if any did."""
        if os.path.lexists(path := self._rotated(name)):
            return read_rotation(path, public, self._sealing_secret())
        if os.path.lexists(path := self._rotated_before(name)):
            return read_rotation(path, public, None)
        return ()

    def _sealing_secret(self) -> bytes:
        path = self._folder / f"{SERVICE}{SECRET_SUFFIX}"
        if not path.exists():
            cause = "does not exist: without it rotated keys cannot be sealed"
            raise KeyRefused(path, cause, "Run: flightsw keys generate")
        return read_curve_pair(path).secret

    def _usable_secret(self, name: str) -> TelecommandKey | None:
        path = self._telecommand(name)
        try:
            return read_telecommand_key(path) if os.path.lexists(path) else None
        except KeyRefused:  # reported by clients(), which reads it too
            return None

    def _grant(
        self,
        path: Path,
        client: Client,
        roles: frozenset[Role] | None,
        expires: Expiry,
        *,
        commands: bool,
    ) -> None:
        """Write the roles and their end, if they change."""
        if roles is None and commands and not client.may(Role.COMMAND):
            roles = ALL_ROLES
        grant = Grant(
            roles or client.grant.roles,
            client.grant.expires if expires == "as before" else expires,
        )
        if grant != client.grant or not client.roles_given:
            content = certificate(client.replaces, grant.metadata())
            publish_key_file(path, content, replace=True)

    def _replace(self, client: Client, old: ClientKey, new: ClientKey, old_until: int) -> None:
        if (old.public, old.telecommand) == (new.public, new.telecommand):
            path = self._authorised(client.name)
            raise KeyRefused(path, "has this key already", "Give another key")
        secret = self._sealing_secret()
        make_key_folder(self.rotated_folder)
        keys = (msgspec.structs.replace(old, until=old_until), new)
        write_rotation(self._rotated(client.name), client.replaces, keys, secret)

    def _refuse_second_name(self, name: str, key: bytes) -> None:
        known = self.clients().by_public.get(key)
        if known is not None and known.name != name:
            cause = f"is authorised already under the name {known.name}"
            cure = f"Use that name, or revoke it first: flightsw keys revoke {known.name}"
            raise KeyRefused(Path(f"{name}{PUBLIC_SUFFIX}"), cause, cure)

    def _authorised(self, name: str) -> Path:
        return self.authorised_folder / f"{name}{PUBLIC_SUFFIX}"

    def _telecommand(self, name: str) -> Path:
        return self.telecommand_folder / f"{name}{TELECOMMAND_SUFFIX}"

    def _rotated(self, name: str) -> Path:
        return self.rotated_folder / f"{name}{ROTATED_SUFFIX}"

    def _rotated_before(self, name: str) -> Path:
        return self._folder / _ROTATED_BEFORE / f"{name}{ROTATED_SUFFIX}"

    def _make_folders(self) -> None:
        with _link_errors():
            for folder in (self._folder, self.authorised_folder, self.telecommand_folder):
                make_key_folder(folder)


def _counting(client: Client, path: Path, now_ns: int) -> Client:
    """The client with the keys that count now."""
    expires = client.grant.expires
    if expires is not None and expires <= now_ns:
        cure = f"Authorise {client.name} again, with another date"
        raise KeyRefused(path, f"expired at {utc_text(expires)}", cure)
    keys = tuple(key for key in client.keys if key.until is None or key.until > now_ns)
    return Client(client.name, client.grant, keys, client.replaces, client.roles_given)


def _ends(client: Client) -> list[int]:
    ends = (client.grant.expires, *(key.until for key in client.keys))
    return [end for end in ends if end is not None]


def _listed(name: str, client: Client | None, problems: tuple[str, ...]) -> AuthorisedKey:
    if client is None:
        return AuthorisedKey(name, "", may_command=False, problems=problems)
    newest, retiring = client.keys[-1], client.keys[0] if len(client.keys) > 1 else None
    expires, retires = client.grant.expires, None if retiring is None else retiring.until
    return AuthorisedKey(
        name=name,
        fingerprint=fingerprint(newest.public),
        may_command=client.may(Role.COMMAND) and newest.telecommand is not None,
        problems=problems,
        roles=names(client.grant.roles),
        roles_given=client.roles_given,
        expires="" if expires is None else utc_text(expires),
        retiring="" if retiring is None else fingerprint(retiring.public),
        retires="" if retires is None else utc_text(retires),
    )


def _check_client(name: str, public: Path) -> None:
    if public.suffix != PUBLIC_SUFFIX:
        raise KeyRefused(public, "is not a public key", f"Give the client's NAME{PUBLIC_SUFFIX}")
    check_name(name)
    if name == SERVICE:
        raise KeyRefused(public, f"has the service's own name, {SERVICE}", "Choose another name")
    if holds_secret(public):
        cure = f"Give NAME{PUBLIC_SUFFIX}, and generate a new pair if others saw this file"
        raise KeyRefused(public, "holds the client's secret key, which stays with it", cure)


def _another(known: Path) -> KeyRefused:
    cause = "is another key, authorised under the same name"
    cure = f"Revoke it first (flightsw keys revoke {known.stem}), or give --old-until"
    return KeyRefused(known, cause, cure)


def _files(folder: Path, suffix: str) -> list[Path]:
    with _link_errors():
        return sorted(path for path in _entries(folder) if path.suffix == suffix)


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _states(folder: Path) -> tuple[str, ...]:
    states = []
    with _link_errors():
        for path in sorted(_entries(folder)):
            status = path.lstat()
            states.append(f"{path.name} {status.st_ino} {status.st_mode} {status.st_ctime_ns}")
    return tuple(states)


@contextmanager
def _collected(refused: list[LinkError]) -> Iterator[None]:
    try:
        with _link_errors():
            yield
    except LinkError as error:
        refused.append(error)


@contextmanager
def _link_errors() -> Iterator[None]:
    try:
        yield
    except KeyRefused as refused:
        raise LinkError(refused.path, refused.cause, refused.cure) from refused
    except OSError as error:
        cause = f"cannot be used: {reason_of(error)}"
        raise LinkError(
            error.filename, cause, "Give the service's user the right to use the folder"
        ) from error
