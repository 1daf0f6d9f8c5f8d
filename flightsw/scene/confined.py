"""Scenes that are read by another process, where an exploit gains nothing.

A file that subverts OpenJPEG, GDAL, libxml2 or zlib then has the rights of a decoder
(:mod:`flightsw.scene.decoder`): it sees the scene, and no key, socket, state or other process.  A
crash ends the decoder alone.  What a decoder answers is checked like anything from outside.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

from flightsw.errors import DecoderFailed
from flightsw.host.descriptor_stream import StreamBroken, receive, send
from flightsw.host.landlock import landlock_version
from flightsw.host.seccomp import seccomp_works
from flightsw.scene import zipped
from flightsw.scene.ahead import OPEN_SECONDS, SceneRecipe
from flightsw.scene.decoder_handle import DecoderHandle
from flightsw.scene.decoder_messages import (
    Completion,
    DecoderStart,
    InvalidMessage,
    OpenedScene,
    Task,
    UnpackedProduct,
    UnpackScene,
    VerifyScene,
    check_scene,
    decoded,
    encoded,
    order_of,
)
from flightsw.scene.scene import SceneMetadata, Strip

_PARENT: Final = "flightsw.scene.decoder_parent"
_START_SECONDS: Final = 60.0  # to load the readers, once, and to fork
_VERIFY_SECONDS: Final = 100.0
_STOP_SECONDS: Final = 0.25  # within which a verification notices that nobody wants it
_END_SECONDS: Final = 5.0
_PASSED_ON: Final = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH")
_PASSED_ON_BEGINNINGS: Final = ("LC_", "GDAL_", "CPL_", "PROJ_", "MALLOC_", "PYTHON")
_UNIT_CURE: Final = "See the service's log, or set service.confined_decoders to false"


def missing_confinement() -> tuple[str, ...]:
    """In words, what this kernel cannot take away from a decoder; empty if nothing is missing."""
    found = (
        (
            "without Landlock in the kernel, a decoder can read all files of the service's user",
            landlock_version(),
        ),
        (
            "without seccomp in the kernel, a decoder can write files and open sockets",
            seccomp_works(),
        ),
    )
    return tuple(words for words, there in found if not there)


class ConfinedReaders:
    """Opens scenes in decoders; any thread may call.

    The process that makes decoders is started by the first scene, and again if it has died.
    """

    def __init__(self) -> None:
        self._starting = threading.Lock()
        self._parent: subprocess.Popen[bytes] | None = None
        self._orders: socket.socket | None = None

    def open(self, recipe: SceneRecipe) -> ConfinedScene:
        """Open the scene, and cut it; raises what :meth:`SceneRecipe.open` raises.

        Raises :class:`~flightsw.errors.DecoderFailed` if the decoder does not do its work.
        """
        return ConfinedScene(self, recipe, self.opened(recipe))

    def verify(self, recipe: SceneRecipe, stop: threading.Event) -> None:
        """Compare the files with their checksums, until ``stop`` is set.

        Raises what :meth:`SceneRecipe.verify` raises and :class:`~flightsw.errors.DecoderFailed`.
        """
        path, held = self._unpacked(recipe)
        decoder = self._decoder(recipe, VerifyScene(order_of(recipe, path)))
        until = monotonic() + _VERIFY_SECONDS
        try:
            while not stop.is_set():
                if decoder.has_answered(_STOP_SECONDS) or monotonic() > until:
                    decoder.answer(Completion, until)
                    return
        finally:
            decoder.end()
            del held

    def close(self) -> None:
        """End all decoders."""
        with self._starting:
            parent, self._parent = self._parent, None
            if self._orders:
                self._orders.close()
            if parent is None:
                return
            try:
                parent.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                parent.kill()
                parent.wait(_END_SECONDS)

    def opened(self, recipe: SceneRecipe) -> _OpenDecoder:
        """A decoder that has opened the scene."""
        path, held = self._unpacked(recipe)
        decoder = self._decoder(recipe, order_of(recipe, path))
        try:
            opened = decoder.answer(OpenedScene, monotonic() + OPEN_SECONDS)
            try:
                return _OpenDecoder(decoder, check_scene(opened, recipe), held)
            except InvalidMessage as error:
                decoder.fail(str(error))
        except BaseException:
            decoder.end()
            raise

    def _unpacked(self, recipe: SceneRecipe) -> tuple[Path, object]:
        """What a decoder reads, and what must live as long as it does."""
        path = Path(str(recipe.path))
        if not (zipped.is_zipped(path) and path.is_file()):
            return path, None
        folder = zipped.temporary_folder()
        decoder = self._decoder(recipe, UnpackScene(order_of(recipe, path), str(folder.root)))
        try:
            name = decoder.answer(UnpackedProduct, monotonic() + OPEN_SECONDS).name
            place = folder.root / name
            if Path(name).name != name or not place.is_dir() or place.is_symlink():
                decoder.fail("unpacked its archive to another place")
            return place, folder
        finally:
            decoder.end()

    def _decoder(self, recipe: SceneRecipe, task: Task) -> DecoderHandle:
        """A decoder at work on the task."""
        subject = str(recipe.path)
        ours, theirs = socket.socketpair()
        reports, reporting = socket.socketpair()
        output, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        given = (theirs.fileno(), reporting.fileno(), writing)
        until = monotonic() + _START_SECONDS
        try:
            self._send(encoded(task), given, until)
            started, handles = receive(reports, until, most_descriptors=1)
            decoded(started, DecoderStart)
            (handle,) = handles
        except (StreamBroken, InvalidMessage, OSError, ValueError) as error:
            for one in (ours, reports):
                one.close()
            os.close(output)
            cause = f"cannot be read: the decoder parent process {error}"
            raise DecoderFailed(subject, cause, _UNIT_CURE) from error
        finally:
            for end in (theirs, reporting):
                end.close()
            os.close(writing)
        return DecoderHandle(subject, ours, reports, output, handle)

    def _send(self, message: bytes, given: tuple[int, ...], until: float) -> None:
        with self._starting:
            if self._orders is None or self._parent is None or self._parent.poll() is not None:
                self._start()
            assert self._orders is not None
            send(self._orders, message, *given, until=until)

    def _start(self) -> None:
        if self._orders:
            self._orders.close()
        self._orders, theirs = socket.socketpair()
        with theirs:
            self._parent = subprocess.Popen(
                [sys.executable, "-m", _PARENT, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=_environment(os.environ),
                cwd="/",
                pass_fds=[theirs.fileno()],
            )


class ConfinedScene:
    """A :class:`~flightsw.scene.scene.Scene` that a decoder reads."""

    def __init__(self, readers: ConfinedReaders, recipe: SceneRecipe, opened: _OpenDecoder) -> None:
        self._readers = readers
        self._recipe = recipe
        self._opened: _OpenDecoder | None = opened
        self._metadata = opened.scene.metadata

    @property
    def metadata(self) -> SceneMetadata:
        """What is known before the first pixel is decoded."""
        return self._metadata

    def strips(self, workers: int) -> AbstractContextManager[Iterator[Strip]]:
        """Decode with ``workers`` threads; leaving the context ends the decoder.

        The iterator raises what :meth:`StripScene.strips` raises, and
        :class:`~flightsw.errors.DecoderFailed`.
        """
        return self._reading(workers)

    @contextmanager
    def _reading(self, workers: int) -> Iterator[Iterator[Strip]]:
        opened, self._opened = self._opened, None
        if opened is None:  # read again
            opened = self._readers.opened(self._recipe)
        try:
            strips = opened.decoder.strips(opened.scene, workers)
            next(strips)
            yield strips
        finally:
            opened.decoder.end()


@dataclass(frozen=True)
class _OpenDecoder:
    """``held`` is what must live as long as the decoder reads: a temporary folder."""

    decoder: DecoderHandle
    scene: OpenedScene
    held: object


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    """What the readers may need, and where Python finds them; one thread for each library."""
    passed_on = {
        name: value
        for name, value in given.items()
        if name in _PASSED_ON or name.startswith(_PASSED_ON_BEGINNINGS)
    }
    places = os.pathsep.join(str(Path(one).absolute()) for one in sys.path if one)
    single = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return {**passed_on, **single, "PYTHONPATH": places}
