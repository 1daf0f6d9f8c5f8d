from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.model.sign import generate, sign
from flightsw.errors import OutputNotWritable, PackageTampered, UsageError
from tests.unit.flightsw.model.another_package import another_package


def test_openssl_verifies_what_was_signed(tmp_path: Path) -> None:
    if not (openssl := shutil.which("openssl")):
        pytest.skip("openssl is not installed")
    package = tmp_path / "package"
    another_package(package)
    public = generate(tmp_path / "releases")
    signature = sign(package, tmp_path / "releases.release_key_secret")
    command = [openssl, "pkeyutl", "-verify", "-pubin", "-inkey", str(public), "-rawin"]
    subprocess.run(
        [*command, "-in", str(package / "SHA256SUMS"), "-sigfile", str(signature)],
        check=True,
        timeout=30,
        capture_output=True,
    )


def test_the_secret_key_is_its_owners_alone(tmp_path: Path) -> None:
    generate(tmp_path / "releases")
    assert (tmp_path / "releases.release_key_secret").stat().st_mode & 0o777 == 0o600


def test_keys_are_never_overwritten(tmp_path: Path) -> None:
    generate(tmp_path / "releases")
    with pytest.raises(OutputNotWritable):
        generate(tmp_path / "releases")


def test_a_damaged_package_is_not_signed(tmp_path: Path) -> None:
    another_package(tmp_path / "package")
    (tmp_path / "package" / "NOTICE").write_text("another")
    generate(tmp_path / "releases")
    with pytest.raises(PackageTampered):
        sign(tmp_path / "package", tmp_path / "releases.release_key_secret")


def test_the_public_key_does_not_sign(tmp_path: Path) -> None:
    another_package(tmp_path / "package")
    with pytest.raises(UsageError, match="private key"):
        sign(tmp_path / "package", generate(tmp_path / "releases"))
