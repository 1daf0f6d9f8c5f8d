"""Model packages on board: the active one, the staged one, and the previous one.

::

    inbox ── stage ──► staged ── activate ──► active ──► previous
                          ▲                     │            │
                          └───── roll back ─────┘ ◄──────────┘

One fact names the three slots.  A package is whole and verified in its folder before the fact
names it, and its folder is removed only after no slot names it: at any power cut,
each slot holds a verified package.  The processing thread calls; any thread may read.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from flightsw.errors import DiskFull, ModelError, PackageInvalid, StateUnusable
from flightsw.host.confinement import confined
from flightsw.host.disk import disk_errors, make_folder, sha256, sync
from flightsw.model.durable_copy import copy_folder
from flightsw.model.golden import GoldenReport
from flightsw.model.package import CHECKSUMS, DESCRIPTION, load_package
from flightsw.model.signature import signer
from flightsw.state import StateFile
from telecommands.dictionary import Code
from telecommands.failure import UNDECODABLE
from telecommands.refusal import Refusal

FACT: Final = "model_slots"
"""Name of the fact that names the slots."""

_SHIPPED: Final = ""  # in a slot: the package that ships, in its present version
_INCOMING: Final = ".incoming"
_FOLDER_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,127}\Z")


@dataclass(frozen=True)
class SlotState:
    """Ids of the packages in the slots."""

    active: str
    staged: str | None
    previous: str | None


class _Slots(msgspec.Struct, frozen=True):
    active: str = _SHIPPED
    staged: str | None = None
    previous: str | None = None


class ModelSlots:
    """Packages below ``folder``, each in a folder of its id; uploads come from ``inbox``.

    ``shipped`` is the active package until another is activated; None is the one that comes
    with the software.  It is never moved or deleted.  A key in ``release_keys`` must have signed
    each package but the one of the software; None: in a laboratory, nobody need have signed.
    Raises what :func:`load_package` and :func:`signer` raise for the shipped package, and
    :class:`StateUnusable` if the fact is not ours.
    """

    def __init__(
        self,
        folder: Path,
        inbox: Path,
        facts: StateFile,
        *,
        shipped: Path | None = None,
        release_keys: Path | None = None,
    ) -> None:
        self._folder, self._inbox, self._facts = folder, inbox, facts
        self._release_keys = release_keys
        package = load_package(shipped)
        if shipped is not None:
            self._require_signature(package.folder)
        self._shipped_id, self._shipped_folder = package.model_id, package.folder
        with suppress(DiskFull), disk_errors(folder):  # the first package needs it, not the start
            make_folder(folder, 0o700)
        self._remove_unnamed()

    def active(self) -> Path | None:
        """Folder of the active package; None: the one that ships."""
        active = self._slots().active
        return None if active == _SHIPPED else self._folder / active

    def state(self) -> SlotState:
        """Which package is in which slot."""
        slots = self._slots()
        return SlotState(
            active=self._id(slots.active),
            staged=None if slots.staged is None else self._id(slots.staged),
            previous=None if slots.previous is None else self._id(slots.previous),
        )

    def stage(self, package: str, sha256: str) -> SlotState:
        """Copy ``package`` (a folder below the inbox) on board and verify the copy.

        ``sha256`` is that of its file ``SHA256SUMS``.  It replaces what was staged before.
        Raises :class:`Refusal` (OUTSIDE_SCENE_ROOT; NO_MODEL if the folder does not exist;
        BAD_ARGUMENTS if the digest differs or the package is already active),
        :class:`PackageInvalid`, :class:`PackageTampered`, :class:`PackageUnsigned`,
        :class:`DiskFull` and :class:`OutputNotWritable`; then nothing has changed.
        """
        source = confined(self._inbox, package)
        if not source.is_dir():
            raise Refusal(Code.NO_MODEL, f"the model inbox has no folder {package!r}", "Upload it")
        slots, model = self._slots(), _verified(source, sha256)
        if model == self._id(slots.active):
            raise Refusal(
                Code.BAD_ARGUMENTS, f"{model} is already the active model", "Stage another one"
            )
        if model == self._shipped_id:
            model = _SHIPPED
        else:
            self._take_in(source, sha256, model)
        self._decide(msgspec.structs.replace(slots, staged=model))
        return self.state()

    def activate(self, model: str, self_test: Callable[[Path], GoldenReport]) -> SlotState:
        """Activate the staged package, whose id is ``model``, if it passes ``self_test``.

        Raises :class:`Refusal` (NO_MODEL if it is not staged, SELF_TEST_FAILED),
        :class:`PackageUnsigned` if its release key is no longer trusted, what
        :func:`load_package` raises, and what the test raises; then it stays staged.
        """
        slots = self._slots()
        if slots.staged is None or self._id(slots.staged) != model:
            raise Refusal(Code.NO_MODEL, f"{model} is not staged", "Stage it with STAGE_MODEL")
        report = self_test(self._trusted(slots.staged))
        if not report.passed:
            raise Refusal(
                Code.SELF_TEST_FAILED,
                f"{model} failed its golden tiles on {report.engine}; {self._id(slots.active)} "
                f"stays active (same class {report.agreement:.4%}, worst tile {report.worst_tile})",
                "Run SELF_TEST to check the device, or stage another model",
            )
        self._decide(_Slots(active=slots.staged, previous=slots.active))
        return self.state()

    def roll_back(self) -> SlotState:
        """Activate the previous package.

        The package that was active is staged if nothing else is, so that it need not be uploaded
        again.  Raises :class:`Refusal` with NO_MODEL if none is kept, and what :func:`load_package`
        and :func:`signer` raise for it; then nothing has changed.
        """
        slots = self._slots()
        if slots.previous is None:
            raise Refusal(
                Code.NO_MODEL,
                "there is no previous model to roll back to",
                "Stage and activate one",
            )
        self._trusted(slots.previous)
        staged = slots.active if slots.staged in (None, slots.previous) else slots.staged
        self._decide(_Slots(active=slots.previous, staged=staged))
        return self.state()

    def _slots(self) -> _Slots:
        value = self._facts.fact(FACT)
        if value is None:
            return _Slots()
        try:
            return msgspec.json.decode(value, type=_Slots)
        except UNDECODABLE as error:
            cure = "Move the state file away: the package that ships is then active"
            raise StateUnusable(FACT, f"cannot be read ({error})", cure) from error

    def _decide(self, slots: _Slots) -> None:
        try:
            self._facts.set_fact(FACT, msgspec.json.encode(slots))
        finally:
            self._remove_unnamed()

    def _id(self, slot: str) -> str:
        return self._shipped_id if slot == _SHIPPED else slot

    def _place(self, slot: str) -> Path:
        return self._shipped_folder if slot == _SHIPPED else self._folder / slot

    def _trusted(self, slot: str) -> Path:
        """The verified folder of a slot, whose release key is still trusted."""
        folder = load_package(self._place(slot)).folder
        if slot != _SHIPPED:
            self._require_signature(folder)
        return folder

    def _require_signature(self, folder: Path) -> None:
        if self._release_keys is not None:
            signer(folder, self._release_keys)

    def _take_in(self, source: Path, sha256: str, model: str) -> None:
        """Copy, and verify the copy, as the inbox may change meanwhile."""
        incoming = self._folder / _INCOMING / source.name  # errors name the package by it
        try:
            with disk_errors(self._folder):
                make_folder(self._folder, 0o700)
                make_folder(incoming.parent, 0o700)
                copy_folder(source, incoming)
            _verified(incoming, sha256)
            self._require_signature(incoming)
            if not self._is_sound(model):  # else a slot holds it already
                with disk_errors(self._folder):
                    shutil.rmtree(self._folder / model, ignore_errors=True)
                    incoming.rename(self._folder / model)
                    sync(self._folder)
        finally:
            shutil.rmtree(incoming.parent, ignore_errors=True)

    def _is_sound(self, model: str) -> bool:
        try:
            return load_package(self._folder / model).model_id == model
        except ModelError:
            return False

    def _remove_unnamed(self) -> None:
        slots = self._slots()
        named = {slots.active, slots.staged, slots.previous}
        for path in self._folder.iterdir() if self._folder.exists() else ():
            if path.name not in named:
                # What cannot be deleted now is tried again at the next change.
                shutil.rmtree(path, ignore_errors=True)


def _verified(folder: Path, expected: str) -> str:
    """The id of a package whose list of checksums is the expected one, fit for a folder's name."""
    path = folder / CHECKSUMS
    if not path.is_file():
        raise PackageInvalid(path, "does not exist", "Upload the whole package")
    if (found := sha256(path)) != expected:
        cause = f"the package's {CHECKSUMS} has SHA-256 {found}, not {expected}"
        raise Refusal(Code.BAD_ARGUMENTS, cause, "Upload the package again, or correct sha256")
    model = load_package(folder).model_id
    if not _FOLDER_NAME.match(model):
        expected = "letters, digits, '_', '.', '+' and '-', 128 in all"
        raise PackageInvalid.wrong(folder / DESCRIPTION, "name and version", expected, model)
    return model
