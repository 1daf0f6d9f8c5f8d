"""What a decoder does: one task, in a process of its own that has given up everything else."""

from __future__ import annotations

import faulthandler
import fcntl
import mmap
import os
import resource
import socket
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Final, NoReturn

import numpy as np
from numpy.typing import NDArray

import flightsw
import telecommands
from flightsw.errors import SceneError
from flightsw.host.descriptor_stream import StreamEnd, receive, send
from flightsw.host.landlock import landlock_version, restrict_files
from flightsw.host.memory import memory_errors
from flightsw.host.seccomp import give_up_privileges, restrict_calls, seccomp_works
from flightsw.scene import refuse_raster_values, unreadable, zipped
from flightsw.scene.ahead import SceneRecipe
from flightsw.scene.decoder_messages import (
    BeginDecode,
    Completion,
    OpenedScene,
    Request,
    SceneOrder,
    Task,
    UnpackedProduct,
    UnpackScene,
    decoded,
    encoded,
    recipe_of,
    report_of,
)
from flightsw.scene.scene import GivenMetadata, Strip
from flightsw.scene.strips import StripScene

_PATIENCE: Final = 86_400.0  # seconds: the service ends a decoder that it does not need
_MOST_FILES: Final = 256
_LARGEST_FILE: Final = 1 << 30  # bytes, of what is unpacked and of a strip
_LARGEST_MEMORY: Final = 2 << 30  # bytes, beside mapped files and strips
_LIMITS: Final = (
    (resource.RLIMIT_CORE, 0),
    (resource.RLIMIT_NOFILE, _MOST_FILES),
    (resource.RLIMIT_FSIZE, _LARGEST_FILE),
    (resource.RLIMIT_DATA, _LARGEST_MEMORY),
    (resource.RLIMIT_MEMLOCK, 0),
    (resource.RLIMIT_MSGQUEUE, 0),
)
_SYSTEM: Final = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/dev/null")
"""What libraries may still be loaded from, beside the folders of Python."""


def decode(task: Task, stream: int, reports: int, errors: int) -> NoReturn:
    """Do the task in this process, just forked, and end it."""
    status = 1
    try:
        os.close(reports)
        answers = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=_keep(stream, errors))
        faulthandler.enable(2)
        _work(task, answers)
        status = 0
    except StreamEnd:
        status = 0
    except BaseException as fault:  # noqa: BLE001 - nothing of the parent may run on in the child
        with suppress(OSError):
            os.write(2, repr(fault).encode("utf-8", "replace"))
    finally:
        os._exit(status)


def _keep(stream: int, errors: int) -> int:
    """Close all files but these; ``errors`` becomes the error output.  The stream's number."""
    nothing = os.open(os.devnull, os.O_RDWR)
    kept = fcntl.fcntl(stream, fcntl.F_DUPFD_CLOEXEC, _MOST_FILES)
    for place, source in ((2, errors), (0, nothing), (1, nothing)):
        os.dup2(source, place)
    os.dup2(kept, 3, inheritable=False)
    os.closerange(4, os.sysconf("SC_OPEN_MAX"))
    return 3


def _work(task: Task, answers: socket.socket) -> None:
    order = task if isinstance(task, SceneOrder) else task.order
    recipe = recipe_of(order)
    try:
        confine(recipe, Path(task.folder) if isinstance(task, UnpackScene) else None)
        with memory_errors(order.path):
            _do(task, recipe, answers)
    except StreamEnd:
        raise
    except Exception as error:  # noqa: BLE001 - reported to the service, which decides
        _answer(answers, report_of(error))


def _do(task: Task, recipe: SceneRecipe, answers: socket.socket) -> None:
    if isinstance(task, UnpackScene):
        _answer(answers, _unpacked(recipe, Path(task.folder)))
    elif isinstance(task, SceneOrder):
        _serve(recipe, answers)
    else:
        recipe.verify(Event())
        _answer(answers, Completion())


def confine(recipe: SceneRecipe, folder: Path | None = None) -> None:
    """Give up all rights but to read the scene of the recipe, and to fill ``folder``.

    Raises :class:`OSError` if the kernel can do that and fails.
    """
    with suppress(OSError):  # if memory runs out, it ends before the service
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    for limit, value in _LIMITS:
        most = resource.getrlimit(limit)[1]
        bound = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(limit, (bound, bound))
    give_up_privileges()
    if landlock_version():
        readable = (*_libraries(), *_files_of(recipe))
        restrict_files(readable, () if folder is None else (folder,))
    if seccomp_works():
        restrict_calls(filling=folder is not None)


def _libraries() -> Iterator[Path]:
    """Not the folders of ``sys.path``: the current one, which may be the root, is among them."""
    yield from map(Path, (sys.prefix, sys.base_prefix, *_SYSTEM))
    for package in (flightsw, telecommands):
        yield from map(Path, package.__path__)


def _files_of(recipe: SceneRecipe) -> Iterator[Path]:
    """Its folder, or the file and those beside it; a STAC item may name any file of the root."""
    path = Path(os.path.realpath(str(recipe.path)))
    if path.is_dir() or zipped.is_zipped(path):
        yield path
    elif path.suffix.lower() in (".json", ".geojson") and recipe.within:
        yield recipe.within
    else:
        yield path.parent


def _unpacked(recipe: SceneRecipe, folder: Path) -> UnpackedProduct:
    path = Path(str(recipe.path))
    given = GivenMetadata(scale=recipe.scale, nodata=recipe.nodata, bands=recipe.file_bands)
    refuse_raster_values(path, given)
    try:
        return UnpackedProduct(zipped.unpack_into(folder, path, recipe.bands, recipe.tile).name)
    except OSError as error:
        raise unreadable(path, error) from error


def _serve(recipe: SceneRecipe, answers: socket.socket) -> None:
    scene = recipe.open()
    if not isinstance(scene, StripScene):
        raise SceneError(scene.metadata.name, "cannot be read from files")
    blocks: deque[int] = deque()
    scene = replace(scene, memory=lambda shape: _shared(shape, blocks))
    _answer(answers, OpenedScene(scene.metadata, scene.rows, scene.columns))
    strips: Iterator[Strip] = iter(())
    while True:
        request = decoded(receive(answers, monotonic() + _PATIENCE)[0], Request)
        if isinstance(request, BeginDecode):
            reading = scene.strips(request.workers)
            strips = reading.__enter__()  # never left: the process ends
            _answer(answers, Completion())
        elif next(strips, None) is None:
            _answer(answers, Completion())
        else:
            block = blocks.popleft()
            _answer(answers, Completion(), block)
            os.close(block)


def _shared(shape: tuple[int, int, int], blocks: deque[int]) -> NDArray[np.uint16]:
    """Memory that another process can map: what is last in ``blocks``.  It never shrinks."""
    size = int(np.prod(shape)) * np.dtype(np.uint16).itemsize
    block = os.memfd_create("strip", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(block, size)
    fcntl.fcntl(block, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    blocks.append(block)
    return np.frombuffer(mmap.mmap(block, size), np.uint16).reshape(shape)


def _answer(answers: socket.socket, answer: object, *descriptors: int) -> None:
    message = encoded(answer)  # type: ignore[arg-type]
    send(answers, message, *descriptors, until=monotonic() + _PATIENCE)
