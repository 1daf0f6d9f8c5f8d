"""A first look at a scene, at 80 m, decides whether its main decode is worth it.

A 10 m file at an eighth of its resolution costs a few per cent of its decode, and has 49 windows.
The network was not taught at 80 m: it misses cloud there, and rarely sees cloud that its mask at
10 m does not have.  A pixel therefore only counts as surely contaminated if it is bright in the
blue as well (docs/decisions/0051).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from threading import Event
from typing import Final

import numpy as np

from flightsw.errors import CorruptImage
from flightsw.host.side_thread import Listen, NoOutcome, SideThread
from flightsw.model.description import FirstLookTest
from flightsw.products.contents import CONTAMINATED, NO_DATA, FinishedRows
from flightsw.products.preview import PREVIEW_BANDS
from flightsw.scene import FIRST_LOOK_DISTANCE
from flightsw.scene.ahead import SceneRecipe
from flightsw.scene.array_scene import ArrayScene
from flightsw.scene.reflectance import reflectance_table
from flightsw.scene.scene import SceneMetadata

LOOK_PRODUCTS: Final = frozenset({"quicklook"})
"""What is left of a scene that ends after the first look."""

_LARGER_LOGIT: Final = 50  # per cent: above it, masks have fewer contaminated pixels than measured
_LARGEST_DISTANCE: Final = 20  # metres; the test was measured against masks at 10 and 20 m
_VERIFY_SECONDS: Final = 100.0


@dataclass(frozen=True)
class FirstLook:
    """The contaminated share of a scene, 0 to 1: what the network finds at 80 m, and ``least``.

    The mask of the main decode has at least ``least``, within what was measured.
    """

    estimate: float
    least: float


@dataclass(frozen=True)
class Triage:
    """The first look at one scene, whose mask is not wanted if the scene is too cloudy.

    ``main`` is the recipe of the main decode; ``test`` None: the package has none.
    ``threshold_percent`` is that of the mask.
    """

    main: SceneRecipe
    test: FirstLookTest | None
    threshold_percent: int | None

    @property
    def obstacle(self) -> str:
        """In words, why the scene gets no first look; empty if it gets one."""
        main, threshold = self.main, self.threshold_percent or 0
        found = (
            ("it has not been validated for this model", self.test is None),
            (
                f"it has not been validated for thresholds above {_LARGER_LOGIT} per cent",
                threshold > _LARGER_LOGIT,
            ),
            (
                f"it has not been validated for masks coarser than {_LARGEST_DISTANCE} m",
                main.ground_sample_distance > _LARGEST_DISTANCE,
            ),
            ("the scene is cut to an area", main.area is not None),
            ("the scene is in memory", isinstance(main.path, ArrayScene)),
            (
                "the model does not use all bands of the quick-look",
                not set(PREVIEW_BANDS) <= {*main.bands},
            ),
        )
        return next((reason for reason, holds in found if holds), "")

    @property
    def recipe(self) -> SceneRecipe:
        """How the scene is opened for the first look; its files are verified if it is the last."""
        return replace(
            self.main,
            ground_sample_distance=FIRST_LOOK_DISTANCE,
            decoder="cpu",
            panels=False,
            reflectance_step=None,
            unchecked=True,
        )

    def verify(self, listen: Listen) -> None:
        """Compare the scene's files with their checksums, as the main decode does beside it.

        Raises :class:`~flightsw.errors.SceneError`, and the reason that ``listen`` reports.
        """
        stop = Event()
        try:
            SideThread("verify", lambda: self.main.verify(stop)).outcome(_VERIFY_SECONDS, listen)
        except NoOutcome as error:
            cause = f"cannot be verified: reading it {error}"
            raise CorruptImage(self.main.path, cause, "Check the disk, then the files") from error
        finally:
            stop.set()


class BrightCloud:
    """A row sink that counts the valid pixels, and those that are surely contaminated."""

    def __init__(self, scene: SceneMetadata, test: FirstLookTest) -> None:
        self._band = scene.bands.index(test.band)
        blue = reflectance_table(scene.offsets[test.band], scene.quantification, np.float64)
        self._bright = blue > test.least_reflectance
        self._test = test
        self._valid = self._sure = 0

    def write(self, rows: FinishedRows) -> None:
        """Count the rows."""
        self._valid += int((rows.mask != NO_DATA).sum())
        bright = self._bright[rows.bands[self._band]]
        self._sure += int((bright & (rows.mask == CONTAMINATED)).sum())

    @property
    def least(self) -> float:
        """The share that the mask of the main decode has at least."""
        return max(0.0, self._sure / max(1, self._valid) - self._test.largest_excess)
