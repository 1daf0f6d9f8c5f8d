"""``python -m deploy.documentation.model_card_page``: write ``docs/model-card.md``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from deploy.model.card import Card, Interval, OptionRow, read_card

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "model-card.md"
FIGURES: Final = PAGE.with_suffix(".json")
_TEMPLATE: Final = Path(__file__).with_name("model_card_template.md")


def render(card: Card) -> str:
    """The page."""
    name, _, version = card.model_id.partition("+")[0].rpartition("-")
    chapters = {
        "model": f"{name} {version}",
        "date": card.date,
        "machine": card.machine,
        "labelled": _table(_labelled(card)),
        "surfaces": _table(_surfaces(card)),
        "failures": _table(_failures(card)),
        "scales": _table(_scales(card)),
        "borders": _table(_borders(card)),
        "options": _table(_options(card)),
        "experience": _table(_experience(card)),
        "real": _table(_real(card)),
        "mean": _percent(card.precision.mean),
        "worst": _percent(card.precision.worst),
        "precision_tiles": str(card.precision.tiles),
        "temperature": f"{card.calibration.temperature:g}",
        "pixels": f"{card.calibration.pixels:,}",
        "raw": f"{card.calibration.raw:.3f}",
        "calibrated": f"{card.calibration.calibrated:.3f}",
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: chapters[found[1]], _TEMPLATE.read_text())


def _labelled(card: Card) -> Iterator[tuple[str, ...]]:
    yield (
        "image", "m", "part", "network",
        "F2", "lenient F2", "IoU", "clear kept", "shadow found",
    )  # fmt: skip
    for row in card.labelled:
        figures = (row.f2, row.lenient_f2, row.iou, row.clear_kept, row.shadow_found)
        yield (
            row.image,
            str(row.metres),
            row.part,
            row.network,
            *("-" if one is None else f"{one:.3f}" for one in figures),
        )


def _surfaces(card: Card) -> Iterator[tuple[str, ...]]:
    yield "surface", "tiles were", "network", "tiles", "pixels", "clear kept"
    for row in card.surfaces:
        yield (
            row.surface,
            "held_out" if row.kept_out else "training",
            row.network,
            str(row.tiles),
            f"{row.pixels:,}",
            _shares(row.clear_kept),
        )


def _failures(card: Card) -> Iterator[tuple[str, ...]]:
    yield "picture", "image", "m", "part", "first row and column, side", "missed", "false alarms"
    for number, row in enumerate(card.failures, 1):
        yield (
            str(number),
            row.image,
            str(row.metres),
            row.part,
            f"{row.row}, {row.column}, {row.side} px",
            _percent(row.missed),
            _percent(row.false_alarms),
        )


def _scales(card: Card) -> Iterator[tuple[str, ...]]:
    yield "scale", "network", "tiles", "F2", "pixels that agree"
    for row in card.scales:
        agreement = _shares(row.agreement)
        yield f"{row.metres} m", row.network, str(row.tiles), _interval(row.f2), agreement


def _borders(card: Card) -> Iterator[tuple[str, ...]]:
    yield "network", "tiles", "border", "interior"
    for row in card.borders:
        yield row.network, str(row.tiles), _shares(row.border), _shares(row.interior)


def _options(card: Card) -> Iterator[tuple[str, ...]]:
    images = tuple(dict.fromkeys(row.image for row in card.options))
    yield "threshold", "buffer", *images
    found: dict[tuple[int | None, int], dict[str, OptionRow]] = {}
    for row in card.options:
        found.setdefault((row.threshold_percent, row.buffer_pixels), {})[row.image] = row
    for (threshold, buffer), rows in found.items():
        yield (
            "-" if threshold is None else f"{threshold} %",
            f"{buffer} px",
            *(f"{rows[image].f2:.3f} / {rows[image].clear_kept:.3f}" for image in images),
        )


def _experience(card: Card) -> Iterator[tuple[str, ...]]:
    yield "images", "number", "of places", "outside", "places as one scene", "outside"
    for row in card.experience:
        yield (
            row.kind, str(row.images), str(row.places), _shares(row.outside),
            str(row.mixed), _shares(row.mixed_outside),
        )  # fmt: skip


def _real(card: Card) -> Iterator[tuple[str, ...]]:
    yield "image", "distance (1 is the limit)", "outside"
    for row in card.real:
        yield row.image, f"{row.distance:.2f}", "yes" if row.outside else "no"


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    header, *body = (f"| {' | '.join(row)} |\n" for row in rows)
    return header + "|---" * header.count(" | ") + "|---|\n" + "".join(body).rstrip("\n")


def _interval(figure: Interval) -> str:
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def _shares(figure: Interval) -> str:
    return f"{_percent(figure.value)} ({100 * figure.low:.1f} to {100 * figure.high:.1f})"


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def main() -> None:
    """Command line."""
    PAGE.write_text(render(read_card(FIGURES)))


if __name__ == "__main__":
    main()
