"""Mutated telecommand frames, straight into the gate: none may be admitted that nobody signed.

The gate is the service's own, with its state in a file; there is no socket, so that a million
frames take minutes.  ``deploy.faults.attacks`` sends some of them through the real links.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from flightsw.commanding.gate import AdmittedTelecommand, Gate
from flightsw.state import StateFile
from telecommands.auth import TelecommandKey, sign
from telecommands.codec import convert_arguments, encode
from telecommands.dictionary import VERSION, TelecommandBody, TelecommandHeader
from telecommands.hazard import is_hazardous
from telecommands.refusal import Refusal

BATCH: Final = 1000
"""Frames of one result."""

ESCAPE: Final = "admitted, and nobody signed it"
SOUND: Final = (
    "refused",
    "the signed telecommand, written differently",
    "signed by an insider, refused",
    "signed by an insider, arguments refused",
    "signed by an insider, decoded",
)

UNIT: Final = "sat-a"
KEYS: Final = tuple(TelecommandKey(name, name.encode() * 16) for name in ("op", "al"))
_BODIES: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("PING", {}),
    ("SHUT_DOWN", {}),
    ("SET_PARAMETER", {"name": "processing.waiting_jobs", "value": 7}),
    ("PROCESS_SCENE", {"scene": "S2A/x.SAFE", "products": ["mask", "stac"], "priority": 3}),
    ("SCHEDULE", {"at": 2**62, "telecommand": {"name": "RESTART", "args": {}}}),
    ("OPEN_CONTACT", {"bytes": 10**9, "seconds": 600.0}),
)
_FIRST_NUMBER: Final = 1000

Frames: TypeAlias = tuple[bytes, ...]


def frame_outcomes(folder: Path, seed: int, count: int) -> Iterator[str]:
    """What became of each of ``count`` mutations: one of :data:`SOUND`, or what is wrong."""
    keys = {key.key_id: (key,) for key in KEYS}
    with StateFile(folder) as state:
        gate = Gate(state, UNIT, lambda: keys, lambda _name, _role: True, lambda: 1e9)
        for number in range(seed, seed + count):
            yield _outcome(gate, random.Random(number), number - seed)


def batches(folder: Path, seed: int, first: int) -> Iterator[dict[str, int]]:
    """Counts of outcomes, :data:`BATCH` at a time, from the batch ``first`` on."""
    while True:
        state = folder / f"state-{first}"
        yield dict(Counter(frame_outcomes(state, (seed << 40) + first * BATCH, BATCH)))
        first += 1


def signed(chance: random.Random, number: int) -> Frames:
    """A telecommand of one of the keys, with a number that is fresh."""
    name, args = chance.choice(_BODIES)
    body = TelecommandBody(id=f"id{number}", name=name, args=args, sent_at=number)
    return sign(chance.choice(KEYS), UNIT, _FIRST_NUMBER + number, body)


def mutated(chance: random.Random, frames: Frames, others: Frames) -> Frames:
    """The frames, changed in one or several ways; ``others`` are another telecommand's."""
    while True:
        changed = frames
        for _ in range(chance.choice((1, 1, 1, 2, 4))):
            changed = chance.choice(_MUTATIONS)(chance, changed, others)
        if changed not in (frames, others):
            return changed


def _outcome(gate: Gate, chance: random.Random, number: int) -> str:
    frames, others = signed(chance, 2 * number), signed(chance, 2 * number + 1)
    insider = chance.randrange(10) == 0
    sent = _by_insider(chance, frames, others) if insider else mutated(chance, frames, others)
    try:
        admitted = gate.admit(sent, 0.0)
        if insider:
            return _decoded(admitted)
    except Refusal as refusal:
        if refusal.code is None:
            return "refused without a code"
        return "signed by an insider, refused" if insider else "refused"
    except Exception as error:  # noqa: BLE001 - what the campaign looks for
        return f"unexpected {type(error).__name__}"
    same = any(
        (admitted.key, admitted.sequence, sent[1]) == (_key(one), _sequence(one), one[1])
        for one in (frames, others)
    )
    return "the signed telecommand, written differently" if same else ESCAPE


def _decoded(admitted: AdmittedTelecommand) -> str:
    try:
        is_hazardous(convert_arguments(admitted.body.name, admitted.body.args))
    except Refusal:
        return "signed by an insider, arguments refused"
    return "signed by an insider, decoded"


