"""The keys of a client that replaced the authorised one: a file for each client.

``NAME.rotated`` is JSON of :class:`Rotation`, mode 0600.  It counts only for the authorised key
that it names: anyone who revokes that one, or authorises another, ends it too.  It lies in a folder
that the service writes, so that it is sealed with the secret of the service's own pair: the record
of another unit, of another client, or one that was changed does not count.
"""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from telecommands.auth import SECRET_BYTES, TelecommandKey
from telecommands.failure import UNDECODABLE
from telecommands.keys import KeyRefused, publish_key_file, read_key_file

ROTATED_SUFFIX: Final = ".rotated"

_SEALED: Final = b"flightsw rotated keys 1\0"
_Z85: Final = r"^[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}\Z"
PublicKey: TypeAlias = Annotated[str, Meta(pattern=_Z85)]
Secret: TypeAlias = Annotated[str, Meta(pattern=rf"^[0-9a-f]{{{2 * SECRET_BYTES}}}\Z")]


class ClientKey(msgspec.Struct, frozen=True):
    """One key of a client: public CURVE key in Z85, telecommand key if it has one.

    ``until``: UTC in nanoseconds, from which on it no longer counts; None: it has no end.
    """

    public: bytes
    telecommand: TelecommandKey | None
    until: int | None = None


class _Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    public: PublicKey
    secret: Secret | None
    until: Annotated[int, Meta(ge=0)] | None

    def __repr__(self) -> str:
        return f"_Kept({self.public!r})"


class Rotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``replaces`` is the authorised public key in Z85; ``keys`` are at most two, newest last.

    ``seal`` is HMAC-SHA256 over the client's name and the rest, in hex.
    """

    replaces: PublicKey
    keys: Annotated[tuple[_Kept, ...], Meta(min_length=1, max_length=2)]
    seal: str = ""

    def sealed(self, name: str, secret: bytes) -> Rotation:
        """The same with its seal, of the client ``name``, by a secret of the service."""
        content = msgspec.json.encode(msgspec.structs.replace(self, seal=""))
        text = _SEALED + name.encode() + b"\0" + content
        seal = hmac.new(secret, text, hashlib.sha256).hexdigest()
        return msgspec.structs.replace(self, seal=seal)


def read_rotation(path: Path, replaces: bytes, secret: bytes | None) -> tuple[ClientKey, ...]:
    """The keys that replaced the authorised one.

    ``secret`` is that of the service; None for a record without a seal, which only a person on
    board can have placed.  Raises :class:`KeyRefused` for a record that is damaged, not sealed by
    this service for this client, or that replaces another key.
    """
    try:
        rotation = msgspec.json.decode(read_key_file(path, secret=True), type=Rotation)
    except UNDECODABLE as error:
        cause = f"is not a record of rotated keys ({error})"
        raise KeyRefused(path, cause, f"Remove it, or revoke {path.stem}") from error
    if secret is not None and not hmac.compare_digest(
        rotation.seal.encode(), rotation.sealed(path.stem, secret).seal.encode()
    ):
        cause = f"is not a record that this service made for {path.stem}"
        raise KeyRefused(path, cause, f"Remove it, or revoke {path.stem}")
    if rotation.replaces.encode() != replaces:
        cause = f"does not replace the current key of {path.stem}"
        raise KeyRefused(path, cause, "Remove it")
    return tuple(
        ClientKey(
            one.public.encode(),
            None if one.secret is None else TelecommandKey(path.stem, bytes.fromhex(one.secret)),
            one.until,
        )
        for one in rotation.keys
    )


def write_rotation(path: Path, replaces: bytes, keys: tuple[ClientKey, ...], secret: bytes) -> None:
    """Replace the record in one step, sealed; :class:`KeyRefused` if it cannot be written."""
    kept = tuple(
        _Kept(
            one.public.decode(),
            None if one.telecommand is None else one.telecommand.secret.hex(),
            one.until,
        )
        for one in keys
    )
    rotation = Rotation(replaces.decode(), kept).sealed(path.stem, secret)
    content = msgspec.json.format(msgspec.json.encode(rotation))
    publish_key_file(path, content, replace=True)
