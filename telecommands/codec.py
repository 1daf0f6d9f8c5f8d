"""Bytes on the links to the dictionary's types and back; nothing here trusts what it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, TypeVar

import msgspec

from telecommands.dictionary import (
    MAX_BODY_BYTES,
    MAX_DEPTH,
    MAX_HEADER_BYTES,
    PACKETS,
    TELECOMMANDS,
    VERSION,
    Code,
    Identifier,
    Packet,
    Record,
    Telecommand,
    TelecommandBody,
    TelecommandHeader,
    Topic,
)
from telecommands.refusal import Refusal

Kind = TypeVar("Kind")

_ENCODER: Final = msgspec.msgpack.Encoder()
_HEADER: Final = msgspec.msgpack.Decoder(TelecommandHeader)
_BODY: Final = msgspec.msgpack.Decoder(TelecommandBody)
_PACKET: Final = msgspec.msgpack.Decoder(Packet)
_BODIES: Final = {topic: msgspec.msgpack.Decoder(kind) for topic, kind in PACKETS.items()}
_AS_LAID_DOWN: Final = "Send the two frames of docs/interface.md"
_TOLD: Final = 300  # characters of an error told on: it may quote a field's name of any length


class _Label(msgspec.Struct, frozen=True):
    """What a body calls itself; everything else in it is skipped unread."""

    id: Identifier = ""
    name: Annotated[str, msgspec.Meta(max_length=64)] = ""


_LABEL: Final = msgspec.msgpack.Decoder(_Label)


def encode(record: Any) -> bytes:
    """Any of the dictionary's types as msgpack."""
    return _ENCODER.encode(record)


def check_frames(frames: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The two frames of a telecommand; :class:`Refusal` for other counts or lengths."""
    if len(frames) != 2:
        raise Refusal(Code.MALFORMED, f"{len(frames)} frames instead of 2", _AS_LAID_DOWN)
    header, body = frames
    for name, frame, most in (("header", header, MAX_HEADER_BYTES), ("body", body, MAX_BODY_BYTES)):
        if len(frame) > most:
            cause = f"the {name} has {len(frame)} bytes, at most {most} are read"
            raise Refusal(Code.OVERSIZED, cause, "Send less at once")
    return header, body


def decode_header(frame: bytes) -> TelecommandHeader:
    """First frame of a telecommand; :class:`Refusal` where it is none of this version."""
    header = _decoded(_HEADER, frame, "the header")
    if header.version != VERSION:
        cause = f"version {header.version} instead of {VERSION}"
        raise Refusal(Code.WRONG_VERSION, cause, "Use a client of this version")
    return header


def decode_body(frame: bytes) -> TelecommandBody:
    """Second frame of a telecommand, arguments still raw; :class:`Refusal` where it is none."""
    body = _decoded(_BODY, frame, "the body")
    if _depth_exceeds(body.args, MAX_DEPTH):
        cause = f"arguments are nested deeper than {MAX_DEPTH}"
        raise Refusal(Code.OVERSIZED, cause, _AS_LAID_DOWN)
    return body


def read_label(frame: bytes) -> tuple[str, str]:
    """Id and name that a body of any kind claims; empty where it is not even that readable."""
    try:
        label = _decoded(_LABEL, frame, "the body")
    except Refusal:
        return "", ""
    return label.id, label.name


def convert_arguments(name: str, args: Mapping[str, Any]) -> Telecommand:
    """Arguments as the named telecommand's type; :class:`Refusal` says which does not fit."""
    kind = TELECOMMANDS.get(name)
    if kind is None:
        cause = f"{name} is no telecommand"
        raise Refusal(Code.UNKNOWN_TELECOMMAND, cause, f"Choose from {', '.join(TELECOMMANDS)}")
    try:
        return msgspec.convert(dict(args), kind)
    except (msgspec.ValidationError, RecursionError) as error:
        cure = "Correct the argument (docs/interface.md)"
        raise Refusal(Code.BAD_ARGUMENTS, f"{name}: {error!s:.{_TOLD}}", cure) from error


def decode_packet(topic: bytes, frame: bytes) -> tuple[Packet, Record]:
    """Two frames of telemetry as packet and body; :class:`Refusal` where they are none."""
    name = topic.decode("ascii", "replace")
    decoder = _BODIES.get(name)  # type: ignore[call-overload]
    if decoder is None:
        raise Refusal(Code.MALFORMED, f"{name!r} is no topic", f"Topics are {', '.join(PACKETS)}")
    packet = _decoded(_PACKET, frame, f"a packet of {name}")
    if packet.v != VERSION:
        raise Refusal(Code.WRONG_VERSION, f"version {packet.v} instead of {VERSION}")
    return packet, _decoded(decoder, packet.body, f"the body of a packet of {name}")


def encode_packet(
    topic: Topic, body: Record, *, boot: int, sequence: int, t: int
) -> tuple[bytes, bytes]:
    """Two frames of telemetry; ``t`` is UTC in nanoseconds."""
    packet = Packet(
        v=VERSION,
        boot=boot,
        seq=sequence,
        t=t,
        kind=type(body).__name__,
        body=msgspec.Raw(encode(body)),
    )
    return topic.encode("ascii"), encode(packet)


def decode_as(kind: type[Kind], frame: bytes, what: str) -> Kind:
    """A frame as one of the dictionary's types; :class:`Refusal` names ``what`` if it is not."""
    return _decoded(msgspec.msgpack.Decoder(kind), frame, what)


def _decoded(decoder: msgspec.msgpack.Decoder[Kind], frame: bytes | msgspec.Raw, what: str) -> Kind:
    try:
        return decoder.decode(frame)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Refusal(Code.MALFORMED, f"{what}: {error!s:.{_TOLD}}", _AS_LAID_DOWN) from error


def _depth_exceeds(value: Any, depth: int) -> bool:
    if depth < 0:
        return True
    if isinstance(value, dict):
        return any(_depth_exceeds(inner, depth - 1) for inner in value.values())
    if isinstance(value, (list, tuple)):
        return any(_depth_exceeds(inner, depth - 1) for inner in value)
    return False
