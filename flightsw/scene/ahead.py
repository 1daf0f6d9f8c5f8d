"""Decoding of the next scene begins while the current scene is still being computed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

import structlog

from flightsw.config import NOTHING_ASSUMED, SceneSettings
from flightsw.errors import CorruptImage, FlightError
from flightsw.host.location import Location, shown
from flightsw.host.side_thread import Listen, NoOutcome, SideThread
from flightsw.scene import open_scene
from flightsw.scene.area import AreaOfInterest
from flightsw.scene.array_scene import ArrayScene
from flightsw.scene.cutting import USUAL_REACH, WindowReach, cut_to_area
from flightsw.scene.gpu_jp2 import Decoder
from flightsw.scene.scene import Scene, SceneMetadata, Strip
from flightsw.scene.strips import StripScene

_log: Final = structlog.get_logger(__name__)

OPEN_SECONDS: Final = 60.0
"""Within which a scene is open: only metadata are read."""


class Readers(Protocol):
    """Opens scenes elsewhere than in this process; raises what :class:`SceneRecipe` raises."""

    def open(self, recipe: SceneRecipe) -> Scene:
        """Open the scene, and cut it."""
        ...

    def verify(self, recipe: SceneRecipe, stop: threading.Event) -> None:
        """Compare the files with their checksums, until ``stop`` is set."""
        ...


@dataclass(frozen=True)
class SceneRecipe:
    """The arguments of :func:`~flightsw.scene.open_scene`, and the number of decoding threads.

    With an ``area`` the scene is cut to it; ``reach`` is that of the engine and the buffer.
    ``unchecked``: the files are not compared with their checksums while they are read.
    ``readers`` open the scene and read it; None: this process.
    """

    path: Location | ArrayScene
    bands: tuple[str, ...]
    ground_sample_distance: int
    offset: float | None
    decoder: Decoder
    workers: int
    panels: bool = False
    scale: float | None = None
    nodata: float | None = None
    file_bands: tuple[str, ...] = ()
    tile: str = ""
    assumed: SceneSettings = NOTHING_ASSUMED
    reflectance_step: float | None = None
    within: Path | None = None
    copies: Path | None = None
    area: AreaOfInterest | None = None
    reach: WindowReach = USUAL_REACH
    unchecked: bool = False
    readers: Readers | None = None

    def open(self) -> Scene:
        """Open the scene, and cut it.

        Raises what :func:`~flightsw.scene.open_scene` and
        :func:`~flightsw.scene.cutting.cut_to_area` raise.
        """
        if self.readers:
            return self.readers.open(self)
        whole = self._open_whole()
        return whole if self.area is None else cut_to_area(whole, self.area, self.reach)

    def verify(self, stop: threading.Event) -> None:
        """Compare the files with their checksums, until ``stop`` is set.

        Raises what :func:`~flightsw.scene.open_scene` raises, and
        :class:`~flightsw.errors.CorruptImage`.
        """
        if self.readers:
            self.readers.verify(self, stop)
            return
        whole = self._open_whole()
        for check in whole.checks if isinstance(whole, StripScene) else ():
            check(stop)

    def _open_whole(self) -> StripScene | ArrayScene:
        if isinstance(self.path, ArrayScene):
            return self.path.in_bands(self.bands)
        scene = open_scene(
            self.path,
            bands=self.bands,
            ground_sample_distance=self.ground_sample_distance,
            offset=self.offset,
            decoder=self.decoder,
            scale=self.scale,
            nodata=self.nodata,
            panels=self.panels,
            file_bands=self.file_bands,
            tile=self.tile,
            assumed=self.assumed,
            reflectance_step=self.reflectance_step,
            within=self.within,
            copies=self.copies,
        )
        return replace(scene, checks=()) if self.unchecked else scene


class SceneAhead:
    """At most one scene whose first strips are decoded before its turn.

    Any thread may call ``begin``; only the thread that processes scenes calls the other methods.
    """

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._begun: SideThread[_BegunScene | None] | None = None
        self._closed = False

    def begin(self, upcoming: Callable[[], SceneRecipe | None]) -> None:
        """Begin the next scene in a separate thread unless one was begun; returns immediately."""
        with self._changing, suppress(NoOutcome):  # its own job will report that
            if self._begun is None and not self._closed:
                self._begun = SideThread("ahead", lambda: _begin(upcoming))

    @contextmanager
    def scene(self, recipe: SceneRecipe, listen: Listen = lambda _: None) -> Iterator[Scene]:
        """The scene that was begun with this recipe; otherwise the scene is opened now.

        Raises :class:`~flightsw.errors.CorruptImage` if opening it takes more than a minute, and
        the reason that ``listen`` reports meanwhile.
        """
        begun = self._take(listen)
        if begun is not None and begun.recipe != recipe:
            begun.leave()
            begun = None
        if begun is None:
            yield opened_in_time(recipe, listen)
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
        with self._changing:
            self._closed = True
        self.leave()

    def _take(self, listen: Listen = lambda _: None) -> _BegunScene | None:
        with self._changing:
            begun, self._begun = self._begun, None
        if begun is None:
            return None
        try:
            return begun.outcome(OPEN_SECONDS, listen)
        except NoOutcome:
            begun.abandon(_leave)
            return None
        except FlightError:
            begun.abandon(_leave)
            raise


def opened_in_time(recipe: SceneRecipe, listen: Listen = lambda _: None) -> Scene:
    """Open the scene within a minute; its disk may no longer answer.

    Raises what :meth:`SceneRecipe.open` raises, the reason that ``listen`` reports meanwhile, and
    :class:`~flightsw.errors.CorruptImage` after that time.
    """
    try:
        return SideThread("open", recipe.open).outcome(OPEN_SECONDS, listen)
    except NoOutcome as error:
        on_disk = not isinstance(recipe.path, str)
        cure = "Check the disk, then the files" if on_disk else "Check the network"
        cause = f"cannot be opened: opening it {error}"
        raise CorruptImage(shown(recipe.path), cause, cure) from error


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
        _log.debug("cannot decode the next scene ahead of its turn", cause=repr(error))
        return None


def _leave(late: _BegunScene | None) -> None:
    if late:
        late.leave()
