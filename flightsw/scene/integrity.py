"""Which scenes are processed although nothing shows that their files are intact."""

from __future__ import annotations

from typing import Final

from flightsw.errors import IntegrityTooLow
from flightsw.scene.scene import SceneMetadata
from telecommands.dictionary import INTEGRITIES, Integrity

_CURE: Final = "Fetch the product again, or allow it (processing.least_integrity, pipeline section)"


def require_integrity(scene: SceneMetadata, least: Integrity) -> None:
    """Raise :class:`IntegrityTooLow` if the scene's integrity is below ``least``."""
    if INTEGRITIES.index(scene.integrity) < INTEGRITIES.index(least):
        doubt = scene.integrity_doubt or "its files could not be verified"
        cause = f"has {scene.integrity} integrity, and at least {least} is required: {doubt}"
        raise IntegrityTooLow(scene.name, cause, _CURE, integrity=scene.integrity, least=least)
