from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from deploy.model.sign import generate, sign
from flightsw.errors import (
    DiskFull,
    OutputNotWritable,
    PackageInvalid,
    PackageTampered,
    PackageUnsigned,
    StateUnavailable,
    StateUnusable,
)
from flightsw.host.disk import sha256
from flightsw.model.golden import GoldenReport
from flightsw.model.package import load_package
from flightsw.model.slots import FACT, ModelSlots, SlotState
from flightsw.state import StateFile
from telecommands.dictionary import Code
from telecommands.refusal import Refusal
from tests.unit.flightsw.model.another_package import another_package, released


class Station:
    """A service's disk, the shipped package in it, and an inbox that packages are uploaded to."""

    def __init__(self, folder: Path, shipped: Path) -> None:
        self.packages = folder / "models"
        self.inbox = folder / "inbox"
        self.inbox.mkdir()
        self.state = StateFile(folder)
        self.shipped = shipped
        self.slots = self.start()

    def start(self) -> ModelSlots:
        return ModelSlots(self.packages, self.inbox, self.state, shipped=self.shipped)

    def upload(self, version: str) -> str:
        """Put another package into the inbox; its folder is named after its version."""
        return another_package(self.inbox / version, version, self.shipped)

    def release(self, version: str) -> str:
        """Write the checksums again; return their SHA-256."""
        return released(self.inbox / version)

    def stage(self, version: str) -> str:
        """Upload and stage; return the id."""
        staged = self.slots.stage(version, self.upload(version)).staged
        assert staged is not None
        return staged

    def activate(self, version: str) -> str:
        model = self.stage(version)
        self.slots.activate(model, passed)
        return model

    def on_board(self) -> set[str]:
        return {path.name for path in self.packages.iterdir()}


def report(folder: Path, *, passed: bool) -> GoldenReport:
    return GoldenReport(
        engine="simulated",
        model_id=load_package(folder).model_id,
        tiles=3,
        agreement=1.0 if passed else 0.2,
        least_agreement=0.99,
        mean_deviation=0.0,
        largest_mean_deviation=1.0,
        max_deviation=0,
        worst_tile="snow",
        passed=passed,
    )


def passed(folder: Path) -> GoldenReport:
    return report(folder, passed=True)


def failed(folder: Path) -> GoldenReport:
    return report(folder, passed=False)


