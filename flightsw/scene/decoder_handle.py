"""The service's side of one decoder: requests, checks of its answers, and how it ended."""

from __future__ import annotations

import fcntl
import math
import mmap
import os
import select
import signal
import socket
import weakref
from collections.abc import Iterator
from contextlib import suppress
from stat import S_ISREG
from time import monotonic
from typing import Final, NoReturn, TypeVar

import numpy as np
import structlog
from numpy.typing import NDArray

from flightsw.errors import DecoderFailed, Interrupted
from flightsw.host.descriptor_stream import StreamBroken, StreamEnd, receive, send
from flightsw.scene.decoder_messages import (
    Answer,
    BeginDecode,
    Completion,
    DecoderExit,
    ErrorReport,
    InvalidMessage,
    NextStrip,
    OpenedScene,
    decoded,
    encoded,
    error_of,
)
from flightsw.scene.scene import Strip
from flightsw.scene.strips import decodes_of
from telecommands.failure import reason_of

_log: Final = structlog.get_logger(__name__)

_BEGIN_SECONDS: Final = 60.0
_STRIP_SECONDS: Final = 110.0  # the decoder itself gives up after 100
_REPORT_SECONDS: Final = 5.0
_LONGEST_OUTPUT: Final = 1 << 16  # bytes: what a pipe holds
_CURE: Final = "Do not process the scene again; keep it and the service's log for analysis"

Kind = TypeVar("Kind", bound=Answer)


class DecoderHandle:
    """A process that reads one scene, which ``subject`` names: used by one thread at a time.

    ``stream`` carries requests and answers, ``reports`` how it ended; ``output`` is what it writes
    as its error output, ``process`` its process descriptor.  All are closed with this object.
    """

    def __init__(
        self, subject: str, stream: socket.socket, reports: socket.socket, output: int, process: int
    ) -> None:
        self._subject = subject
        self._stream = stream
        self._reports = reports
        self._output = output
        self._process = process
        self._ended = False
        weakref.finalize(self, _close, stream, reports, output, process)

    def end(self) -> None:
        """Kill it; may be called again, and by any thread."""
        self._ended = True
        _kill(self._process)

    def has_answered(self, seconds: float) -> bool:
        """Whether there is an answer, or an end, within this time."""
        poll = select.poll()
        poll.register(self._stream, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def answer(self, kind: type[Kind], until: float) -> Kind:
        """Its answer, of this kind; raises what :meth:`strips` raises."""
        found, blocks = self._answer(kind, until)
        for block in blocks:
            os.close(block)
        return found

    def strips(self, scene: OpenedScene, workers: int) -> Iterator[Strip]:
        """Begin to decode, yield nothing, then the strips of the scene.

        Raises the error that the decoder reports, :class:`DecoderFailed` if it died or gives what
        cannot be, and :class:`Interrupted` after :meth:`end`.
        """
        self._ask(BeginDecode(workers))
        self.answer(Completion, monotonic() + _BEGIN_SECONDS)
        yield Strip(0, np.empty((len(scene.metadata.bands), 0, 0), np.uint16))
        for _, _, places in decodes_of(scene.metadata, scene.rows, scene.columns):
            for place in places:
                pixels = self._pixels(place.shape)
                yield Strip(place.top, pixels, place.decodes_after, place.left)
        if self._next_block() is not None:
            self.fail("gave more strips than the scene has")

    def fail(self, cause: str) -> NoReturn:
        """End it, because what it did cannot be right."""
        self.end()
        _log.error("a decoder failed and is killed", scene=self._subject, cause=cause)
        raise DecoderFailed(self._subject, f"cannot be read: its decoder {cause}", _CURE)

    def _pixels(self, shape: tuple[int, int, int]) -> NDArray[np.uint16]:
        block = self._next_block()
        if block is None:
            self.fail("ended before the scene did")
        try:
            size = math.prod(shape) * np.dtype(np.uint16).itemsize
            if not _is_memory(block, size):
                self.fail("gave a strip of another size")
            return np.frombuffer(mmap.mmap(block, size), np.uint16).reshape(shape)
        except (OSError, ValueError) as error:
            self.fail(f"gave a strip that cannot be mapped ({reason_of(error)})")
        finally:
            os.close(block)

    def _next_block(self) -> int | None:
        self._ask(NextStrip())
        _, blocks = self._answer(Completion, monotonic() + _STRIP_SECONDS)
        return blocks[0] if blocks else None

    def _ask(self, request: BeginDecode | NextStrip) -> None:
        try:
            send(self._stream, encoded(request), until=monotonic() + _REPORT_SECONDS)
        except StreamEnd:
            self._raise_end()
        except StreamBroken as error:
            self.fail(str(error))

    def _answer(self, kind: type[Kind], until: float) -> tuple[Kind, list[int]]:
        blocks: list[int] = []
        try:
            message, blocks = receive(self._stream, until, most_descriptors=1)
            found = decoded(message, Answer)
            if isinstance(found, ErrorReport):
                raise error_of(found)
            if isinstance(found, kind):
                kept, blocks = blocks, []
                return found, kept
            self.fail(f"answered {type(found).__name__}, not {kind.__name__}")
        except StreamEnd:
            self._raise_end()
        except (StreamBroken, InvalidMessage) as error:
            self.fail(str(error))
        finally:
            for block in blocks:
                os.close(block)

    def _raise_end(self) -> NoReturn:
        """Raise how the decoder ended."""
        if self._ended:
            raise Interrupted(self._subject, "was abandoned before its last strip was read")
        self._ended = True
        end = self._end_in_words()
        output = self._written()
        _log.error("a decoder crashed", scene=self._subject, end=end, output=output)
        raise DecoderFailed(self._subject, f"crashed its decoder ({end})", _CURE, end=end)

    def _end_in_words(self) -> str:
        try:
            message, _ = receive(self._reports, monotonic() + _REPORT_SECONDS)
            status = int(decoded(message, DecoderExit).status)
        except (StreamBroken, InvalidMessage) as error:
            return f"the decoder parent process {error}"
        if os.WIFSIGNALED(status):
            return signal.strsignal(os.WTERMSIG(status)) or f"signal {os.WTERMSIG(status)}"
        return f"exit status {os.waitstatus_to_exitcode(status)}"

    def _written(self) -> str:
        """What it wrote as its error output: the stacks of a crash."""
        try:
            return os.read(self._output, _LONGEST_OUTPUT).decode("utf-8", "replace")
        except OSError:
            return ""


def _is_memory(block: int, size: int) -> bool:
    """Whether it is memory of that size which cannot shrink: reading it cannot end this process."""
    found = os.fstat(block)
    sealed = fcntl.fcntl(block, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK
    return S_ISREG(found.st_mode) and found.st_size == size and bool(sealed)


def _kill(process: int) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(process, signal.SIGKILL)


def _close(stream: socket.socket, reports: socket.socket, output: int, process: int) -> None:
    _kill(process)
    stream.close()
    reports.close()
    os.close(output)
    os.close(process)
