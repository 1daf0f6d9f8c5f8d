"""Authentication of telecommands and protection against replay: HMAC-SHA256, sequence window."""

from __future__ import annotations

import hashlib
import hmac
import struct
from typing import Final

import msgspec

from telecommands.codec import encode
from telecommands.dictionary import VERSION, Code, TelecommandBody, TelecommandHeader
from telecommands.refusal import Refusal

SECRET_BYTES: Final = 32
WINDOW: Final = 1024
"""Sequence numbers less than this below the highest are still accepted, once each."""

AHEAD: Final = 1 << 20
"""Largest step of a sequence number above the highest."""

_VERSION_AND_SEQUENCE: Final = struct.Struct(">BQ")
_LENGTH: Final = struct.Struct(">H")


class TelecommandKey(msgspec.Struct, frozen=True):
    """A shared secret of :data:`SECRET_BYTES` bytes and its public name.  The repr hides it."""

    key_id: str
    secret: bytes

    def __repr__(self) -> str:
        return f"TelecommandKey({self.key_id!r})"


class SequenceWindow(msgspec.Struct, frozen=True):
    """Used sequence numbers: the highest, and a bit for each of the :data:`WINDOW` up to it.

    Bit n of ``seen`` is set if ``highest - n`` was used.
    """

    highest: int = 0
    seen: int = 0

    def take(self, sequence: int) -> SequenceWindow:
        """The window after ``sequence``; :class:`Refusal` if it was used or is too far away."""
        ahead = sequence - self.highest
        if ahead > AHEAD or ahead <= -WINDOW:
            cause = f"sequence {sequence} is too far from the highest one received, {self.highest}"
            cure = f"Continue at {self.highest + 1}"
            raise Refusal(Code.OUT_OF_WINDOW, cause, cure, highest=self.highest)
        if ahead > 0:
            kept = (self.seen << ahead) & ((1 << WINDOW) - 1) if ahead < WINDOW else 0
            return SequenceWindow(sequence, kept | 1)
        if self.seen >> -ahead & 1:
            cause = f"sequence {sequence} has already been used"
            cure = f"Continue at {self.highest + 1}"
            raise Refusal(Code.REPLAYED, cause, cure, highest=self.highest)
        return SequenceWindow(self.highest, self.seen | 1 << -ahead)


def mac(key: TelecommandKey, version: int, unit: str, sequence: int, body: bytes) -> bytes:
    """HMAC-SHA256 of a telecommand, 32 bytes.

    It covers, in this order: version (1 byte), sequence (8 bytes); length of the unit's name (2
    bytes) and the name; length of the key id (2 bytes) and the key id; the body frame as sent.
    Numbers are unsigned and big-endian, text is in UTF-8.
    """
    names = b"".join(
        _LENGTH.pack(len(name)) + name for name in (unit.encode(), key.key_id.encode())
    )
    signed = _VERSION_AND_SEQUENCE.pack(version, sequence) + names + body
    return hmac.new(key.secret, signed, hashlib.sha256).digest()


def sign(
    key: TelecommandKey, unit: str, sequence: int, body: TelecommandBody
) -> tuple[bytes, bytes]:
    """Sign a telecommand for a unit; its two frames."""
    frame = encode(body)
    code = mac(key, VERSION, unit, sequence, frame)
    return encode(TelecommandHeader(VERSION, unit, key.key_id, sequence, code)), frame


def verify(header: TelecommandHeader, body: bytes, key: TelecommandKey) -> None:
    """:class:`Refusal` unless the holder of ``key`` signed this body for the header's unit."""
    code = mac(key, header.version, header.unit, header.sequence, body)
    if not hmac.compare_digest(code, header.mac):
        cure = "Check that both sides hold the same key"
        raise Refusal(Code.BAD_MAC, "the authentication code does not match", cure)
