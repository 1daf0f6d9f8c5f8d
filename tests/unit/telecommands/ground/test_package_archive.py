from __future__ import annotations

import hashlib
import os
import tarfile
from pathlib import Path

import pytest

from telecommands.ground.errors import UsageError
from telecommands.ground.package_archive import open_package


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny-1.0"
    (folder / "compiled_model").mkdir(parents=True)
    (folder / "SHA256SUMS").write_text("list\n")
    (folder / "compiled_model" / "model.json").write_text("{}")
    return folder


def test_the_archive_of_a_package_is_the_same_bytes_each_time(package: Path) -> None:
    with open_package(package) as first:
        content = first.read(0, first.size)
    for path in package.rglob("*"):
        os.utime(path, (1, 1))
    with open_package(package) as second:
        assert second.read(0, second.size) == content
        assert second.sha256 == first.sha256 == hashlib.sha256(content).hexdigest()
        assert second.checksums == hashlib.sha256(b"list\n").hexdigest()
        assert second.name == "tiny-1.0"


def test_an_archive_made_by_tar_is_carried_as_it_is(package: Path, tmp_path: Path) -> None:
    made = tmp_path / "other.tar"
    with tarfile.open(made, "w", format=tarfile.USTAR_FORMAT) as tar:
        tar.add(package, arcname=".")
    with open_package(made) as archive:
        assert archive.name == "other"
        assert archive.sha256 == hashlib.sha256(made.read_bytes()).hexdigest()


def test_what_is_not_a_package_is_refused_with_its_cause(package: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no archive")
    (tmp_path / "empty").mkdir()
    for path, cause in (
        (tmp_path / "absent", "does not exist"),
        (tmp_path / "text", "is not an archive"),
        (tmp_path / "empty", "has no SHA256SUMS"),
    ):
        with pytest.raises(UsageError, match=cause), open_package(path):
            pass
    with pytest.raises(UsageError, match="cannot be the name"), open_package(package, "../up"):
        pass
    (package / "link").symlink_to("/etc/passwd")
    with pytest.raises(UsageError, match="is not a plain file"), open_package(package):
        pass
