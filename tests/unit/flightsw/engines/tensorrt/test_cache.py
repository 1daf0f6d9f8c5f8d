from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from flightsw.engines.tensorrt.cache import EngineCache, EngineIdentity, default_folder

ENGINE = bytes(range(256)) * 64
IDENTITY = EngineIdentity(
    model_id="dtacsnet-cd-1.0+12345678",
    onnx_sha256="ab" * 32,
    tensorrt="10.3.0",
    gpu="Orin",
    compute_capability="8.7",
    precision="fp16",
    batch=8,
    tile_size=512,
)
OTHERS = {
    "model_id": "dtacsnet-cd-1.1+87654321",
    "onnx_sha256": "cd" * 32,
    "tensorrt": "10.16.1",
    "gpu": "NVIDIA H200",
    "compute_capability": "9.0",
    "precision": "fp32",
    "batch": 4,
    "tile_size": 256,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "engines"


@pytest.fixture
def stored(folder: Path) -> Path:
    EngineCache(folder).store(IDENTITY, ENGINE)
    return folder / IDENTITY.file_name


def refusals(folder: Path, identity: EngineIdentity = IDENTITY) -> str:
    """The logged reason for which an engine is not handed out."""
    with capture_logs() as logged:
        assert EngineCache(folder).load(identity) is None
    return " ".join(str(one.get("because")) for one in logged)


def test_an_engine_comes_back_in_the_next_process(stored: Path, folder: Path) -> None:
    assert EngineCache(folder).load(IDENTITY) == ENGINE


def test_nothing_is_logged_about_an_engine_that_was_never_built(folder: Path) -> None:
    assert refusals(folder) == ""


def test_folder_and_file_are_the_users_alone(stored: Path, folder: Path) -> None:
    assert folder.stat().st_mode & 0o777 == 0o700
    assert stored.stat().st_mode & 0o777 == 0o600


def test_the_test_varies_every_field() -> None:
    assert set(OTHERS) == set(EngineIdentity.__struct_fields__)


@pytest.mark.parametrize("field", OTHERS)
def test_an_engine_built_for_another_is_refused_though_it_has_the_name(
    stored: Path, folder: Path, field: str
) -> None:
    other = msgspec.structs.replace(IDENTITY, **{field: OTHERS[field]})
    stored.rename(folder / other.file_name)
    assert f"built for {field}" in refusals(folder, other)


@pytest.mark.parametrize("field", ["onnx_sha256", "tensorrt"])
def test_a_new_library_or_graph_replaces_the_old_file(
    stored: Path, folder: Path, field: str
) -> None:
    newer = msgspec.structs.replace(IDENTITY, **{field: OTHERS[field]})
    EngineCache(folder).store(newer, b"newer")
    assert [path.name for path in folder.iterdir()] == [stored.name]
    assert EngineCache(folder).load(newer) == b"newer"
    assert f"built for {field}" in refusals(folder)


def test_engines_for_two_gpus_lie_side_by_side(stored: Path, folder: Path) -> None:
    other = msgspec.structs.replace(IDENTITY, gpu="NVIDIA H200")
    EngineCache(folder).store(other, b"other")
    assert EngineCache(folder).load(IDENTITY) == ENGINE
    assert EngineCache(folder).load(other) == b"other"


@pytest.mark.parametrize("kept", [0, 5, 40, 300, 800, -1])
def test_a_truncated_file_is_refused(stored: Path, folder: Path, kept: int) -> None:
    stored.write_bytes(stored.read_bytes()[:kept])
    assert refusals(folder)


def test_a_changed_bit_is_noticed_wherever_it_lies(stored: Path, folder: Path) -> None:
    whole = stored.read_bytes()
    start = len(whole) - len(ENGINE)
    for place in (*range(start), start, start + 5000, len(whole) - 1):
        changed = bytearray(whole)
        changed[place] ^= 1
        stored.write_bytes(changed)
        assert refusals(folder), f"byte {place}"


def test_bytes_appended_to_an_engine_are_noticed(stored: Path, folder: Path) -> None:
    stored.write_bytes(stored.read_bytes() + b"\n")
    assert "changed after it was written" in refusals(folder)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_refused(stored: Path, folder: Path, mode: int) -> None:
    stored.chmod(mode)
    assert f"can be written by others (mode {mode:o})" in refusals(folder)


def test_a_file_of_another_user_is_refused(
    stored: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fstat = os.fstat

    def foreign(descriptor: int) -> os.stat_result:
        status = list(fstat(descriptor))
        status[4] += 1  # st_uid
        return os.stat_result(status)

    monkeypatch.setattr(os, "fstat", foreign)
    assert f"belongs to user {os.geteuid() + 1}" in refusals(folder)


def _replace_by_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def _replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize("replace", [_replace_by_link, _replace_by_folder, _replace_by_pipe])
def test_what_is_not_a_plain_file_is_refused(
    stored: Path, folder: Path, replace: Callable[[Path], None]
) -> None:
    replace(stored)
    assert refusals(folder)


def test_a_folder_that_others_can_write_is_not_used_and_logged_once(
    stored: Path, folder: Path
) -> None:
    folder.chmod(0o777)
    cache = EngineCache(folder)
    with capture_logs() as logged:
        assert cache.load(IDENTITY) is None
        cache.store(IDENTITY, b"new")
    assert [one["event"] for one in logged] == ["engine cache unusable"]
    assert "written by others" in logged[0]["because"]
    folder.chmod(0o700)
    assert EngineCache(folder).load(IDENTITY) == ENGINE


def test_a_folder_that_cannot_be_made_is_logged_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    cache = EngineCache(tmp_path / "file" / "engines")
    with capture_logs() as logged:
        assert cache.load(IDENTITY) is None
        cache.store(IDENTITY, ENGINE)
        cache.store(IDENTITY, ENGINE)
    assert [one["event"] for one in logged] == ["engine cache unusable"]


def test_a_full_disk_leaves_the_old_engine_and_no_rest(
    stored: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched, capture_logs() as logged:
        patched.setattr(os, "fsync", full)
        EngineCache(folder).store(IDENTITY, b"newer")
    assert "No space left" in logged[0]["because"]
    assert [path.name for path in folder.iterdir()] == [stored.name]
    assert EngineCache(folder).load(IDENTITY) == ENGINE


def test_the_newest_files_stay_and_no_more(folder: Path) -> None:
    cache = EngineCache(folder)
    folder.mkdir(parents=True, mode=0o700)
    (folder / "interrupted.partial").write_bytes(b"half")
    os.utime(folder / "interrupted.partial", (0, 0))
    models = [msgspec.structs.replace(IDENTITY, model_id=f"model-{number}") for number in range(10)]
    for age, identity in enumerate(models):
        cache.store(identity, ENGINE)
        os.utime(folder / identity.file_name, (1000 + age, 1000 + age))
    cache.store(models[0], ENGINE)
    kept = {one.model_id for one in models if cache.load(one) is not None}
    assert kept == {"model-0", *(f"model-{number}" for number in range(3, 10))}
    assert not list(folder.glob("*.partial"))


def _store_and_load(folder: Path, letter: bytes) -> set[bytes]:
    cache = EngineCache(folder)
    found = set()
    for _ in range(30):
        cache.store(IDENTITY, letter * 100_000)
        engine = cache.load(IDENTITY)
        found.add(b"none" if engine is None else engine[:1] + engine[-1:])
    return found


def test_two_processes_that_build_together_never_see_half_an_engine(folder: Path) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        answers: Any = processes.map(_store_and_load, [folder, folder], [b"A", b"B"])
        assert set().union(*answers) <= {b"AA", b"BB"}
    assert len(list(folder.iterdir())) == 1


def test_the_default_folder_is_that_of_the_desktop_specification(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for setting in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", setting)
        assert default_folder() == tmp_path / ".cache" / "flightsw" / "engines"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert default_folder() == tmp_path / "elsewhere" / "flightsw" / "engines"
