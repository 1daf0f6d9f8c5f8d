"""Which disks a power cut may leave: all that was waited for, and any part of the rest."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from deploy.faults.power_cuts import MODELS, Model, disk_after_cut
from deploy.faults.recording import (
    ROOT,
    Data,
    Names,
    Operation,
    Recording,
    Size,
    Sync,
    is_available,
    read_recording,
    strace_command,
    tree_of,
)

_OLD, _NEW, _FOLDER, _FILE = 1, 2, 3, 4
_CONTENT = bytes(range(256)) * 10
_WHOLE: tuple[Operation, ...] = (
    Size(0, _NEW, 0),
    Names(0, ((ROOT, "partial", _NEW),)),
    Data(0, _NEW, 0, _CONTENT),
    Sync(0, _NEW),
    Names(0, ((ROOT, "partial", None), (ROOT, "file", _NEW))),
    Sync(0, ROOT),
)
"""A file that is replaced as it should be."""


def _recording(operations: Sequence[Operation]) -> Recording:
    return Recording({ROOT: None, _OLD: b"old"}, {ROOT: {"file": _OLD}}, list(operations))


def _disks(
    operations: Sequence[Operation], model: Model, cut: int | None = None
) -> Iterator[dict[str, bytes | None]]:
    for seed in range(300):
        choice = random.Random(seed)
        at = choice.randint(0, len(operations)) if cut is None else cut
        yield disk_after_cut(_recording(operations), at, model, choice).tree()


@pytest.mark.parametrize("model", MODELS)
def test_a_file_that_is_written_whole_is_old_or_new_and_new_once_that_was_waited_for(
    model: Model,
) -> None:
    assert {disk["file"] for disk in _disks(_WHOLE, model)} == {b"old", _CONTENT}
    assert {disk["file"] for disk in _disks(_WHOLE, model, len(_WHOLE))} == {_CONTENT}


@pytest.mark.parametrize("model", MODELS)
def test_without_waiting_for_the_content_it_may_be_torn(model: Model) -> None:
    hasty = [one for one in _WHOLE if one != Sync(0, _NEW)]
    found = {disk["file"] for disk in _disks(hasty, model)}
    assert b"" in found
    assert any(content not in (b"", b"old", _CONTENT) for content in found if content is not None)


def test_only_without_a_journal_a_folder_may_vanish_with_what_was_synchronised_in_it() -> None:
    product: tuple[Operation, ...] = (
        Names(0, ((ROOT, "job", _FOLDER),)),
        Size(0, _FILE, 0),
        Names(0, ((_FOLDER, "mask", _FILE),)),
        Data(0, _FILE, 0, b"mask"),
        Sync(0, _FILE),
        Sync(0, _FOLDER),
    )

    def masks(operations: Sequence[Operation], model: Model) -> set[bytes | None]:
        found = set()
        for seed in range(100):
            recording = _recording(operations)
            recording.names[_FOLDER] = {}
            disk = disk_after_cut(recording, len(operations), model, random.Random(seed))
            found.add(disk.tree().get("job/mask"))
        return found

    assert masks(product, "names in order") == {b"mask"}
    assert masks(product, "names in any order") == {b"mask", None}
    assert masks((*product, Sync(0, ROOT)), "names in any order") == {b"mask"}


_WORK = """
import os, pathlib, sqlite3, sys, threading
folder = pathlib.Path(sys.argv[1])
(folder / "a").mkdir()
path = folder / "a" / "file"
with path.open("wb") as file:
    file.write(b"one")
    file.seek(10)
    file.write(b"two")
    file.truncate(12)
path.rename(folder / "b")
os.link(folder / "b", folder / "c")
(folder / "before").unlink()
with (folder / "c").open("ab") as file:
    file.write(b"three")
def database():
    db = sqlite3.connect(folder / "db")
    db.execute("PRAGMA journal_mode = DELETE")
    db.execute("CREATE TABLE t (x)")
    db.execute("INSERT INTO t VALUES (randomblob(20000))")
    db.commit()
    db.close()
thread = threading.Thread(target=database)
thread.start()
thread.join()
"""


@pytest.mark.skipif(not is_available(), reason="strace is not installed (apt-get install strace)")
def test_a_recording_gives_the_files_that_are_there(tmp_path: Path) -> None:
    folder, trace = tmp_path / "folder", tmp_path / "trace"
    folder.mkdir()
    (folder / "before").write_bytes(b"before")
    before = tree_of(folder)
    command = [*strace_command(trace), sys.executable, "-c", _WORK, str(folder)]
    subprocess.run(command, check=True, timeout=120)
    recording = read_recording([trace], folder, before)
    assert recording.tree() == tree_of(folder)
    assert recording.tree()["c"] == b"one" + bytes(7) + b"two"[:2] + b"three"
    assert any(isinstance(one, Sync) for one in recording.operations)
