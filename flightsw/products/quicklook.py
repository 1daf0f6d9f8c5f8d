"""The quick-look: six panels of one scene in one JPEG."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2

from flightsw.products import panels
from flightsw.products.contents import FinishedRows, SceneSummary
from flightsw.products.kinds import ProductContext
from flightsw.products.preview import PreviewAccumulator
from flightsw.products.sheet import Sheet
from flightsw.scene.scene import SceneMetadata

PANELS: Final = (
    "True colour",
    "False colour, near infrared",
    "Cloud mask",
    "Mask over true colour",
    "Cloud-filled true colour",
    "Local cloud fraction",
)

_JPEG_QUALITY: Final = 85


class QuickLook:
    """``visualization.jpg``: the scene, its mask and its cloud-filled version in one picture."""

    suffixes = ("visualization.jpg",)

    def __init__(self, folder: Path, scene: SceneMetadata, context: ProductContext) -> None:
        self._path = folder / self.suffixes[0]
        self._scene = scene
        self._context = context
        self._reduced = PreviewAccumulator(scene)

    def write(self, rows: FinishedRows) -> None:
        """Reduce the rows."""
        self._reduced.add(rows)

    def finish(self, summary: SceneSummary) -> tuple[str, ...]:
        """Draw the sheet and write it."""
        sheet = self._draw(summary)
        _, encoded = cv2.imencode(".jpg", sheet.canvas, (cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY))
        self._path.write_bytes(encoded.data)
        return ()

    def close(self) -> None:
        """Nothing is open between two calls."""

    def _draw(self, summary: SceneSummary) -> Sheet:
        preview = self._reduced.preview()
        rows, columns = preview.valid.shape
        sheet = Sheet((rows, columns), len(PANELS))
        sheet.headline(self._scene.name, self._subtitle(summary, preview.factor))
        colour = panels.true_colour(preview)
        sheet.place(0, PANELS[0], colour)
        sheet.place(1, PANELS[1], panels.false_colour(preview))
        sheet.place(2, PANELS[2], panels.mask_picture(preview))
        sheet.place(3, PANELS[3], panels.overlay(preview, colour))
        sheet.place(4, PANELS[4], panels.filled(preview, colour))
        sheet.place(5, PANELS[5], panels.cloud_fraction(preview))
        sheet.note(0, self._bands("B04", "B03", "B02"))
        sheet.note(1, self._bands("B08", "B04", "B03"))
        sheet.legend(
            2,
            (
                ("clear", panels.CLEAR_COLOUR),
                ("contaminated", panels.CONTAMINATED_COLOUR),
                ("no data", panels.NO_DATA_COLOUR),
            ),
        )
        sheet.legend(3, (("contaminated", panels.OVERLAY_COLOUR),))
        sheet.note(4, "cloud and shadow take the mean of the clear pixels")
        sheet.colour_bar(5)
        return sheet

    def _bands(self, *bands: str) -> str:
        return ", ".join(self._scene.substituted.get(band, band) for band in bands)

    def _subtitle(self, summary: SceneSummary, factor: int) -> str:
        scene = self._scene
        parts = [
            f"{100 * summary.contaminated_share:.1f} % contaminated by cloud or shadow",
            scene.level,
            f"{scene.sensed_at:%Y-%m-%d %H:%M} UTC" if scene.sensed_at else "",
            f"{factor * scene.ground_sample_distance} m a pixel",
            f"{self._context.engine} {self._context.precision}",
        ]
        return " · ".join(part for part in parts if part)
