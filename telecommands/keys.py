"""Key files of both sides: CURVE pairs for the links, shared secrets for telecommands.

A client NAME has ``NAME.key`` (CURVE, public), ``NAME.key_secret`` (CURVE, both parts) and, if it
may command, ``NAME.telecommand_key``.  Files that hold a secret must have mode 0600; other modes,
links and folders are refused.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec
import zmq.auth

from telecommands.auth import SECRET_BYTES, TelecommandKey
from telecommands.dictionary import UnitName
from telecommands.failure import reason_of
from telecommands.whole_file import sync_folder

PUBLIC_SUFFIX: Final = ".key"
SECRET_SUFFIX: Final = ".key_secret"  # noqa: S105 - a file name
TELECOMMAND_SUFFIX: Final = ".telecommand_key"
SERVICE_KEY: Final = "service.key"
"""In a folder of ground keys: the public CURVE key of the service."""

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\Z")
_Z85: Final = re.compile(rb"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}\Z")
_HEX: Final = re.compile(rb"[0-9a-f]{%d}\n?\Z" % (2 * SECRET_BYTES))
_UNIT: Final = "unit"  # in the metadata of the service's certificate
_METADATA: Final = re.compile(r'^[ \t]+([a-z-]+)[ \t]*=[ \t]*"([^"\n]*)"[ \t]*$', re.MULTILINE)
_WRAPPING: Final = b"flightsw key transport"
_MOST_BYTES: Final = 4096
_NO_METADATA: Final[Mapping[str, str]] = MappingProxyType({})
_WRITABLE: Final = "Give a folder that can be written"


class KeyRefused(Exception):  # noqa: N818 - each side turns it into an error of its own
    """A key file that cannot be used or written.

    ``cause`` is the predicate of a sentence about ``path``, ``cure`` an imperative sentence.
    """

    def __init__(self, path: Path, cause: str, cure: str) -> None:
        self.path = path
        self.cause = cause
        self.cure = cure
        super().__init__(f"{path} {cause}. {cure}")


class CurvePair(msgspec.Struct, frozen=True):
    """Public and secret CURVE key in Z85, 40 characters each.  The repr hides the secret."""

    public: bytes
    secret: bytes

    def __repr__(self) -> str:
        return f"CurvePair({self.public.decode()!r})"


def check_name(name: str) -> None:
    """:class:`KeyRefused` unless it is 1 to 64 of A-Z a-z 0-9 _ . - and starts with none of . -"""
    if _NAME.match(name) is None:
        cure = "Use 1 to 64 of A-Z a-z 0-9 _ . - and start with a letter, a digit or _"
        raise KeyRefused(Path(name), "is not a valid key name", cure)


def generate_curve_pair(folder: Path, name: str, unit: str = "") -> Path:
    """Make ``NAME.key`` and ``NAME.key_secret`` in a folder of mode 0700; the path of the latter.

    Both record the name of the ``unit`` whose key it is, if one is given.  Raises
    :class:`KeyRefused` if one of them exists.
    """
    check_name(name)
    metadata = _metadata_lines(unit_metadata(unit))
    make_key_folder(folder)
    targets = [folder / f"{name}{suffix}" for suffix in (SECRET_SUFFIX, PUBLIC_SUFFIX)]
    for target in targets:
        _refuse_existing(target)
    with tempfile.TemporaryDirectory(prefix=".keys-", dir=folder) as hidden:
        zmq.auth.create_certificates(hidden, name)
        for target in targets:
            content = (Path(hidden) / target.name).read_bytes()
            publish_key_file(target, content.replace(b"metadata\n", metadata, 1))
    return targets[0]


def generate_telecommand_key(folder: Path, key_id: str) -> Path:
    """Make ``KEY_ID.telecommand_key``: 32 random bytes in hex.  Never overwrites."""
    check_name(key_id)
    make_key_folder(folder)
    path = folder / f"{key_id}{TELECOMMAND_SUFFIX}"
    publish_key_file(path, secrets.token_hex(SECRET_BYTES).encode() + b"\n")
    return path


def read_curve_public(path: Path) -> bytes:
    """Public key of a certificate; :class:`KeyRefused` if the file is not one."""
    read_key_file(path, secret=False)
    return _certificate(path)[0]


def read_curve_pair(path: Path) -> CurvePair:
    """Both keys of ``NAME.key_secret``; :class:`KeyRefused` if it is unsafe or not a pair."""
    read_key_file(path, secret=True)
    public, secret = _certificate(path)
    if secret is None:
        raise KeyRefused(path, "holds no secret key", f"Give the file NAME{SECRET_SUFFIX}")
    if zmq.curve_public(secret) != public:
        raise KeyRefused(path, "holds two keys that do not match", "Generate a new pair")
    return CurvePair(public, secret)


def read_telecommand_key(path: Path) -> TelecommandKey:
    """The shared secret of a client; :class:`KeyRefused` if the file is unsafe or not a key."""
    if path.suffix != TELECOMMAND_SUFFIX:
        raise KeyRefused(path, "is not a telecommand key", f"Give a file NAME{TELECOMMAND_SUFFIX}")
    check_name(path.stem)
    content = read_key_file(path, secret=True)
    if _HEX.match(content) is None:
        cause = f"does not hold {2 * SECRET_BYTES} hexadecimal digits"
        raise KeyRefused(path, cause, "Copy the key again, or generate a new one")
    return TelecommandKey(path.stem, bytes.fromhex(content.decode()))


def fingerprint(public: bytes) -> str:
    """Short form of a public key, for people to compare: 32 hexadecimal digits."""
    return hashlib.sha256(public).hexdigest()[:32]


def certificate(public: bytes, metadata: Mapping[str, str] = _NO_METADATA) -> bytes:
    """Content of ``NAME.key`` with only the public key, and text by name (without quotes)."""
    return b'%scurve\n    public-key = "%s"\n' % (_metadata_lines(metadata), public)


def read_metadata(path: Path) -> dict[str, str]:
    """The text by name that a certificate holds beside its key.

    Raises :class:`KeyRefused` if the file cannot be read, or if other users may change it.
    """
    content = read_key_file(path, secret=False)
    if path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise KeyRefused(path, "is writable by other users", f"Run: chmod 600 {path}")
    return _metadata(content)


def wrap_secret(key: TelecommandKey, nonce: bytes, secret: bytes) -> bytes:
    """Encipher a new telecommand secret for its way to the service, or decipher it: 32 bytes.

    The exclusive or with HMAC-SHA256 under the key in use, over a text of its own (no telecommand
    begins so) and a nonce that is used once.  Anyone who knows the key in use can read it.
    """
    stream = hmac.new(key.secret, _WRAPPING + nonce, hashlib.sha256).digest()
    return bytes(one ^ other for one, other in zip(stream, secret, strict=True))


def read_unit(path: Path) -> str:
    """The unit whose certificate this is, empty if it does not say.

    :class:`KeyRefused` if the file cannot be read, or names one that is not valid.
    """
    found = _metadata(read_key_file(path, secret=False)).get(_UNIT)
    return check_unit(found) if found else ""


def unit_metadata(unit: str) -> dict[str, str]:
    """What a certificate holds of the unit whose key it is; nothing if ``unit`` is empty."""
    return {_UNIT: check_unit(unit)} if unit else {}


def check_unit(name: str) -> str:
    """The name; :class:`KeyRefused` unless it is a valid name of a unit."""
    try:
        return msgspec.convert(name, UnitName)
    except msgspec.ValidationError as error:
        cure = "Use 1 to 20 of A-Z a-z 0-9 _ - and start with a letter or a digit"
        raise KeyRefused(Path(name), "is not a valid name of a unit", cure) from error


def holds_secret(path: Path) -> bool:
    """Whether a certificate has its secret part."""
    read_key_file(path, secret=False)
    return _certificate(path)[1] is not None


def read_key_file(path: Path, *, secret: bool) -> bytes:
    """Content of a key file; :class:`KeyRefused` if it is not one, or others may read a secret."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        cause = "is a link" if path.is_symlink() else f"cannot be read: {reason_of(error)}"
        raise KeyRefused(path, cause, "Give a key file that exists and is yours") from error
    try:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            raise KeyRefused(path, "is not a file", "Give a key file")
        if secret and mode & (stat.S_IRWXG | stat.S_IRWXO):
            cause = f"holds a secret that other users may read (mode {stat.S_IMODE(mode):04o})"
            raise KeyRefused(path, cause, f"Run: chmod 600 {path}")
        content = os.read(handle, _MOST_BYTES + 1)
    finally:
        os.close(handle)
    if len(content) > _MOST_BYTES:
        raise KeyRefused(path, "is too long for a key file", "Give a key file")
    return content