def _by_insider(chance: random.Random, frames: Frames, others: Frames) -> Frames:
    """A changed body under a valid signature."""
    body = msgspec.Raw(mutated(chance, frames, others)[-1] or b"\xc1")
    return sign(_key(frames), UNIT, _sequence(frames), body)  # type: ignore[arg-type]


def _key(frames: Frames) -> TelecommandKey:
    header = msgspec.msgpack.decode(frames[0], type=TelecommandHeader)
    return next(key for key in KEYS if key.key_id == header.key_id)


def _sequence(frames: Frames) -> int:
    return msgspec.msgpack.decode(frames[0], type=TelecommandHeader).sequence


# --- Mutations ---------------------------------------------------------------------------------


def _flip(chance: random.Random, frames: Frames, _: Frames) -> Frames:
    def flip(frame: bytearray) -> None:
        if frame:
            frame[chance.randrange(len(frame))] ^= 1 << chance.randrange(8)

    return _edited(chance, frames, flip)


def _overwrite(chance: random.Random, frames: Frames, _: Frames) -> Frames:
    def overwrite(frame: bytearray) -> None:
        place = chance.randrange(len(frame) + 1)
        frame[place : place + chance.randrange(1, 9)] = chance.randbytes(chance.randrange(9))

    return _edited(chance, frames, overwrite)


def _cut(chance: random.Random, frames: Frames, _: Frames) -> Frames:
    def cut(frame: bytearray) -> None:
        del frame[chance.randrange(len(frame) + 1) :]

    return _edited(chance, frames, cut)


def _extend(chance: random.Random, frames: Frames, _: Frames) -> Frames:
    def extend(frame: bytearray) -> None:
        frame += chance.randbytes(chance.choice((1, 8, 300, 70_000)))

    return _edited(chance, frames, extend)


def _splice(chance: random.Random, frames: Frames, others: Frames) -> Frames:
    """A part of another telecommand's frame, at the same place."""
    place = chance.randrange(2)
    if place >= len(frames):
        return frames
    frame, other = frames[place], others[place]
    begin = chance.randrange(len(frame) + 1)
    end = chance.randrange(begin, len(frame) + 1)
    return (*frames[:place], frame[:begin] + other[begin:end] + frame[end:], *frames[place + 1 :])


def _cross(chance: random.Random, frames: Frames, others: Frames) -> Frames:
    """The header of one with the body of another."""
    return (frames[0], others[1]) if chance.randrange(2) and frames else (others[0], frames[-1])


def _count(chance: random.Random, frames: Frames, others: Frames) -> Frames:
    choices = ((), frames[:1], frames[::-1], (*frames, b""), (*frames, *others), (b"", *frames))
    return chance.choice(choices) or (b"",)


def _header_field(chance: random.Random, frames: Frames, _: Frames) -> Frames:
    """A header that can be read, with one field of another value."""
    try:
        fields = msgspec.msgpack.decode(frames[0])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return frames
    if not isinstance(fields, list) or len(fields) != 5:
        return frames
    values = (
        (VERSION, 1, 0, -1, 255, "2"),
        (UNIT, "sat-b", "", "x" * 200, None),
        ("op", "al", "nobody", "OP", "op\0", ""),
        (0, 1, _FIRST_NUMBER, 2**20, 2**63, 2**64 - 1, -1, 1.0),
        (
            bytes(32),
            b"",
            fields[4][:31] if isinstance(fields[4], bytes) else b"",
            chance.randbytes(32),
        ),
    )
    place = chance.randrange(5)
    fields[place] = chance.choice(values[place])
    return (encode(fields), *frames[1:])


def _deep(chance: random.Random, frames: Frames, _: Frames) -> Frames:
    """A body of many levels, or of a map that names a field twice."""
    depth = chance.choice((10, 200, 5000))
    body = chance.choice(
        (b"\x91" * depth + b"\x90", b"\x81\xa1a" * depth + b"\xc0", b"\xdf" + bytes(4))
    )
    return (*frames[:1], body)


def _edited(chance: random.Random, frames: Frames, edit: Callable[[bytearray], None]) -> Frames:
    place = chance.randrange(len(frames))
    frame = bytearray(frames[place])
    edit(frame)
    return (*frames[:place], bytes(frame), *frames[place + 1 :])


_MUTATIONS: Final = (
    *(_flip,) * 4,
    *(_overwrite,) * 3,
    _cut,
    _extend,
    *(_splice,) * 2,
    *(_cross,) * 2,
    _count,
    *(_header_field,) * 4,
    _deep,
)  # fmt: skip
