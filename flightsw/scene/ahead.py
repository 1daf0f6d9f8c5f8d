"""Decoding of the next scene begins while the current scene is still being computed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from flightsw.config import NOTHING_ASSUMED, SceneSettings
from flightsw.scene import open_scene
from flightsw.scene.array_scene import ArrayScene
from flightsw.scene.gpu_jp2 import Decoder
from flightsw.scene.scene import Scene, SceneMetadata, Strip

_log: Final = structlog.get_logger(__name__)

_BEGIN_SECONDS: Final = 60.0  # opening reads metadata only


@dataclass(frozen=True)
class SceneRecipe:
    """The arguments of :func:`~flightsw.scene.open_scene`, and the number of decoding threads."""

    path: Path | ArrayScene
    bands: tuple[str, ...]
    ground_sample_distance: int
    offset: int | None
    decoder: Decoder
    workers: int
    panels: bool = False
    file_bands: tuple[str, ...] = ()
    tile: str = ""
    assumed: SceneSettings = NOTHING_ASSUMED

    def open(self) -> Scene:
        """Open the scene; raises what :func:`~flightsw.scene.open_scene` raises."""
        if isinstance(self.path, ArrayScene):
            return self.path.in_bands(self.bands)
        return open_scene(
            self.path,
            bands=self.bands,
            ground_sample_distance=self.ground_sample_distance,
            offset=self.offset,
            decoder=self.decoder,
            panels=self.panels,
            file_bands=self.file_bands,
            tile=self.tile,
            assumed=self.assumed,
        )


class SceneAhead:
    """At most one scene whose first strips are decoded before its turn.

    Any thread may call ``begin``; only the thread that processes scenes calls the other methods.
    """

    def __init__(self) -> None:
        self._beginner = ThreadPoolExecutor(1, "ahead")
        self._changing = threading.Lock()
        self._begun: Future[_BegunScene | None] | None = None
        self._stuck = False

    def begin(self, upcoming: Callable[[], SceneRecipe | None]) -> None:
        """Begin the next scene in a separate thread unless one was begun; returns immediately."""
        with self._changing:
            if self._begun is None:
                self._begun = self._beginner.submit(_begin, upcoming)

    @contextmanager
    def scene(self, recipe: SceneRecipe) -> Iterator[Scene]:
        """The scene that was begun with this recipe; otherwise the scene is opened now."""
        begun = self._take()
        if begun is not None and begun.recipe != recipe:
            begun.leave()
            begun = None
        if begun is None:
            yield recipe.open()
            return
        try:
            yield begun
        finally:
            begun.leave()

    def leave(self) -> None:
        """Abandon the scene that was begun."""
        if begun := self._take():
            begun.leave()

    def close(self) -> None:
        """Abandon the scene that was begun, and begin no other."""
        self.leave()
        # A scene that is still being opened must not delay the service's shutdown.
        self._beginner.shutdown(wait=not self._stuck, cancel_futures=True)

    def _take(self) -> _BegunScene | None:
        with self._changing:
            future, self._begun = self._begun, None
        if future is None:
            return None
        try:
            return future.result(_BEGIN_SECONDS)
        except (CancelledError, FutureTimeoutError):
            self._stuck = True
            future.add_done_callback(_leave)
            return None


class _BegunScene:
    """A :class:`~flightsw.scene.scene.Scene` whose strips are already being read, once."""

    def __init__(self, recipe: SceneRecipe) -> None:
        self.recipe = recipe
        scene = recipe.open()
        self._held = ExitStack()
        self._strips = self._held.enter_context(scene.strips(recipe.workers))
        self._metadata = scene.metadata

    @property
    def metadata(self) -> SceneMetadata:
        """What is known before the first pixel is decoded."""
        return self._metadata

    def strips(self, workers: int) -> AbstractContextManager[Iterator[Strip]]:
        """The strips that were begun; the recipe says how many threads decode them."""
        del workers
        return self._reading()

    @contextmanager
    def _reading(self) -> Iterator[Iterator[Strip]]:
        with self._held:
            yield self._strips

    def leave(self) -> None:
        """Stop decoding; may be called again."""
        self._held.close()


def _begin(upcoming: Callable[[], SceneRecipe | None]) -> _BegunScene | None:
    try:
        recipe = upcoming()
        return None if recipe is None else _BegunScene(recipe)
    except Exception as error:  # noqa: BLE001 - the job that runs now must not fail for it
        # The scene's own job will open it again, fail and record why.
        _log.info("cannot decode the next scene ahead of its turn", cause=repr(error))
        return None


def _leave(late: Future[_BegunScene | None]) -> None:
    if not late.cancelled() and (begun := late.result()):
        begun.leave()
