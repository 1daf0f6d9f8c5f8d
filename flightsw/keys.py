"""The flight unit's keys: its own CURVE pair, the clients it lets in, those that may command.

::

    keys/                                    0700
    ├── service.key  service.key_secret      the service's CURVE pair; clients need the former
    ├── authorised/NAME.key                  public CURVE keys of the clients
    └── telecommand/NAME.telecommand_key     shared secrets of those that may command
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from flightsw.errors import LinkError
from telecommands.auth import TelecommandKey
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
    read_telecommand_key,
    read_unit,
)

SERVICE: Final = "service"
"""Name of the service's own pair; no client may have it."""


class AuthorisedKey(msgspec.Struct, frozen=True):
    """A client that is let in: name, fingerprint of its public key, whether it may command.

    ``problems``: why a file of its is not used; without a fingerprint the client is not let in.
    """

    name: str
    fingerprint: str
    may_command: bool
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClientKeys:
    """The keys that count, each read by itself, and an error for each file that does not.

    ``public``: CURVE keys in Z85 by client; ``telecommand``: shared secrets by key id.
    """

    public: Mapping[str, bytes]
    telecommand: Mapping[str, TelecommandKey]
    refused: tuple[LinkError, ...]


class KeyFolder:
    """The folder above.  Raises :class:`LinkError` that names file, cause and cure."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def authorised_folder(self) -> Path:
        """Folder of the clients' public keys."""
        return self._folder / "authorised"

    @property
    def telecommand_folder(self) -> Path:
        """Folder of the shared secrets."""
        return self._folder / "telecommand"

    def generate(self, unit: str) -> Path:
        """Make the pair of the service of ``unit``; the path of its public half, for clients."""
        with _link_errors():
            generate_curve_pair(self._folder, SERVICE, unit)
        self._make_folders()
        return self._folder / f"{SERVICE}{PUBLIC_SUFFIX}"

    def authorise(self, public: Path, telecommand_key: Path | None = None) -> str:
        """Let the client of ``NAME.key`` in; with ``NAME.telecommand_key`` it may command.

        Copies both; the client's name.  The same keys again change nothing; another key
        under a known name is refused.
        """
        name = public.name.removesuffix(PUBLIC_SUFFIX)
        with _link_errors():
            _check_client(name, public)
            shared = None if telecommand_key is None else read_telecommand_key(telecommand_key)
            if shared is not None and shared.key_id != name:
                cause = f"belongs to {shared.key_id}, not to {name}"
                raise KeyRefused(Path(telecommand_key or ""), cause, f"Give that of {name}")
            known, secret = self._authorised(name), self._telecommand(name)
            self._refuse_second_name(name, read_curve_public(public))
            _refuse_another(known, known.exists() and _same_public(known, public))
            if shared is not None:
                _refuse_another(secret, secret.exists() and read_telecommand_key(secret) == shared)
            self._make_folders()
            if not known.exists():
                publish_key_file(known, certificate(read_curve_public(public)))
            if shared is not None and not secret.exists():
                publish_key_file(secret, f"{shared.secret.hex()}\n".encode())
        return name

    def revoke(self, name: str) -> None:
        """Stop letting a client in, and accepting its telecommands.

        A running service stops accepting it, and closes its links, within a second.
        """
        with _link_errors():
            check_name(name)
            files = [
                one
                for one in (self._telecommand(name), self._authorised(name))
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
        clients = self.clients()
        problems: dict[str, list[str]] = {}
        for error in clients.refused:
            problems.setdefault(Path(str(error.subject)).stem, []).append(str(error))
        return [
            AuthorisedKey(
                name=name,
                fingerprint=fingerprint(clients.public[name]) if name in clients.public else "",
                may_command=name in clients.public and name in clients.telecommand,
                problems=tuple(problems.get(name, ())),
            )
            for name in sorted({*clients.public, *problems})
        ]

    def clients(self) -> ClientKeys:
        """Read each file by itself: one that cannot be used locks nobody else out.

        Of two names with one public key the later one does not count.  Only an unreadable folder
        raises: nobody is let in then.
        """
        public: dict[str, bytes] = {}
        telecommand: dict[str, TelecommandKey] = {}
        refused: list[LinkError] = []
        for path in _files(self.authorised_folder, PUBLIC_SUFFIX):
            with _collected(refused):
                key = read_curve_public(path)
                if key in public.values():
                    cause = f"holds the same key as {_name_of(key, public)}{PUBLIC_SUFFIX}"
                    raise KeyRefused(path, cause, "Remove one of them")
                public[path.stem] = key
        for path in _files(self.telecommand_folder, TELECOMMAND_SUFFIX):
            with _collected(refused):
                telecommand[path.stem] = read_telecommand_key(path)
        return ClientKeys(public, telecommand, tuple(refused))

    def files(self) -> tuple[tuple[str, ...], ...]:
        """What distinguishes one state of the clients' files from another, their modes included."""
        return tuple(
            _states(folder) for folder in (self.authorised_folder, self.telecommand_folder)
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

    def _refuse_second_name(self, name: str, key: bytes) -> None:
        for other, known in self.clients().public.items():
            if other != name and known == key:
                cause = f"is authorised already under the name {other}"
                cure = f"Use that name, or revoke it first: flightsw keys revoke {other}"
                raise KeyRefused(Path(f"{name}{PUBLIC_SUFFIX}"), cause, cure)

    def _authorised(self, name: str) -> Path:
        return self.authorised_folder / f"{name}{PUBLIC_SUFFIX}"

    def _telecommand(self, name: str) -> Path:
        return self.telecommand_folder / f"{name}{TELECOMMAND_SUFFIX}"

    def _make_folders(self) -> None:
        with _link_errors():
            for folder in (self._folder, self.authorised_folder, self.telecommand_folder):
                make_key_folder(folder)


def _check_client(name: str, public: Path) -> None:
    if public.suffix != PUBLIC_SUFFIX:
        raise KeyRefused(public, "is not a public key", f"Give the client's NAME{PUBLIC_SUFFIX}")
    check_name(name)
    if name == SERVICE:
        raise KeyRefused(public, f"has the service's own name, {SERVICE}", "Choose another name")
    if holds_secret(public):
        cure = f"Give NAME{PUBLIC_SUFFIX}, and generate a new pair if others saw this file"
        raise KeyRefused(public, "holds the client's secret key, which stays with it", cure)


def _same_public(known: Path, public: Path) -> bool:
    return read_curve_public(known) == read_curve_public(public)


def _refuse_another(known: Path, same: bool) -> None:
    if known.exists() and not same:
        cause = "is another key, authorised under the same name"
        raise KeyRefused(known, cause, f"Revoke it first: flightsw keys revoke {known.stem}")


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


def _name_of(key: bytes, public: Mapping[str, bytes]) -> str:
    return next(name for name, known in public.items() if known == key)


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
        cause = f"cannot be used: {(error.strerror or str(error)).lower()}"
        raise LinkError(
            error.filename, cause, "Give the service's user the right to use the folder"
        ) from error
