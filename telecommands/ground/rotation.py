"""Replace a client's keys by new ones, without a time at which neither counts.

The new keys are made in ``KEYS/next``, sent with the keys in use, tried, and only then put in
their place.  Whatever interrupts that, the same command continues it: the service takes the same
new key twice, and every mixture of old and new files counts until the old ones end.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from telecommands.dictionary import Ping, RotateKey, Stage, Verification
from telecommands.ground.commanding import TelecommandClient
from telecommands.ground.connection import GroundKeys, read_ground_keys
from telecommands.ground.errors import LinkError, UnusableKey
from telecommands.ground.sequence import SequenceFile
from telecommands.keys import (
    PUBLIC_SUFFIX,
    SECRET_SUFFIX,
    SERVICE_KEY,
    TELECOMMAND_SUFFIX,
    KeyRefused,
    certificate,
    fingerprint,
    generate_curve_pair,
    generate_telecommand_key,
    publish_key_file,
    read_curve_pair,
    read_curve_public,
    read_unit,
    unit_metadata,
    wrap_secret,
)

_NEXT: Final = "next"
_SEQUENCE: Final = ".sequence"
# In the order in which they are put in place; the pair is last, by which a repetition knows.
_SUFFIXES: Final = (_SEQUENCE, TELECOMMAND_SUFFIX, PUBLIC_SUFFIX, SECRET_SUFFIX)
_NONCE_BYTES: Final = 16
_ANSWER_S: Final = 30.0

Commanding: TypeAlias = Callable[[GroundKeys, SequenceFile], TelecommandClient]
"""Opens the telecommand link with these keys."""


class KeyRotation:
    """Of the client ``name`` with its keys in ``folder``.  Raises errors of the ground side."""

    def __init__(self, folder: Path, name: str, commanding: Commanding) -> None:
        self._folder = folder
        self._next = folder / _NEXT
        self._name = name
        self._commanding = commanding

    def run(self, old_until: int) -> str:
        """Rotate; ``old_until`` is UTC in nanoseconds.  The new key's fingerprint."""
        try:
            if not self._being_placed() and not self._counts_already():
                self._generate()
                self._send(old_until)
                self._try()
            # Of the file that is put in place last: the others may be there already.
            shown = fingerprint(read_curve_pair(self._path(self._next, SECRET_SUFFIX)).public)
            self._place()
        except KeyRefused as refused:
            raise UnusableKey(refused.path, refused.cause, refused.cure) from refused
        return shown

    def _being_placed(self) -> bool:
        """Whether the new keys counted on board already when this was interrupted."""
        return (
            self._path(self._next, SECRET_SUFFIX).exists()
            and not self._path(self._next, TELECOMMAND_SUFFIX).exists()
        )

    def _counts_already(self) -> bool:
        """Whether the new keys count: an interrupted run had sent them, and the old may be over."""
        if not self._path(self._next, SECRET_SUFFIX).exists():
            return False
        try:
            self._try()
        except LinkError:
            return False
        return True

    def _generate(self) -> None:
        if self._path(self._next, SECRET_SUFFIX).exists():
            return
        if not self._path(self._next, TELECOMMAND_SUFFIX).exists():
            generate_telecommand_key(self._next, self._name)
        self._path(self._next, PUBLIC_SUFFIX).unlink(missing_ok=True)
        generate_curve_pair(self._next, self._name)

    def _send(self, old_until: int) -> None:
        old, new = self._keys(self._folder), self._keys(self._next)
        if old.telecommand is None or new.telecommand is None or new.curve is None:
            cause = f"holds no telecommand key for {self._name!r}, with which it could be sent"
            raise UnusableKey(self._folder, cause, "Have the new key authorised on board")
        nonce = secrets.token_bytes(_NONCE_BYTES)
        request = {
            "public": new.curve.public.decode(),
            "nonce": nonce.hex(),
            "secret": wrap_secret(old.telecommand, nonce, new.telecommand.secret).hex(),
            "old_until": old_until,
        }
        self._execute(old, self._folder, RotateKey.NAME, request)

    def _try(self) -> None:
        """The new keys open a link and sign."""
        self._execute(self._keys(self._next), self._next, Ping.NAME, {})

    def _execute(
        self, keys: GroundKeys, folder: Path, telecommand: str, request: dict[str, object]
    ) -> None:
        with self._commanding(keys, SequenceFile(self._path(folder, _SEQUENCE))) as client:
            answer = client.execute(telecommand, request, _ANSWER_S)
        if answer.stage is not Stage.COMPLETED:
            raise _refused(telecommand, answer)

    def _keys(self, folder: Path) -> GroundKeys:
        if folder == self._next and not (folder / SERVICE_KEY).exists():
            trusted = self._folder / SERVICE_KEY
            content = certificate(read_curve_public(trusted), unit_metadata(read_unit(trusted)))
            publish_key_file(folder / SERVICE_KEY, content)
        return read_ground_keys(folder, self._name)

    def _place(self) -> None:
        for suffix in _SUFFIXES:
            new = self._path(self._next, suffix)
            if new.exists():
                new.replace(self._path(self._folder, suffix))
        (self._next / SERVICE_KEY).unlink(missing_ok=True)
        if not any(self._next.iterdir()):
            self._next.rmdir()

    def _path(self, folder: Path, suffix: str) -> Path:
        return folder / f"{self._name}{suffix}"


def _refused(telecommand: str, answer: Verification) -> LinkError:
    code = "" if answer.code is None else f" with {answer.code.value}"
    cause = f"was answered {answer.stage.value}{code}: {answer.cause}"
    return LinkError(telecommand, cause, answer.cure or "Rotate again")
