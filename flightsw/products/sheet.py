"""A sheet of pictures with titles and legends, drawn with OpenCV."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from flightsw.products.panels import Colour, Picture, bgr, heat

_COLUMNS: Final = 3
_SMALLEST_SIDE: Final = 400  # pixels; smaller pictures are enlarged, so that titles fit
_TEXT: Final[Colour] = (32, 32, 32)
_FAINT: Final[Colour] = (96, 96, 96)
_BOLD: Final = 600
_REGULAR: Final = 400


class Sheet:
    """Pictures of one size in rows of three, below a headline.

    ``picture_shape`` is (rows, columns) of every picture.  All distances follow
    the size of the text, which follows the size of the pictures.
    """

    def __init__(self, picture_shape: tuple[int, int], pictures: int) -> None:
        self.enlargement = max(1, -(-_SMALLEST_SIDE // max(picture_shape)))
        height, width = (side * self.enlargement for side in picture_shape)
        cell_width = max(width, _SMALLEST_SIDE)
        self._text = max(14, cell_width // 30)
        self._gap = self._text
        self._headline = 4 * self._text
        self._title = 2 * self._text
        self._step_across = cell_width + self._gap
        self._step_down = self._title + height + 3 * self._text
        rows = -(-pictures // _COLUMNS)
        size = (self._headline + rows * self._step_down, _COLUMNS * self._step_across + self._gap)
        self._picture_size = (height, width)
        self.canvas: Picture = np.full((*size, 3), 255, np.uint8)
        self._font = cv2.FontFace("sans")

    def corner(self, index: int) -> tuple[int, int]:
        """Upper left pixel (row, column) of a picture on the canvas."""
        row, column = divmod(index, _COLUMNS)
        return (
            self._headline + row * self._step_down + self._title,
            self._gap + column * self._step_across,
        )

    def headline(self, title: str, subtitle: str) -> None:
        """Two lines across the top."""
        width = self.canvas.shape[1] - 2 * self._gap
        for text, scale, weight, colour, bottom in (
            (title, 1.35, _BOLD, _TEXT, 1.9),
            (subtitle, 1.0, _REGULAR, _FAINT, 3.4),
        ):
            size = round(self._text * scale)
            while size > 8 and self._width(text, size, weight) > width:
                size -= 1
            self._write(text, (self._gap, round(self._text * bottom)), size, weight, colour)

    def place(self, index: int, title: str, picture: Picture) -> None:
        """Paint a picture and its title."""
        height, width = self._picture_size
        top, left = self.corner(index)
        self.canvas[top : top + height, left : left + width] = cv2.resize(
            picture, (width, height), interpolation=cv2.INTER_NEAREST
        )
        self._write(title, (left, top - self._text // 2), round(self._text * 1.1), _BOLD, _TEXT)

    def note(self, index: int, text: str) -> None:
        """One line below a picture."""
        left, baseline = self._legend_origin(index)
        self._write(text, (left, baseline), self._text, _REGULAR, _FAINT)

    def legend(self, index: int, entries: tuple[tuple[str, Colour], ...]) -> None:
        """Coloured squares with their names below a picture."""
        left, baseline = self._legend_origin(index)
        side = self._text
        for name, colour in entries:
            corner = (left, baseline - round(side * 0.85))
            opposite = (corner[0] + side, corner[1] + side)
            cv2.rectangle(self.canvas, corner, opposite, bgr(colour), cv2.FILLED)
            cv2.rectangle(self.canvas, corner, opposite, bgr(_FAINT), 1 + side // 40)
            left += round(side * 1.4)
            self._write(name, (left, baseline), side, _REGULAR, _FAINT)
            left += self._width(name, side, _REGULAR) + side

    def colour_bar(self, index: int) -> None:
        """The scale of the heat map below a picture: 0 to 100 % contaminated."""
        low, high = "0 %", "100 % contaminated"
        left, baseline = self._legend_origin(index)
        self._write(low, (left, baseline), self._text, _REGULAR, _FAINT)
        left += self._width(low, self._text, _REGULAR) + self._text // 2
        length, top = self._text * 12, baseline - round(self._text * 0.8)
        scale = np.linspace(0, 1, length, dtype=np.float32)[np.newaxis].repeat(self._text, axis=0)
        self.canvas[top : top + self._text, left : left + length] = heat(scale)
        end = (left + length + self._text // 2, baseline)
        self._write(high, end, self._text, _REGULAR, _FAINT)

    def _legend_origin(self, index: int) -> tuple[int, int]:
        top, left = self.corner(index)
        return left, top + self._picture_size[0] + round(self._text * 1.6)

    def _write(
        self, text: str, start: tuple[int, int], size: int, weight: int, colour: Colour
    ) -> None:
        """Draw from the left end of the baseline, (x, y)."""
        cv2.putText(self.canvas, text, start, bgr(colour), self._font, size, weight)

    def _width(self, text: str, size: int, weight: int) -> int:
        box = cv2.getTextSize(self.canvas.shape[1::-1], text, (0, 0), self._font, size, weight)
        return int(box[2])
