"""Who released a model package: an Ed25519 signature of its list of checksums.

``SHA256SUMS.sig`` holds the 64 bytes of the signature (RFC 8032) of the file ``SHA256SUMS``, which
names every other file of the package.  Golden answers show that a package works; only the signature
shows where it comes from.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from flightsw.errors import PackageUnsigned
from flightsw.host.disk import read_plain
from flightsw.model.package import CHECKSUMS, SIGNATURE
from telecommands.failure import reason_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

KEY_SUFFIX: Final = ".release_key"

_LONGEST_KEY: Final = 4096
_LONGEST_LIST: Final = 1 << 20
_SIGNATURE_BYTES: Final = 64
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_SIGN: Final = "Sign it with a release key that is trusted on board (python -m deploy.model.sign)"


def signer(folder: Path, trusted: Path) -> str:
    """The name of the trusted key that signed the package in ``folder``.

    ``trusted`` holds public keys in PEM, ``NAME.release_key``.  Each is read by itself: one that
    cannot be read, or that others may write, signs nothing, and the others count.  Raises
    :class:`~flightsw.errors.PackageUnsigned` if there is no signature or no trusted key made it.
    """
    try:
        signature = read_plain(folder / SIGNATURE, _SIGNATURE_BYTES)
        signed = read_plain(folder / CHECKSUMS, _LONGEST_LIST)
    except FileNotFoundError as error:
        raise PackageUnsigned(folder, "is not signed", _SIGN) from error
    except OSError as error:
        raise PackageUnsigned(
            folder, f"has no readable signature ({reason_of(error)})", _SIGN
        ) from error
    unusable = []
    for name, key in _keys(trusted):
        if key is None:
            unusable.append(name)
        elif _made(key, signature, signed):
            return name
    cause = f"is not signed by any release key in {trusted}"
    if unusable:
        wrong = "not an Ed25519 public key in PEM that only its owner may write"
        cause += f" ({', '.join(unusable)}: {wrong})"
    raise PackageUnsigned(folder, cause, _SIGN, unusable=tuple(unusable))


def _keys(trusted: Path) -> Iterator[tuple[str, Ed25519PublicKey | None]]:
    for path in sorted(trusted.glob(f"*{KEY_SUFFIX}")):
        yield path.name.removesuffix(KEY_SUFFIX), _key(path)


def _key(path: Path) -> Ed25519PublicKey | None:
    # Loaded only if there is something to verify: it takes 6 MB, which a unit has for scenes.
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
        Ed25519PublicKey,
    )
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    try:
        if path.stat().st_mode & _OTHERS_WRITE:
            return None
        key = load_pem_public_key(read_plain(path, _LONGEST_KEY))
    except (OSError, ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, Ed25519PublicKey) else None


def _made(key: Ed25519PublicKey, signature: bytes, signed: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415

    try:
        key.verify(signature, signed)
    except InvalidSignature:
        return False
    return True