def refused(code: Code, call: Callable[[], object]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        call()
    assert caught.value.code is code
    assert caught.value.cause
    assert caught.value.cure
    return caught.value


@pytest.fixture
def station(tmp_path: Path, released: Path) -> Iterator[Station]:
    station = Station(tmp_path, released)
    yield station
    station.state.close()


@pytest.fixture
def shipped_id(released: Path) -> str:
    return load_package(released).model_id


def test_the_shipped_package_is_active_at_first(station: Station, shipped_id: str) -> None:
    assert station.slots.active() is None
    assert station.slots.state() == SlotState(active=shipped_id, staged=None, previous=None)


def test_without_another_the_package_of_the_software_is_the_shipped_one(tmp_path: Path) -> None:
    with StateFile(tmp_path) as state:
        slots = ModelSlots(tmp_path / "models", tmp_path, state)
        assert slots.state().active == load_package().model_id


def test_a_staged_package_waits_while_the_active_one_serves(
    station: Station, shipped_id: str
) -> None:
    model = station.stage("2.0")
    assert model.startswith("tiny-2.0+")
    assert station.slots.state() == SlotState(active=shipped_id, staged=model, previous=None)
    assert station.slots.active() is None
    assert station.on_board() == {model}
    assert load_package(station.packages / model).version == "2.0"


def test_what_is_on_board_does_not_need_the_inbox(station: Station) -> None:
    model = station.stage("2.0")
    shutil.rmtree(station.inbox)
    station.slots.activate(model, passed)
    assert station.slots.active() == station.packages / model


def test_the_self_test_runs_on_the_staged_package_before_it_is_activated(
    station: Station, shipped_id: str
) -> None:
    model = station.stage("2.0")
    seen: list[tuple[Path, str]] = []

    def self_test(folder: Path) -> GoldenReport:
        seen.append((folder, station.slots.state().active))
        return passed(folder)

    state = station.slots.activate(model, self_test)
    assert seen == [(station.packages / model, shipped_id)]
    assert state == SlotState(active=model, staged=None, previous=shipped_id)


def test_a_package_that_fails_its_self_test_stays_staged(station: Station) -> None:
    model = station.stage("2.0")
    before = station.slots.state()
    refusal = refused(Code.SELF_TEST_FAILED, lambda: station.slots.activate(model, failed))
    assert "snow" in refusal.cause
    assert station.slots.state() == before
    assert station.on_board() == {model}


def test_a_self_test_that_raises_leaves_everything_as_it_was(station: Station) -> None:
    model = station.stage("2.0")

    def broken(folder: Path) -> GoldenReport:
        raise RuntimeError("the card is gone")

    with pytest.raises(RuntimeError, match="card"):
        station.slots.activate(model, broken)
    assert station.slots.state().staged == model
    assert station.slots.active() is None


def test_a_staged_package_that_was_damaged_since_is_not_activated(station: Station) -> None:
    model = station.stage("2.0")
    (station.packages / model / "NOTICE").write_text("damaged")
    with pytest.raises(PackageTampered, match="NOTICE"):
        station.slots.activate(model, passed)
    assert station.slots.active() is None


def test_only_the_staged_package_is_activated(station: Station, shipped_id: str) -> None:
    refused(Code.NO_MODEL, lambda: station.slots.activate("tiny-2.0+00000000", passed))
    model = station.stage("2.0")
    refused(Code.NO_MODEL, lambda: station.slots.activate(shipped_id, passed))
    station.slots.activate(model, passed)
    refused(Code.NO_MODEL, lambda: station.slots.activate(model, passed))


def test_the_previous_package_is_kept_and_the_one_before_it_goes(station: Station) -> None:
    models = [station.activate(version) for version in ("2.0", "3.0", "4.0")]
    assert station.slots.state() == SlotState(active=models[2], staged=None, previous=models[1])
    assert station.on_board() == set(models[1:])


def test_rolling_back_activates_the_previous_package(station: Station) -> None:
    second, third = station.activate("2.0"), station.activate("3.0")
    state = station.slots.roll_back()
    assert state == SlotState(active=second, staged=third, previous=None)
    assert station.slots.active() == station.packages / second


def test_rolling_back_to_the_shipped_package(station: Station, shipped_id: str) -> None:
    second = station.activate("2.0")
    assert station.slots.roll_back() == SlotState(active=shipped_id, staged=second, previous=None)
    assert station.slots.active() is None


def test_a_package_that_was_left_can_be_activated_without_another_upload(
    station: Station,
) -> None:
    second = station.activate("2.0")
    station.slots.roll_back()
    assert station.slots.activate(second, passed).active == second


def test_rolling_back_keeps_a_package_that_is_staged(station: Station, shipped_id: str) -> None:
    station.activate("2.0")
    third = station.stage("3.0")
    assert station.slots.roll_back() == SlotState(active=shipped_id, staged=third, previous=None)
    assert station.on_board() == {third}


def test_there_is_one_step_back_and_none_at_first(station: Station) -> None:
    refused(Code.NO_MODEL, station.slots.roll_back)
    station.activate("2.0")
    station.slots.roll_back()
    refused(Code.NO_MODEL, station.slots.roll_back)


def test_a_previous_package_that_was_damaged_is_not_rolled_back_to(station: Station) -> None:
    second, third = station.activate("2.0"), station.activate("3.0")
    (station.packages / second / "golden.npz").unlink()
    with pytest.raises(PackageInvalid, match="golden"):
        station.slots.roll_back()
    assert station.slots.state() == SlotState(active=third, staged=None, previous=second)


def test_the_shipped_package_can_be_staged_again(station: Station, shipped_id: str) -> None:
    second = station.activate("2.0")
    shutil.copytree(station.shipped, station.inbox / "again")
    digest = sha256(station.shipped / "SHA256SUMS")
    assert station.slots.stage("again", digest).staged == shipped_id
    state = station.slots.activate(shipped_id, passed)
    assert state == SlotState(active=shipped_id, staged=None, previous=second)
    assert station.slots.active() is None


def test_staging_again_replaces_what_was_staged(station: Station) -> None:
    station.stage("2.0")
    third = station.stage("3.0")
    assert station.slots.state().staged == third
    assert station.on_board() == {third}


def test_staging_the_same_package_twice_changes_nothing(station: Station) -> None:
    model = station.stage("2.0")
    assert station.stage("2.0") == model
    assert station.on_board() == {model}


def test_staging_mends_a_package_that_was_damaged_on_board(station: Station) -> None:
    second = station.activate("2.0")
    station.activate("3.0")
    (station.packages / second / "NOTICE").unlink()
    station.stage("2.0")
    load_package(station.packages / second)
    assert station.slots.roll_back().active == second


def test_the_active_package_is_not_staged(station: Station) -> None:
    model = station.activate("2.0")
    digest = station.upload("2.0")
    refusal = refused(Code.BAD_ARGUMENTS, lambda: station.slots.stage("2.0", digest))
    assert model in refusal.cause


@pytest.mark.parametrize("path", ["../models", "/etc", "..", "", "link"])
def test_packages_come_from_the_inbox_alone(station: Station, path: str) -> None:
    (station.inbox / "link").symlink_to(station.shipped)
    digest = sha256(station.shipped / "SHA256SUMS")
    refused(Code.OUTSIDE_SCENE_ROOT, lambda: station.slots.stage(path, digest))
    assert station.on_board() == set()


def test_a_package_that_is_not_in_the_inbox_is_refused(station: Station) -> None:
    refused(Code.NO_MODEL, lambda: station.slots.stage("absent", "0" * 64))
    (station.inbox / "file").write_text("no folder")
    refused(Code.NO_MODEL, lambda: station.slots.stage("file", "0" * 64))


def test_a_package_with_another_digest_is_refused(station: Station) -> None:
    station.upload("2.0")
    refusal = refused(Code.BAD_ARGUMENTS, lambda: station.slots.stage("2.0", "0" * 64))
    assert "0" * 64 in refusal.cause
    assert station.on_board() == set()


def _flip_a_byte(folder: Path) -> None:
    content = bytearray((folder / "golden.npz").read_bytes())
    content[100] ^= 1
    (folder / "golden.npz").write_bytes(content)


def _lose_a_file(folder: Path) -> None:
    (folder / "NOTICE").unlink()


def _add_a_file(folder: Path) -> None:
    (folder / "extra").write_text("unlisted")


def _lose_the_checksums(folder: Path) -> None:
    (folder / "SHA256SUMS").unlink()


def _link_to_a_file(folder: Path) -> None:
    (folder / "NOTICE").rename(folder.parent / "NOTICE")
    (folder / "NOTICE").symlink_to("../NOTICE")


def _link_to_a_folder(folder: Path) -> None:
    (folder / "compiled_model").rename(folder.parent / "compiled_model")
    (folder / "compiled_model").symlink_to("../compiled_model")


def _add_a_pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe")


def _replace_a_file_by_a_pipe(folder: Path) -> None:
    (folder / "NOTICE").unlink()
    os.mkfifo(folder / "NOTICE")


@pytest.mark.parametrize(
    "damage",
    [
        _flip_a_byte,
        _replace_a_file_by_a_pipe,
        _lose_a_file,
        _add_a_file,
        _lose_the_checksums,
        _link_to_a_file,
        _link_to_a_folder,
        _add_a_pipe,
    ],
)
def test_a_bad_package_leaves_nothing(station: Station, damage: Callable[[Path], None]) -> None:
    staged = station.stage("2.0")
    digest = station.upload("3.0")
    damage(station.inbox / "3.0")
    with pytest.raises((PackageInvalid, PackageTampered)):
        station.slots.stage("3.0", digest)
    assert station.slots.state().staged == staged
    assert station.on_board() == {staged}


@pytest.mark.parametrize("version", ["../../../etc", "2.0/..", "2 0", "2.0\n", "9" * 200])
def test_a_package_cannot_choose_where_it_is_put(station: Station, version: str) -> None:
    station.upload("2.0")
    path = station.inbox / "2.0" / "package.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": version}))
    digest = station.release("2.0")
    with pytest.raises(PackageInvalid, match="version"):
        station.slots.stage("2.0", digest)
    assert station.on_board() == set()


