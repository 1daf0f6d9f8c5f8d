"""The flight unit's keys: its own CURVE pair, the clients it lets in, those that may command.

::

    keys/                                    0700
    ├── service.key  service.key_secret      the service's CURVE pair; clients need the former
    ├── authorised/NAME.key                  public CURVE keys of the clients
    └── telecommand/NAME.telecommand_key     shared secrets of those that may command
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
)

SERVICE: Final = "service"
"""Name of the service's own pair; no client may have it."""


class AuthorisedKey(msgspec.Struct, frozen=True):
    """A client that is let in: name, fingerprint of its public key, whether it may command."""

    name: str
    fingerprint: str
    may_command: bool


class KeyFolder:
    """The folder above.  Raises :class:`LinkError` that names file, cause and cure."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def authorised_folder(self) -> Path:
        """Folder of the clients' public keys, as ``configure_curve(location=...)`` wants it."""
        return self._folder / "authorised"

    @property
    def client_folders(self) -> tuple[Path, Path]:
        """The folders that change when clients are authorised or revoked."""
        return self.authorised_folder, self._folder / "telecommand"

    def generate(self) -> Path:
        """Make the service's pair; the path of its public half, which clients need."""
        with _link_errors():
            generate_curve_pair(self._folder, SERVICE)
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

        A running service stops accepting it within a second; open links stay up until RESTART.
        """
        with _link_errors():
            check_name(name)
            files = [
                one for one in (self._telecommand(name), self._authorised(name)) if one.exists()
            ]
            if not files:
                raise KeyRefused(
                    self._authorised(name),
                    "does not exist: no such client is authorised",
                    "See flightsw keys list",
                )
            for path in files:
                path.unlink()

    def names(self) -> list[AuthorisedKey]:
        """The clients that are let in, by name."""
        with _link_errors():
            return [
                AuthorisedKey(
                    name=path.stem,
                    fingerprint=fingerprint(read_curve_public(path)),
                    may_command=self._telecommand(path.stem).exists(),
                )
                for path in sorted(self.authorised_folder.glob(f"*{PUBLIC_SUFFIX}"))
            ]

    def service_pair(self) -> CurvePair:
        """The service's CURVE pair."""
        path = self._folder / f"{SERVICE}{SECRET_SUFFIX}"
        with _link_errors():
            if not path.exists():
                raise KeyRefused(
                    path, "does not exist: the service has no key", "Run: flightsw keys generate"
                )
            return read_curve_pair(path)

    def telecommand_keys(self) -> dict[str, TelecommandKey]:
        """Shared secrets of the clients that may command, by key id."""
        with _link_errors():
            keys = map(
                read_telecommand_key, self._folder.glob(f"telecommand/*{TELECOMMAND_SUFFIX}")
            )
            return {key.key_id: key for key in keys}

    def _authorised(self, name: str) -> Path:
        return self.authorised_folder / f"{name}{PUBLIC_SUFFIX}"

    def _telecommand(self, name: str) -> Path:
        return self._folder / "telecommand" / f"{name}{TELECOMMAND_SUFFIX}"

    def _make_folders(self) -> None:
        with _link_errors():
            for folder in (self._folder, self.authorised_folder, self._folder / "telecommand"):
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