def make_key_folder(folder: Path) -> None:
    """Make the folder, mode 0700; :class:`KeyRefused` if other users may write to it."""
    try:
        if not folder.exists():
            folder.mkdir(mode=0o700, parents=True)
            _give_to_the_owner(folder)
        mode = folder.stat().st_mode
    except OSError as error:
        raise KeyRefused(folder, f"cannot be used: {reason_of(error)}", _WRITABLE) from error
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise KeyRefused(folder, "is writable by other users", f"Run: chmod 700 {folder}")


def publish_key_file(path: Path, content: bytes, *, replace: bool = False) -> None:
    """Write a file of mode 0600 in one step; :class:`KeyRefused` if it exists, unless replaced."""
    try:
        handle, hidden = tempfile.mkstemp(prefix=".key-", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(handle)
            _give_to_the_owner(Path(hidden))
            if replace:
                Path(hidden).replace(path)
            else:
                os.link(hidden, path)  # unlike a rename it never replaces a key
        finally:
            Path(hidden).unlink(missing_ok=True)
        sync_folder(path.parent)
    except FileExistsError:
        _refuse_existing(path)
    except OSError as error:
        raise KeyRefused(path, reason_of(error), _WRITABLE) from error


def _metadata(content: bytes) -> dict[str, str]:
    return dict(_METADATA.findall(content.decode("utf-8", "replace").partition("\ncurve")[0]))


def _metadata_lines(metadata: Mapping[str, str]) -> bytes:
    lines = (f'    {name} = "{value}"\n' for name, value in metadata.items())
    return f"metadata\n{''.join(lines)}".encode()


def _give_to_the_owner(path: Path) -> None:
    """Give files made by root to the owner of the folder: the service must read its own keys."""
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise KeyRefused(path, "already exists", "Remove it first, or choose another name")


def _certificate(path: Path) -> tuple[bytes, bytes | None]:
    try:
        public, secret = zmq.auth.load_certificate(path)
    except (OSError, ValueError, IndexError) as error:
        cure = "Give a CURVE certificate made by `keys generate`"
        raise KeyRefused(path, "is not a CURVE certificate", cure) from error
    for key in (public, secret):
        if key is not None and _Z85.match(key) is None:
            raise KeyRefused(path, "holds a key that is not 40 characters of Z85", "Copy it again")
    return public, secret