def test_an_inbox_that_changes_during_the_copy_is_noticed(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = station.upload("2.0")
    copy = shutil.copyfileobj

    def meddling(*arguments: object) -> None:
        (station.inbox / "2.0" / "NOTICE").write_text("changed meanwhile")
        copy(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(shutil, "copyfileobj", meddling)
    with pytest.raises(PackageTampered, match="NOTICE"):
        station.slots.stage("2.0", digest)
    assert station.on_board() == set()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, released: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with (
        StateFile(tmp_path) as state,
        pytest.raises(OutputNotWritable, match="file"),
    ):
        ModelSlots(tmp_path / "file", tmp_path, state, shipped=released)


def test_a_full_disk_is_reported_and_leaves_nothing(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = station.upload("2.0")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(DiskFull):
            station.slots.stage("2.0", digest)
    assert station.on_board() == set()


def test_slots_outlive_the_process(station: Station) -> None:
    station.activate("2.0")
    station.activate("3.0")
    station.stage("4.0")
    again = station.start()
    assert again.state() == station.slots.state()
    assert again.active() == station.slots.active()


def test_a_start_clears_away_what_a_power_cut_left(station: Station) -> None:
    model = station.activate("2.0")
    shutil.copytree(station.shipped, station.packages / ".incoming")
    shutil.copytree(station.shipped, station.packages / "never-decided")
    station.start()
    assert station.on_board() == {model}


def test_a_fact_that_is_not_ours_is_never_guessed_at(station: Station) -> None:
    station.state.set_fact(FACT, b"not json")
    with pytest.raises(StateUnusable, match=FACT):
        station.start()


class PowerCut(BaseException):
    """Ends the run at a place at which no handler expects it."""


class Failing:
    """Facts that fail once, before or after the value is on the disk."""

    def __init__(self, state: StateFile) -> None:
        self._state = state
        self.before: BaseException | None = None
        self.after: BaseException | None = None

    def fact(self, name: str) -> bytes | None:
        return self._state.fact(name)

    def set_fact(self, name: str, value: bytes | None) -> None:
        before, after, self.before, self.after = self.before, self.after, None, None
        if before:
            raise before
        self._state.set_fact(name, value)
        if after:
            raise after


def test_where_the_state_cannot_be_written_nothing_changes(station: Station) -> None:
    facts = Failing(station.state)
    slots = ModelSlots(station.packages, station.inbox, facts, shipped=station.shipped)
    model = station.stage("2.0")
    before = slots.state()
    digest = station.upload("3.0")
    for call in (
        lambda: slots.stage("3.0", digest),
        lambda: slots.activate(model, passed),
    ):
        facts.before = StateUnavailable("state", "the disk is full")
        with pytest.raises(StateUnavailable):
            call()
        assert slots.state() == before
        assert station.on_board() == {model}


class Crashes(RuleBasedStateMachine):
    """Random telecommands and power cuts; each slot always holds a verified package."""

    folder: Path
    released: Path
    runs = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).runs += 1
        folder = self.folder / str(self.runs)
        folder.mkdir()
        self.station = Station(folder, self.released)
        self.facts = Failing(self.station.state)
        self.restart()

    def restart(self) -> None:
        station = self.station
        station.slots = ModelSlots(
            station.packages, station.inbox, self.facts, shipped=station.shipped
        )

    def attempt(self, cut: str, call: Callable[[], SlotState]) -> None:
        before = self.station.slots.state()
        if cut:
            setattr(self.facts, cut, PowerCut())
        try:
            decided = call()
        except Refusal:
            assert self.station.slots.state() == before
        except PowerCut:
            self.restart()
            assert (self.station.slots.state() == before) == (cut == "before")
        else:
            assert self.station.slots.state() == decided
        self.facts.before = self.facts.after = None

    @rule(version=st.sampled_from(["2", "3"]), cut=st.sampled_from(["", "before"]))
    def stage(self, version: str, cut: str) -> None:
        digest = self.station.upload(version)
        self.attempt(cut, lambda: self.station.slots.stage(version, digest))

    @rule(cut=st.sampled_from(["", "before", "after"]), passes=st.booleans())
    def activate(self, cut: str, passes: bool) -> None:
        model = self.station.slots.state().staged or "none"
        test = passed if passes else failed
        self.attempt(cut, lambda: self.station.slots.activate(model, test))

    @rule(cut=st.sampled_from(["", "before", "after"]))
    def roll_back(self, cut: str) -> None:
        self.attempt(cut, self.station.slots.roll_back)

    @rule()
    def start_again(self) -> None:
        before = self.station.slots.state()
        self.restart()
        assert self.station.slots.state() == before

    @invariant()
    def each_slot_holds_a_verified_package(self) -> None:
        state, station = self.station.slots.state(), self.station
        shipped = load_package(station.shipped).model_id
        named = {state.active, state.staged, state.previous} - {None, shipped}
        assert station.on_board() == named
        for model in named:
            assert load_package(station.packages / str(model)).model_id == model
        assert state.active not in (state.staged, state.previous)

    def teardown(self) -> None:
        self.station.state.close()


def test_whatever_happens_each_slot_holds_a_verified_package(
    tmp_path: Path, released: Path
) -> None:
    Crashes.folder, Crashes.released = tmp_path, released
    run_state_machine_as_test(
        Crashes,
        settings=settings(
            max_examples=20,
            stateful_step_count=12,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_only_a_package_of_a_trusted_release_key_is_staged_and_activated(
    tmp_path: Path, station: Station
) -> None:
    trusted = tmp_path / "trusted"
    trusted.mkdir()
    key = Path(shutil.copy(generate(tmp_path / "releases"), trusted))
    digest = station.upload("2.0")
    sign(station.inbox / "2.0", tmp_path / "releases.release_key_secret")
    with StateFile(tmp_path / "signed") as state:
        slots = ModelSlots(tmp_path / "signed", station.inbox, state, release_keys=trusted)
        with pytest.raises(PackageUnsigned, match=r"/3\.0 is not signed"):
            slots.stage("3.0", station.upload("3.0"))
        model = slots.stage("2.0", digest).staged
        assert model is not None
        key.rename(tmp_path / "revoked")
        with pytest.raises(PackageUnsigned):
            slots.activate(model, passed)
        (tmp_path / "revoked").rename(key)
        assert slots.activate(model, passed).active == model
        slots.roll_back()
        assert slots.active() is None


def test_the_settings_model_needs_a_signature_too(tmp_path: Path, station: Station) -> None:
    with pytest.raises(PackageUnsigned):
        ModelSlots(
            tmp_path / "signed",
            station.inbox,
            station.state,
            shipped=station.shipped,
            release_keys=tmp_path,
        )
