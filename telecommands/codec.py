"""Decode the bytes of the links into the dictionary's types, and encode them.

Nothing here trusts what it reads (docs/decisions/0016-msgpack-at-the-trust-boundary.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Final, TypeVar, cast

import msgspec
from msgspec import inspect

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
from telecommands.failure import UNDECODABLE
from telecommands.refusal import Refusal
from telecommands.value_types import valid_values

Kind = TypeVar("Kind")

_ENCODER: Final = msgspec.msgpack.Encoder()
_HEADER: Final = msgspec.msgpack.Decoder(TelecommandHeader)
_BODY: Final = msgspec.msgpack.Decoder(TelecommandBody)
_PACKET: Final = msgspec.msgpack.Decoder(Packet)
_BODIES: Final = {topic: msgspec.msgpack.Decoder(kind) for topic, kind in PACKETS.items()}
_FORMAT: Final = "Use the format of docs/interface.md"
_CAUSE_CHARACTERS: Final = 300  # an error may quote a field's name of any length
_PLACE: Final = re.compile(r" - at `\$\.(?P<keys>[\w.]+)")
_KEYS: Final = frozenset((str,))
_CONTAINERS: Final = frozenset((list, dict))
_VALUES: Final = _CONTAINERS | {type(None), bool, int, float, str, bytes}


class _HeaderVersion(msgspec.Struct, frozen=True, array_like=True):
    """The first value of a header of any version."""

    version: int


class _PacketVersion(msgspec.Struct, frozen=True):
    """The version in a packet of any version."""

    v: int


_HEADER_VERSION: Final = msgspec.msgpack.Decoder(_HeaderVersion)
_PACKET_VERSION: Final = msgspec.msgpack.Decoder(_PacketVersion)


class _Label(msgspec.Struct, frozen=True):
    """The id and name in a body; all other fields are skipped without decoding them."""

    id: Identifier = ""
    name: Annotated[str, msgspec.Meta(max_length=64)] = ""


_LABEL: Final = msgspec.msgpack.Decoder(_Label)


def encode(record: Any) -> bytes:
    """Encode any of the dictionary's types as msgpack."""
    return _ENCODER.encode(record)


