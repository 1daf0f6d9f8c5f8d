"""The comparison of two runs as one HTML page, with its plots and pictures inside."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from flightsw.archive.comparison import SEASONS, UNKNOWN, Group, RunComparison
from flightsw.archive.outcome import RECORD, read_outcome
from flightsw.errors import FlightError, UsageError
from flightsw.host.disk import disk_errors
from flightsw.products.contents import CONTAMINATED, NO_DATA
from flightsw.products.mask_file import open_mask
from flightsw.products.panels import CLEAR_COLOUR, CONTAMINATED_COLOUR, NO_DATA_COLOUR, bgr
from telecommands.whole_file import write_whole

_TEMPLATE: Final = Path(__file__).with_name("page.html")
_TILES_SHOWN: Final = 50
_SIDE: Final = 480  # pixels of a picture
_THIS: Final = "this run"
_OTHER: Final = "the other run"


def write_page(path: Path, comparison: RunComparison, scenes: int, this: Path, other: Path) -> None:
    """Write the page; ``this`` and ``other`` are the folders of the runs.

    Raises :class:`UsageError` without the extra ``archive``, and
    :class:`~flightsw.errors.DiskFull` and :class:`~flightsw.errors.OutputNotWritable`.
    """
    try:
        import jinja2  # noqa: PLC0415 - an extra
    except ImportError as error:
        cause = "needs jinja2, which is not installed"
        raise UsageError("the comparison", cause, "Install flightsw[archive]") from error
    template = jinja2.Environment(autoescape=True).from_string(_TEMPLATE.read_text("utf-8"))
    text = template.render(
        this=this.name,
        other=other.name,
        scenes=scenes,
        total=comparison.total,
        plot=_plots(comparison),
        tables=[
            (f"By tile: the {_TILES_SHOWN} that agree least", _least(comparison.tiles.items())),
            ("By season", _in_order(comparison.seasons, SEASONS)),
            ("By surface", _least(comparison.by_surface.items())),
        ],
        differing=[
            (
                scene,
                [
                    (_THIS, _picture(this / scene.folder)),
                    (_OTHER, _picture(other / scene.folder)),
                ],
            )
            for scene in comparison.most_differing()
        ],
    )
    with disk_errors(path.parent):
        write_whole(path, text.encode())


def _least(groups: Iterable[tuple[str, Group]]) -> list[tuple[str, Group]]:
    def agreement(pair: tuple[str, Group]) -> tuple[float, str]:
        found = pair[1].agreement
        return (1.0 if found is None else found, pair[0])

    return sorted(groups, key=agreement)[:_TILES_SHOWN]


def _in_order(groups: dict[str, Group], names: tuple[str, ...]) -> list[tuple[str, Group]]:
    return [(name, groups[name]) for name in (*names, UNKNOWN) if name in groups]


def _plots(comparison: RunComparison) -> str:
    """Distributions of the contaminated share, and one run's share against the other's, as SVG."""
    try:
        # Without pyplot it needs no display and keeps no state.
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra
    except ImportError as error:
        cause = "needs matplotlib, which is not installed"
        raise UsageError("the comparison", cause, "Install flightsw[archive]") from error
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    counts, joint = figure.subplots(1, 2, width_ratios=(1.5, 1))
    edges = np.linspace(0, 100, len(comparison.this) + 1)
    counts.stairs(comparison.this, edges, label=_THIS, fill=True, alpha=0.4)
    counts.stairs(comparison.other, edges, label=_OTHER, linewidth=1.5)
    counts.set(xlabel="contaminated, % of the valid pixels", ylabel="scenes")
    counts.legend()
    shown = np.ma.masked_equal(np.array(comparison.joint), 0)
    picture = joint.imshow(shown.T, origin="lower", extent=(0, 100, 0, 100), cmap="viridis")
    joint.plot((0, 100), (0, 100), color="grey", linewidth=0.8)
    joint.set(xlabel=f"{_THIS}, %", ylabel=f"{_OTHER}, %")
    figure.colorbar(picture, ax=joint, label="scenes")
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    return drawn.getvalue().partition("<svg")[1] + drawn.getvalue().partition("<svg")[2]


def _picture(folder: Path) -> str:
    """A data address of the scene's quick-look, else of its mask; empty if there is neither."""
    try:
        outcome = read_outcome(folder / RECORD)
        for file in outcome.files:
            if file.product == "quicklook":
                found = cv2.imread(str(folder / file.name))
                if found is not None:
                    return _encoded(_smaller(found), ".jpg", "image/jpeg")
        return _encoded(_mask_picture(folder), ".png", "image/png")
    except (FlightError, OSError):  # the products were deleted, or hold no mask
        return ""


def _mask_picture(folder: Path) -> NDArray[np.uint8]:
    with open_mask(folder) as mask:
        height, width = mask.shape
        step = -(-max(height, width) // _SIDE)
        rows = [mask[top : top + 1][:, ::step] for top in range(0, height, step)]
    colours = np.zeros((256, 3), np.uint8)
    colours[:] = bgr(CLEAR_COLOUR)
    colours[CONTAMINATED] = bgr(CONTAMINATED_COLOUR)
    colours[NO_DATA] = bgr(NO_DATA_COLOUR)
    picture: NDArray[np.uint8] = colours[np.concatenate(rows)]
    return picture


def _smaller(picture: Any) -> Any:
    height, width = picture.shape[:2]
    factor = min(1.0, 2 * _SIDE / max(height, width))  # a quick-look has six panels
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def _encoded(picture: Any, suffix: str, media: str) -> str:
    _, content = cv2.imencode(suffix, picture)
    return f"data:{media};base64,{base64.b64encode(content.tobytes()).decode()}"
