"""Sign a model package: ``python -m deploy.model.sign PACKAGE --key NAME.release_key_secret``.

``--generate NAME`` makes the pair of keys first: ``NAME.release_key_secret``, which stays with who
releases models, and ``NAME.release_key``, which is put on board.  Both are PEM files.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from deploy.model.command import one_line_errors
from flightsw.errors import OutputNotWritable, UsageError
from flightsw.model.package import CHECKSUMS, SIGNATURE, load_package
from flightsw.model.signature import KEY_SUFFIX

SECRET_SUFFIX: Final = f"{KEY_SUFFIX}_secret"


def generate(name: Path) -> Path:
    """Write the pair ``name`` + suffix; return the public file.

    Raises :class:`~flightsw.errors.OutputNotWritable` if one of the files exists or cannot be
    written.
    """
    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    _write_new(name.with_name(name.name + SECRET_SUFFIX), secret, 0o600)
    return _write_new(name.with_name(name.name + KEY_SUFFIX), public, 0o644)


def sign(package: Path, secret: Path) -> Path:
    """Write the signature of a verified package; return its file.

    Raises :class:`~flightsw.errors.UsageError` for a key that is not Ed25519 in PEM, what
    :func:`~flightsw.model.package.load_package` raises, and
    :class:`~flightsw.errors.OutputNotWritable`.
    """
    load_package(package)
    signature = read_secret_key(secret).sign((package / CHECKSUMS).read_bytes())
    path = package / SIGNATURE
    try:
        path.write_bytes(signature)
    except OSError as error:
        cure = "Check the folder's permissions"
        raise OutputNotWritable(path, f"cannot be written ({error.strerror})", cure) from error
    return path


def read_secret_key(path: Path) -> Ed25519PrivateKey:
    """Read a release key; :class:`~flightsw.errors.UsageError` if it is not Ed25519 in PEM."""
    cure = "Make one with --generate, or with openssl genpkey -algorithm ed25519"
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(path, f"cannot be read as a private key ({error})", cure) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(path, "is not an Ed25519 key", cure)
    return key


def _write_new(path: Path, content: bytes, mode: int) -> Path:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except OSError as error:
        cure = "Choose another name or folder"
        raise OutputNotWritable(path, f"cannot be made ({error.strerror})", cure) from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    return path


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", type=Path, nargs="?", help="the folder of the package to sign")
    parser.add_argument("--key", type=Path, help=f"the key to sign with, NAME{SECRET_SUFFIX}")
    parser.add_argument("--generate", type=Path, metavar="NAME", help="make a pair of keys first")
    arguments = parser.parse_args()
    if arguments.generate:
        print(f"for the unit: {generate(arguments.generate)}")
    if arguments.package:
        if not arguments.key:
            parser.error("--key names the key to sign with")
        print(f"signed: {sign(arguments.package, arguments.key)}")
    elif not arguments.generate:
        parser.error("give a package, or --generate NAME")


if __name__ == "__main__":
    with one_line_errors("sign"):
        main()
