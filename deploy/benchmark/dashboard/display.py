"""A display that shows 50 values: the latest of each, plots and a table that move."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

NAME: Final = "measured"
_BACK_MS: Final = 45_000
_AHEAD_MS: Final = 15_000
"""The time window, a minute wide.  Open MCT's plots keep one more: after 105 s they are full."""

PLOTS: Final = (
    ("hk.card_temperature_c", "hk.cpu_temperature_c"),
    ("hk.card_power_w", "hk.cpu_share", "sci.cloud_fraction.contaminated"),
    tuple(f"sci.cloud_fraction.stages_ms.accelerator.{name}" for name in ("mean", "p50", "p95")),
    ("hk.uptime_s", "hk.card_energy_j"),
)
TABLE: Final = ("hk.uptime_s", "hk.card_temperature_c", "hk.cpu_share", "hk.card_power_w")

_HIDDEN: Final = dict.fromkeys(("timestamp", "type", "WARNING", "CRITICAL"), True)
_STORE: Final = "flightsw.displays"  # page/displays.js keeps them there, and makes none if it is


def path() -> str:
    """Of the display in the page's address, with the time window."""
    window = f"tc.startDelta={_BACK_MS}&tc.endDelta={_AHEAD_MS}"
    return f"#/browse/displays:root/displays:{NAME}?tc.mode=local&{window}&tc.timeSystem=utc"


def script(keys: Sequence[str]) -> str:
    """JavaScript that puts the display into the browser's storage before the page starts."""
    displays = json.dumps(_displays(keys))
    return f"localStorage.setItem('{_STORE}', JSON.stringify({displays}));"


def _displays(keys: Sequence[str]) -> dict[str, Any]:
    latest = _object(f"{NAME}.latest", "LadTable", keys, hiddenColumns=_HIDDEN)
    table = _object(f"{NAME}.table", "table", TABLE)
    plots = [
        _object(
            f"{NAME}.plot{number}",
            "telemetry.plot.overlay",
            shown,
            series=[{"identifier": _point(key), "series": {}} for key in shown],
        )
        for number, shown in enumerate(PLOTS)
    ]
    columns = [(30, [latest]), (70, [*plots, table])]
    layout = _object(
        NAME,
        "flexible-layout",
        (),
        containers=[
            {"id": f"{place}", "size": size, "frames": _frames(place, frames)}
            for place, (size, frames) in enumerate(columns)
        ],
        rowsLayout=False,
    )
    layout["composition"] = [one["identifier"] for _, frames in columns for one in frames]
    root = _object("root", "folder", ()) | {
        "name": "Displays", "location": "ROOT", "composition": [layout["identifier"]],
    }  # fmt: skip
    return {one["identifier"]["key"]: one for one in (root, layout, latest, table, *plots)}


def _frames(place: int, frames: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{place}.{row}",
            "domainObjectIdentifier": one["identifier"],
            "size": round(100 / len(frames)),
            "noFrame": False,
        }
        for row, one in enumerate(frames)
    ]


def _object(key: str, type_: str, points: Sequence[str], **configuration: Any) -> dict[str, Any]:
    return {
        "identifier": {"namespace": "displays", "key": key},
        "type": type_,
        "name": key,
        "location": f"displays:{NAME}",
        "composition": [_point(one) for one in points],
        "configuration": configuration,
    } | dict.fromkeys(("created", "modified", "persisted"), 0)


def _point(key: str) -> dict[str, str]:
    return {"namespace": "flightsw", "key": key}
