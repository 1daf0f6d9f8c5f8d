"""The dashboard: its first paint, what it loses in a minute at 10 Hz, and the queries of a plot."""

from __future__ import annotations

import math
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from deploy.rig.bridge_process import BridgeProcess
from deploy.rig.chromium import launched_chromium
from deploy.rig.flight_unit import flight_unit
from telecommands.codec import decode_as, decode_packet, encode_packet
from telecommands.dashboard.archive.reader import ArchiveReader
from telecommands.dashboard.archive.writer import Archive, Arrival
from telecommands.dashboard.points.catalogue import PointCatalogue
from telecommands.dashboard.points.reduction import is_number
from telecommands.dictionary import (
    ContactState,
    Housekeeping,
    JobCounts,
    Mode,
    ProductCounts,
    TelecommandCounts,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_PERIOD_S: Final = 0.1
_VISITS: Final = 7
_REQUESTS: Final = 20
_TIMEOUT_MS: Final = 30_000
_START: Final = 1_780_012_800 * 10**9  # midnight: a boundary of the roll-ups
_SECOND: Final = 10**9
_DAY: Final = 86_400
_BATCH: Final = 600
_SPANS: Final = {"a day": _DAY, "8 hours": 28_800, "an hour": 3600}

_UPTIME_SHOWN: Final = """() => [...document.querySelectorAll('.js-lad-table__body__row')].some(
  (row) => row.querySelector('.js-first-data')?.textContent.trim() === 'Uptime'
    && Number(row.querySelector('.js-third-data').textContent) > 0
) ? performance.now() : null"""
"""JavaScript: ms since the navigation once the overview shows a value, null before."""

_RECORD: Final = """async (keys) => {
  const { openmct } = window;
  const values = Object.fromEntries(keys.map((key) => [key, []]));
  const frames = [];
  window.recorded = { values, frames };
  let before;
  const frame = (now) => {
    if (before !== undefined) frames.push(now - before);
    before = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  const take = (key) => (data) => values[key].push(...data.filter(({ gap }) => !gap).map(({ seq }) => seq));
  for (const key of keys) {
    const point = await openmct.objects.get({ namespace: 'flightsw', key });
    const strategy = openmct.telemetry.SUBSCRIBE_STRATEGY.BATCH;
    openmct.telemetry.subscribe(point, take(key), { strategy });
  }
}"""  # noqa: E501
"""JavaScript: takes the values of the points as every view gets them, and the gaps of frames."""


def measure_dashboard(work: Path, minutes: float, days: int) -> dict[str, Any]:
    """Bridge and page beside a service whose housekeeping is published at 10 Hz."""
    archive = _archive_of(work / "archive", days)
    with tempfile.TemporaryDirectory(dir=work) as name, flight_unit(Path(name) / "unit") as unit:
        found = {"archive": measure_queries(BridgeProcess(unit, Path(name), archive=archive))}
        found["archive"] |= {"days": days, "bytes": archive.stat().st_size}
        unit.start()
        unit.execute("SET_HOUSEKEEPING_RATE", period_s=_PERIOD_S)
        bridge = BridgeProcess(unit, Path(name))
        try:
            bridge.start()
            with launched_chromium() as browser:
                found["first_paint"] = _measure_first_paint(browser, bridge.address)
                page = _open(browser, bridge.address)
                page.evaluate(_RECORD, _numbers(bridge.archive))
                page.wait_for_timeout(60_000 * minutes)
                recorded = page.evaluate("window.recorded")
        finally:
            bridge.stop()
        return found | {"minutes": minutes, **_losses(bridge.archive, recorded)}


def _open(browser: Browser, address: str) -> Page:
    """The page in a fresh context, once it shows its values."""
    page = browser.new_context(viewport={"width": 1600, "height": 900}).new_page()
    page.goto(address)
    page.wait_for_function(_UPTIME_SHOWN, timeout=_TIMEOUT_MS)
    return page


def _measure_first_paint(browser: Browser, address: str) -> dict[str, Any]:
    """Milliseconds to the first contentful paint and to the overview with its values."""
    paints, overviews = [], []
    for _ in range(_VISITS):
        page = _open(browser, address)
        overviews.append(float(page.evaluate(_UPTIME_SHOWN)))
        paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
        paints.append(float(page.evaluate(paint)))
        page.context.close()
    return {"visits": _VISITS, "first_paint_ms": _median_max(paints),
            "overview_ms": _median_max(overviews)}  # fmt: skip


def _numbers(archive: Path) -> list[str]:
    """Keys of the declared points that are numbers in the first packet of housekeeping."""
    catalogue = PointCatalogue()
    points = [point for folder in catalogue.folders() for point in folder.points]
    wanted = {point.key for point in points if point.type == "number"}
    with ArchiveReader(archive) as reader:
        body = next(iter(reader.bodies("hk", 0, 2**62))).body
    values = catalogue.values("hk", decode_as(Housekeeping, body, "the archive"))
    return [point.key for point, value in values if point.key in wanted and is_number(value)]


def _losses(archive: Path, recorded: dict[str, Any]) -> dict[str, Any]:
    """Packets that the archive lacks or holds twice, values that the page lacks or got twice."""
    with ArchiveReader(archive) as reader:
        packets = counted([packet.seq for packet in reader.bodies("hk", 0, 2**62)])
    values = [counted(numbers) for numbers in recorded["values"].values()]
    gaps = np.percentile(recorded["frames"], (50, 99, 100))
    return {
        "points": len(values),
        "packets": packets,
        "values": {name: sum(one[name] for one in values) for name in packets},
        "frame_gaps_ms": dict(zip(("p50", "p99", "max"), map(float, gaps), strict=True)),
    }


def counted(numbers: Sequence[int]) -> dict[str, int]:
    """Of the sequence numbers from the lowest to the highest: ``sent``, ``missing``, ``repeated``.

    Without any number, 1 is missing: a point that never arrives is a loss.
    """
    if not numbers:
        return {"sent": 1, "missing": 1, "repeated": 0}
    sent = max(numbers) - min(numbers) + 1
    different = len(set(numbers))
    return {"sent": sent, "missing": sent - different, "repeated": len(numbers) - different}


def measure_queries(bridge: BridgeProcess) -> dict[str, Any]:
    """Milliseconds of a plot's requests by HTTP, one after the other."""
    found = {}
    try:
        bridge.start()
        extent = bridge.ask("/api/status")["archive"]
        first, last = extent["first"], extent["last"]
        starts = {"the whole": first} | {
            name: max(first, last - 1000 * seconds) for name, seconds in _SPANS.items()
        }
        for name, start in starts.items():
            took = []
            for _ in range(_REQUESTS):
                began = time.perf_counter()
                span = f"start={start}&end={last}&size=1000&strategy=minmax"
                bridge.ask(f"/api/history/hk.card_temperature_c?{span}")
                took.append(1000 * (time.perf_counter() - began))
            found[name] = _median_max(took)
    finally:
        bridge.stop()
    return {"requests": _REQUESTS, "milliseconds": found}


def _median_max(values: Sequence[float]) -> dict[str, float]:
    return {"median": float(np.median(values)), "max": max(values)}


def housekeeping(number: int) -> Housekeeping:
    """The packet of that second: 50 numbers, most of which move."""
    wave = math.sin(number / 900)
    return Housekeeping(
        mode=Mode.OPERATIONAL, uptime_s=float(number), boots=3, unclean_boots=1,
        reset_cause="power on", jobs=JobCounts(queued=number % 7, completed=number // 60),
        products=ProductCounts(queued=number % 11, queued_bytes=number * 1000),
        telecommands=TelecommandCounts(accepted=number // 5), clock_trusted=True,
        sent_at_checked=True, scheduled=2,
        contact=ContactState(), packets_dropped=0, events_squelched=0,
        card_temperature_c=60 + 10 * wave + (30 if number % 400_000 == 77 else 0),
        card_power_w=9 + wave, card_energy_j=9.0 * number, cpu_temperature_c=55 + 5 * wave,
        cpu_share=0.5 + 0.4 * wave, memory_bytes=500_000_000 + number,
        disk_free_bytes=10**11 - number, storage_used_bytes=number, storage_quota_bytes=2 * 10**10,
        active_model="dtacsnet-cd-0.1.0", engine="dimc", device="card", device_state="ready",
        heartbeats={f"thread_{i}": 0.1 * i for i in range(16)},
    )  # fmt: skip


def _archive_of(folder: Path, days: int) -> Path:
    """The archive of ``days`` days of 50 values at 1 Hz, built if it does not exist yet."""
    path = folder / f"{days}-days.sqlite"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        for left in folder.glob(f"{partial.name}*"):
            left.unlink()
        build(partial, days)
        partial.replace(path)
    return path


def build(path: Path, days: int, day: int = _DAY) -> None:
    """Write one day through the archive's own interface, then copy it.

    ``day``, in seconds, is a whole number of the roll-ups' spans.
    """
    with Archive(path, PointCatalogue()) as archive:
        for begin in range(0, day, _BATCH):
            archive.write([_arrival(number) for number in range(begin, min(begin + _BATCH, day))])
    _copy_day(path, days, day)


def _arrival(number: int) -> Arrival:
    t = _START + number * _SECOND
    frames = encode_packet(
        "hk", housekeeping(number), unit="bench", boot=3, sequence=number + 1, t=t
    )
    return Arrival("hk", *decode_packet(*frames))


def _copy_day(path: Path, days: int, day: int) -> None:
    """Repeat the first day in the file, as one boot."""
    connection = sqlite3.connect(path)
    for later in range(1, days):
        with connection:
            t = later * day * _SECOND
            connection.execute(
                "INSERT INTO packet (topic, t, boot, seq, body)"
                " SELECT topic, t + ?, boot, seq + ?, body FROM packet WHERE id <= ? ORDER BY id",
                (t, later * day, day),
            )
            connection.execute(
                "INSERT INTO rollup SELECT level, key, span + ? / level, count, low, low_t + ?,"
                " high, high_t + ? FROM rollup WHERE span < (? + ?) / level",
                (t, t, t, _START, day * _SECOND),
            )
    with connection:
        connection.execute(
            "UPDATE topic SET seq = seq + ?, t = t + ?",
            ((days - 1) * day, (days - 1) * day * _SECOND),
        )
    connection.close()
