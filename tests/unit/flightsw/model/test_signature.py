from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from deploy.model.sign import generate, sign
from flightsw.errors import PackageUnsigned
from flightsw.model.package import load_package
from flightsw.model.signature import signer
from tests.unit.flightsw.model.another_package import released as list_again


@pytest.fixture
def package(tmp_path: Path, released: Path) -> Path:
    return Path(shutil.copytree(released, tmp_path / "package"))


@pytest.fixture
def trusted(tmp_path: Path) -> Path:
    folder = tmp_path / "trusted"
    folder.mkdir()
    return folder


def new_key(tmp_path: Path, trusted: Path, name: str) -> Path:
    """Make a pair of keys and trust it; return the secret key."""
    shutil.copy(generate(tmp_path / name), trusted)
    return tmp_path / f"{name}.release_key_secret"


def test_a_signed_package_names_its_signer(tmp_path: Path, package: Path, trusted: Path) -> None:
    new_key(tmp_path, trusted, "another")
    before = load_package(package).model_id
    sign(package, new_key(tmp_path, trusted, "releases"))
    assert signer(package, trusted) == "releases"
    assert load_package(package).model_id == before


def test_a_package_without_a_signature_is_refused(
    tmp_path: Path, package: Path, trusted: Path
) -> None:
    new_key(tmp_path, trusted, "releases")
    with pytest.raises(PackageUnsigned, match="is not signed"):
        signer(package, trusted)


def test_a_signature_by_an_unknown_key_is_refused(
    tmp_path: Path, package: Path, trusted: Path
) -> None:
    new_key(tmp_path, trusted, "releases")
    generate(tmp_path / "stranger")
    sign(package, tmp_path / "stranger.release_key_secret")
    with pytest.raises(PackageUnsigned, match="is not signed by any release key"):
        signer(package, trusted)


def test_a_signature_is_of_one_list_of_checksums(
    tmp_path: Path, package: Path, trusted: Path
) -> None:
    sign(package, new_key(tmp_path, trusted, "releases"))
    (package / "NOTICE").write_text("another notice")
    list_again(package)
    load_package(package)
    with pytest.raises(PackageUnsigned):
        signer(package, trusted)


@pytest.mark.parametrize("content", [b"", b"x" * 64, b"x" * 65])
def test_a_damaged_signature_is_refused(
    content: bytes, tmp_path: Path, package: Path, trusted: Path
) -> None:
    sign(package, new_key(tmp_path, trusted, "releases")).write_bytes(content)
    with pytest.raises(PackageUnsigned):
        signer(package, trusted)


def test_bad_keys_leave_the_good_one_its_trust(
    tmp_path: Path, package: Path, trusted: Path
) -> None:
    sign(package, new_key(tmp_path, trusted, "releases"))
    (trusted / "binary.release_key").write_bytes(bytes(range(256)))
    (trusted / "folder.release_key").mkdir()
    (trusted / "dangling.release_key").symlink_to(tmp_path / "nowhere")
    assert signer(package, trusted) == "releases"
    (trusted / "releases.release_key").unlink()
    with pytest.raises(PackageUnsigned) as caught:
        signer(package, trusted)
    assert caught.value.fields["unusable"] == ("binary", "dangling", "folder")


def test_a_key_that_others_may_write_is_not_trusted(
    tmp_path: Path, package: Path, trusted: Path
) -> None:
    sign(package, new_key(tmp_path, trusted, "releases"))
    (trusted / "releases.release_key").chmod(0o664)
    with pytest.raises(PackageUnsigned):
        signer(package, trusted)


def test_without_a_folder_of_keys_nothing_is_trusted(
    tmp_path: Path, package: Path, trusted: Path
) -> None:
    sign(package, new_key(tmp_path, trusted, "releases"))
    with pytest.raises(PackageUnsigned):
        signer(package, tmp_path / "absent")
