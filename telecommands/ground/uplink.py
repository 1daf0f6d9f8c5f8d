"""Carry a model package up: chunk by chunk, resumed where the service stopped, verified whole."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

from telecommands.dictionary import (
    LONGEST_UPLINK_CHUNK,
    BeginUplink,
    Code,
    EndUplink,
    Stage,
    UplinkChunk,
    UplinkRecord,
    Verification,
)
from telecommands.ground.commanding import TelecommandClient
from telecommands.ground.errors import TransferFailed
from telecommands.ground.package_archive import PackageArchive

WINDOW: Final = 8
"""Chunks in transit: they arrive in order, and a lost one is sent again from its place."""

_PAUSE_S: Final = 0.1  # of a client that sent faster than it may
_UNPACK_S: Final = 600.0  # it waits for the running scene

UplinkProgress: TypeAlias = Callable[[int, int], None]
"""Called with the bytes stored on board and those of the file."""


def uplink(
    client: TelecommandClient,
    package: PackageArchive,
    progress: UplinkProgress | None = None,
    *,
    chunk_bytes: int = LONGEST_UPLINK_CHUNK,
    silence_s: float = 60.0,
) -> bool:
    """Carry the package into the model inbox; whether anything had to be sent.

    Raises :class:`TransferFailed` with the service's code, cause and cure (fields ``code``), and
    :class:`~telecommands.ground.errors.NoAnswer` after ``silence_s`` without an answer; calling it
    again resumes.
    """
    progress = progress or (lambda _stored, _size: None)
    announced = {"name": package.name, "size": package.size, "sha256": package.sha256}
    begun = _require(package, client.execute(BeginUplink.NAME, announced, silence_s))
    if begun.complete:
        progress(package.size, package.size)
        return False
    position = begun.received
    progress(position, package.size)
    while position < package.size:
        position = _send_window(client, package, position, chunk_bytes, silence_s)
        progress(position, package.size)
    ended = client.execute(EndUplink.NAME, {"name": package.name}, _UNPACK_S)
    _require(package, ended)
    return True


def _send_window(
    client: TelecommandClient,
    package: PackageArchive,
    position: int,
    chunk_bytes: int,
    silence_s: float,
) -> int:
    """Send some chunks at the same time; the bytes that are stored then."""
    end = min(package.size, position + WINDOW * chunk_bytes)
    sent = [
        client.send(
            UplinkChunk.NAME,
            {
                "name": package.name,
                "offset": at,
                "data": package.read(at, min(chunk_bytes, end - at)),
            },
        )
        for at in range(position, end, chunk_bytes)
    ]
    for telecommand in sent:
        *_, last = client.stages(telecommand, silence_s)
        if last.code in (Code.UPLINK_GAP, Code.RATE_LIMITED):
            for other in sent:
                client.forget(other)
            if last.code is Code.RATE_LIMITED:
                time.sleep(_PAUSE_S)
            return int(last.data.get("received", position))
        position = _require(package, last).received
    return position


def _require(package: PackageArchive, last: Verification) -> UplinkRecord:
    if last.stage is Stage.COMPLETED:
        try:
            return msgspec.convert(last.data, UplinkRecord)
        except msgspec.ValidationError as error:
            cause = f"got an answer that is not about an uplink: {error}"
            raise TransferFailed(package.name, cause, "Use the service's version") from error
    code = last.code.value if last.code else last.stage.value
    raise TransferFailed(
        package.name, f"was refused with {code}: {last.cause}", last.cure, refused_with=code
    )