def check_frames(frames: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return the two frames of a telecommand; :class:`Refusal` for a wrong count or length."""
    if len(frames) != 2:
        raise Refusal(Code.MALFORMED, f"the message has {len(frames)} frames, not 2", _FORMAT)
    header, body = frames
    for name, frame, most in (("header", header, MAX_HEADER_BYTES), ("body", body, MAX_BODY_BYTES)):
        if len(frame) > most:
            cause = f"the {name} has {len(frame)} bytes, more than {most}"
            raise Refusal(Code.OVERSIZED, cause, "Send a shorter telecommand")
    return header, body


def decode_header(frame: bytes) -> TelecommandHeader:
    """Decode the first frame of a telecommand; :class:`Refusal` unless it is of this version."""
    version = _decoded(_HEADER_VERSION, frame, "the header").version
    if version != VERSION:
        raise _wrong_version(version)
    return _decoded(_HEADER, frame, "the header")


def decode_body(frame: bytes) -> TelecommandBody:
    """Decode the second frame, arguments not yet typed; :class:`Refusal` if it is not a body."""
    body = _decoded(_BODY, frame, "the body")
    _check_untyped(body.args)
    return body


def read_label(frame: bytes) -> tuple[str, str]:
    """Id and name given in a body, right or wrong in the rest; empty if they are unreadable."""
    try:
        label = _decoded(_LABEL, frame, "the body")
    except Refusal:
        return "", ""
    return label.id, label.name


def convert_arguments(name: str, args: Mapping[str, Any]) -> Telecommand:
    """Convert arguments to the telecommand's type; :class:`Refusal` names the wrong argument."""
    kind = TELECOMMANDS.get(name)
    if kind is None:
        cause = f"{name} is not a telecommand"
        raise Refusal(Code.UNKNOWN_TELECOMMAND, cause, f"Choose from {', '.join(TELECOMMANDS)}")
    try:
        return msgspec.convert(dict(args), kind)
    except (msgspec.ValidationError, RecursionError) as error:
        cause = f"{name} {_wrong_argument(str(error), args, kind):.{_CAUSE_CHARACTERS}}"
        cure = "Correct the argument (docs/interface.md)"
        raise Refusal(Code.BAD_ARGUMENTS, cause, cure) from error


def _wrong_argument(error: str, args: Mapping[str, Any], kind: type[msgspec.Struct]) -> str:
    """What an error of msgspec says, with the argument, its value and the valid values."""
    place = _PLACE.search(error)
    keys = place["keys"].split(".") if place else []
    return _wrong(keys, args, kind) or f"got wrong arguments: {error}"


def _wrong(
    keys: Sequence[str], record: Mapping[str, Any], kind: type[msgspec.Struct], within: str = ""
) -> str:
    """What is wrong at these keys; empty if each value is valid, but not beside the others."""
    fields = _fields(kind)
    if unknown := [key for key in record if key not in fields]:
        known = f"valid are {', '.join(fields)}" if fields else "it has none"
        return f"has no argument {within}{unknown[0]}; {known}"
    if missing := [key for key, field in fields.items() if field.required and key not in record]:
        return f"needs the argument {within}{missing[0]}"
    if not keys:
        return ""
    key, *inner = keys
    value, expected = record[key], fields[key].type
    if isinstance(expected, inspect.StructType) and isinstance(value, Mapping):
        return _wrong(inner, value, expected.cls, f"{within}{key}.")
    return f"got {within}{key} = {value!r:.60}, which is not {valid_values(expected)}"


@lru_cache  # the inspection takes milliseconds, and refusals may come in floods
def _fields(kind: type[msgspec.Struct]) -> Mapping[str, inspect.Field]:
    record = inspect.type_info(kind)
    assert isinstance(record, inspect.StructType)
    return {field.encode_name: field for field in record.fields}


def decode_packet(topic: bytes, frame: bytes) -> tuple[Packet, Record]:
    """Decode two frames of telemetry as packet and body; :class:`Refusal` if they are not that."""
    name = topic.decode("ascii", "replace")
    decoder = _BODIES.get(name)  # type: ignore[call-overload]
    if decoder is None:
        raise Refusal(Code.MALFORMED, f"{name!r} is not a topic", f"Topics: {', '.join(PACKETS)}")
    version = _decoded(_PACKET_VERSION, frame, f"a packet of {name}").v
    if version != VERSION:
        raise _wrong_version(version)
    packet = _decoded(_PACKET, frame, f"a packet of {name}")
    return packet, _decoded(decoder, packet.body, f"the body of a packet of {name}")


def encode_packet(
    topic: Topic, body: Record, *, unit: str, boot: int, sequence: int, t: int
) -> tuple[bytes, bytes]:
    """Encode a packet as two frames of telemetry; ``t`` is UTC in nanoseconds."""
    packet = Packet(
        v=VERSION,
        unit=unit,
        boot=boot,
        seq=sequence,
        t=t,
        kind=type(body).__name__,
        body=msgspec.Raw(encode(body)),
    )
    return topic.encode("ascii"), encode(packet)


def decode_as(kind: type[Kind], frame: bytes, what: str) -> Kind:
    """Decode a frame as one of the dictionary's types; :class:`Refusal` names it as ``what``."""
    decoder: msgspec.msgpack.Decoder[Kind] = decoder_of(cast(Any, kind))
    return _decoded(decoder, frame, what)


@lru_cache(maxsize=1024)
def decoder_of(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    """The decoder of a type: making one takes longer than decoding."""
    return msgspec.msgpack.Decoder(kind)


def _decoded(decoder: msgspec.msgpack.Decoder[Kind], frame: bytes | msgspec.Raw, what: str) -> Kind:
    try:
        return decoder.decode(frame)
    except UNDECODABLE as error:
        raise Refusal(
            Code.MALFORMED, f"{what} cannot be decoded: {error!s:.{_CAUSE_CHARACTERS}}", _FORMAT
        ) from error


def _check_untyped(args: dict[str, Any]) -> None:
    """Reject nesting beyond MAX_DEPTH, map keys that are not text, and extension types.

    Typed fields need no such check: their types exclude all of it.
    """
    level: list[Any] = [args]
    for _ in range(MAX_DEPTH + 1):
        keys: list[Any] = []
        values: list[Any] = []
        for container in level:
            is_map = type(container) is dict
            keys.extend(container if is_map else ())
            values.extend(container.values() if is_map else container)
        if not _KEYS.issuperset(map(type, keys)):
            raise Refusal(Code.MALFORMED, "the body has a map key that is not text", _FORMAT)
        kinds = set(map(type, values))
        if not kinds <= _VALUES:
            raise Refusal(Code.MALFORMED, "the body has a value of an extension type", _FORMAT)
        if kinds.isdisjoint(_CONTAINERS):
            return
        level = [value for value in values if type(value) in _CONTAINERS]
    raise Refusal(Code.OVERSIZED, f"the arguments are nested deeper than {MAX_DEPTH}", _FORMAT)


def _wrong_version(version: int) -> Refusal:
    cause = f"the version is {version}, not {VERSION}"
    return Refusal(Code.WRONG_VERSION, cause, "Use a client of the service's version")
