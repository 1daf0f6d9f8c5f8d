"""All files appear or none: errors, interrupts, kills, full disks and folders that refuse."""

from __future__ import annotations

import errno
import fcntl
import resource
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from flightsw.errors import DiskFull, OutputNotWritable
from flightsw.products import partial_folder, size
from flightsw.products.partial_folder import PartialFolder

_HOLD_A_PARTIAL_FOLDER = """
import sys
from pathlib import Path
from flightsw.products.partial_folder import PartialFolder
folder = PartialFolder(Path(sys.argv[1]), "scene")
(folder.path / "cloud_mask.npy").write_bytes(b"half")
print(folder.path.name, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def out(tmp_path):
    """An output folder in which an earlier product lies."""
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "earlier.txt").write_text("kept")
    return folder


@pytest.mark.parametrize("raised", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_leaving_half_way_leaves_the_folder_as_it_was(simulate, all_products, out, raised):
    scene = simulate(60, 40)

    def stop_half_way():
        with scene.product_set(out, *all_products) as products:
            products.write(scene.rows((30,))[0])
            raise raised

    with pytest.raises(raised):
        stop_half_way()

    assert _contents(out) == {"earlier.txt": b"kept"}


def test_leaving_without_publishing_leaves_the_folder_as_it_was(simulate, all_products, out):
    scene = simulate(60, 40)

    with scene.product_set(out, *all_products) as products:
        products.write(scene.rows()[0])

    assert _contents(out) == {"earlier.txt": b"kept"}


def test_nothing_is_visible_before_publication(simulate, all_products, out):
    scene = simulate(60, 40)

    with scene.product_set(out, *all_products) as products:
        products.write(scene.rows()[0])
        assert [path.name for path in out.iterdir() if path.name[0] != "."] == ["earlier.txt"]
        published = products.publish(scene.summary())

    files = {file.name for file in published.files}
    assert {path.name for path in out.iterdir()} == {"earlier.txt", *files}


def test_folder_that_was_made_goes_again(simulate, tmp_path):
    scene = simulate(60, 40)

    with scene.product_set(tmp_path / "new", "mask"):
        assert (tmp_path / "new").is_dir()

    assert not (tmp_path / "new").exists()


def test_files_of_the_same_name_are_replaced(simulate, out):
    scene = simulate(60, 40)
    first = scene.publish(out, "mask", "report")
    turned = scene.with_mask(np.ascontiguousarray(scene.mask[::-1]))

    second = turned.publish(out, "mask", "report")

    assert first.paths("mask") == second.paths("mask")
    np.testing.assert_array_equal(np.load(second.paths("mask")[0]), turned.mask)
    assert len(list(out.iterdir())) == 3


def test_the_report_comes_last_and_an_old_one_goes_first(simulate, out, monkeypatch):
    scene = simulate(60, 40)
    report = scene.publish(out, "mask", "report").paths("report")[0]
    seen = []
    replace = Path.replace

    def watched(self, target):
        seen.append((Path(target).name, report.exists()))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    scene.publish(out, "mask", "report", "geotiff")

    assert [name.rpartition(".")[2] for name, _ in seen] == ["tif", "npy", "json"]
    assert not any(report_there for _, report_there in seen)


def test_files_are_on_the_disk_before_their_names_and_names_before_the_report(
    simulate, out, monkeypatch
):
    events = []
    replace, sync = Path.replace, partial_folder.sync

    def watched_replace(self, target):
        events.append(("rename", self.name))
        return replace(self, target)

    def watched_sync(path):
        events.append(("sync", path.name))
        sync(path)

    monkeypatch.setattr(Path, "replace", watched_replace)
    monkeypatch.setattr(partial_folder, "sync", watched_sync)
    simulate(60, 40).publish(out, "mask", "report")

    assert events == [
        ("sync", "cloud_mask.npy"),
        ("sync", "report.json"),
        ("rename", "cloud_mask.npy"),
        ("sync", "out"),
        ("rename", "report.json"),
        ("sync", "out"),
    ]


@pytest.mark.parametrize("fails_at", [1, 2, 3])
@pytest.mark.parametrize("raised", [OSError(errno.EIO, "I/O error"), KeyboardInterrupt()])
def test_failing_between_two_renames_puts_the_folder_back(
    simulate, out, monkeypatch, fails_at, raised
):
    scene = simulate(60, 40)
    scene.publish(out, "mask", "report")
    before = _contents(out)
    turned = scene.with_mask(np.ascontiguousarray(scene.mask[::-1]))
    replace, renames = Path.replace, []

    def failing(self, target):
        renames.append(target)
        if len(renames) == fails_at:
            raise raised
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises((OutputNotWritable, KeyboardInterrupt)):
        turned.publish(out, "mask", "geotiff", "report")

    assert _contents(out) == before


def test_files_are_replaced_where_links_are_refused(simulate, out, monkeypatch):
    def refuse(self, target):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    scene = simulate(60, 40)
    scene.publish(out, "mask", "report")
    monkeypatch.setattr(Path, "hardlink_to", refuse)

    scene.publish(out, "mask", "report")

    assert len(list(out.iterdir())) == 3


def test_what_a_killed_process_left_is_removed_by_the_next_run(simulate, out):
    with _holding_a_partial_folder(out) as (process, left):
        process.kill()
        process.wait(timeout=30)
        assert (out / left / "cloud_mask.npy").exists()

        simulate(8, 8).publish(out, "mask")

    assert sorted(path.suffix for path in out.iterdir()) == [".npy", ".txt"]


def test_what_a_living_process_writes_is_left_alone(simulate, out):
    with _holding_a_partial_folder(out) as (process, theirs):
        simulate(8, 8).publish(out, "mask")

        assert process.poll() is None
        assert (out / theirs / "cloud_mask.npy").read_bytes() == b"half"


def test_folder_left_before_it_could_be_locked_is_removed(simulate, out):
    (out / ".scene.1.partial").mkdir()
    (out / ".notes.partial").mkdir()

    simulate(8, 8).publish(out, "mask")

    assert not (out / ".scene.1.partial").exists()
    assert (out / ".notes.partial").exists()  # not one of ours


def test_two_writers_of_one_scene_in_one_process_are_distinguished(simulate, out):
    scene = simulate(8, 8)

    with (
        scene.product_set(out, "mask") as products,
        pytest.raises(OutputNotWritable, match="already in use"),
        scene.product_set(out, "mask"),
    ):
        pass

    assert products is not None
    assert _contents(out) == {"earlier.txt": b"kept"}


def test_partial_folder_swept_before_it_is_locked_is_made_again(out, monkeypatch):
    flock, swept = fcntl.flock, []

    def sweep_first(descriptor, operation):
        if not swept:
            swept.extend(out.glob(".*.partial"))
            shutil.rmtree(swept[0])
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", sweep_first)
    folder = PartialFolder(out, "scene")

    assert swept == [folder.path]
    assert folder.path.is_dir()
    folder.remove()


@pytest.mark.parametrize("place", ["missing/out", "file", "file/out"])
def test_folder_that_cannot_be_written_is_refused_before_processing(simulate, tmp_path, place):
    (tmp_path / "file").write_text("not a folder")

    with pytest.raises(OutputNotWritable, match="folder"):
        simulate(8, 8).publish(tmp_path / place, "mask")

    assert _contents(tmp_path) == {"file": b"not a folder"}


def test_product_name_taken_by_a_folder_is_refused_and_nothing_published(simulate, out):
    scene = simulate(8, 8)
    name = scene.publish(out, "mask").paths("mask")[0]
    name.unlink()
    name.mkdir()

    with pytest.raises(OutputNotWritable):
        scene.publish(out, "geotiff", "mask", "report")

    assert sorted(path.name for path in out.iterdir()) == [name.name, "earlier.txt"]


def test_disk_without_room_is_refused_before_processing(simulate, out):
    scene = simulate(8, 8).with_metadata(height=1 << 24, width=1 << 24)

    with pytest.raises(DiskFull, match="are free") as raised, scene.product_set(out, "fill"):
        pass

    assert raised.value.fields["needed_bytes"] > raised.value.fields["free_bytes"]
    assert _contents(out) == {"earlier.txt": b"kept"}


@pytest.mark.parametrize(
    "product", ["mask", "geotiff", "cog", "classes", "probability", "fill", "quicklook", "stac"]
)
def test_disk_that_fills_up_later_leaves_nothing(simulate, out, product):
    scene = simulate(300, 300)

    with pytest.raises(DiskFull), _files_limited_to(512):
        scene.publish(out, product, splits=(100, 200))

    assert _contents(out) == {"earlier.txt": b"kept"}


def test_tiny_file_system_that_fills_up_leaves_nothing(simulate, tiny_file_system):
    scene = simulate(300, 300)
    free = shutil.disk_usage(tiny_file_system).free

    with scene.product_set(tiny_file_system, "mask", "fill") as products:
        (tiny_file_system / "someone else's").write_bytes(bytes(free - (64 << 10)))
        with pytest.raises(DiskFull) as raised:
            products.write(scene.rows()[0])

    assert raised.value.fields["free_bytes"] < 64 << 10
    assert [path.name for path in tiny_file_system.iterdir()] == ["someone else's"]


def test_room_is_asked_for_according_to_the_products(simulate):
    metadata = simulate(8, 8).with_metadata(height=10_980, width=10_980).metadata

    assert size.bytes_needed({"fill"}, metadata) > 6 * 10_980**2
    assert size.bytes_needed({"geotiff", "report"}, metadata) < 10_980**2 / 8


@pytest.fixture
def tiny_file_system(tmp_path):
    folder = tmp_path / "tiny"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if mount is None or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs privileges")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def _files_limited_to(size):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def _holding_a_partial_folder(out):
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD_A_PARTIAL_FOLDER, str(out)],
        cwd=Path(__file__).parents[4],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def _contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}
