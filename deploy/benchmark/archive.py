"""Measure the ground archive: a month of 50 values at 1 Hz, and other ways to store it.

``python -m deploy.benchmark.archive FOLDER [DAYS]`` prints what it measured, the other ways
included.  The folder holds the month, about 3 GB.
"""

from __future__ import annotations

import math
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow
import pyarrow.parquet

from telecommands.codec import decode_packet, encode_packet
from telecommands.dashboard.archive.history import Range, history
from telecommands.dashboard.archive.reader import ArchiveReader
from telecommands.dashboard.archive.writer import Archive, Arrival
from telecommands.dashboard.points.catalogue import PointCatalogue
from telecommands.dashboard.points.reduction import Sample, minmax
from telecommands.dictionary import (
    ContactState,
    Housekeeping,
    JobCounts,
    Mode,
    ProductCounts,
    TelecommandCounts,
)

_START: Final = 1_780_012_800 * 10**9  # midnight, where roll-ups begin
_SECOND: Final = 10**9
_DAY: Final = 86_400
_BATCH: Final = 600
_SIZE: Final = 2000
_THREADS: Final = 16
_REPEATS: Final = 5
KEY: Final = "hk.card_temperature_c"


def housekeeping(number: int) -> Housekeeping:
    """The packet of that second: 50 numbers, most of which move."""
    wave = math.sin(number / 900)
    return Housekeeping(
        mode=Mode.OPERATIONAL, uptime_s=float(number), boots=3, unclean_boots=1,
        reset_cause="power on", jobs=JobCounts(queued=number % 7, completed=number // 60),
        products=ProductCounts(queued=number % 11, queued_bytes=number * 1000),
        telecommands=TelecommandCounts(accepted=number // 5), scheduled=2,
        contact=ContactState(), packets_dropped=0, events_squelched=0,
        card_temperature_c=60 + 10 * wave + (30 if number % 400_000 == 77 else 0),
        card_power_w=9 + wave, card_energy_j=9.0 * number, cpu_temperature_c=55 + 5 * wave,
        cpu_share=0.5 + 0.4 * wave, memory_bytes=500_000_000 + number,
        disk_free_bytes=10**11 - number, storage_used_bytes=number, storage_quota_bytes=2 * 10**10,
        active_model="dtacsnet-cd-0.1.0", engine="dimc", device="card", device_state="ready",
        heartbeats={f"thread_{i}": 0.1 * i for i in range(_THREADS)},
    )  # fmt: skip


def packets(count: int) -> Iterator[Arrival]:
    """As they come off the link."""
    for number in range(count):
        frames = encode_packet(
            "hk", housekeeping(number), boot=3, sequence=number + 1, t=_START + number * _SECOND
        )
        yield Arrival("hk", *decode_packet(*frames))


def build(path: Path, days: int, day: int = _DAY) -> float:
    """A day of so many seconds through the archive's own door, then copied; packets a second.

    ``day`` is a whole number of the roll-ups' spans.
    """
    spent = 0.0
    with Archive(path, PointCatalogue()) as archive:
        batch: list[Arrival] = []
        for packet in packets(day):
            batch.append(packet)
            if len(batch) == _BATCH or packet.packet.seq == day:
                began = time.perf_counter()
                archive.write(batch)
                spent += time.perf_counter() - began
                batch = []
    _copy_day(path, days, day)
    return day / spent


def _copy_day(path: Path, days: int, day: int) -> None:
    """The file as it would be had the same day come again and again, as one boot."""
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


def archive_of(folder: Path, days: int) -> Path:
    """The file of so many days, made where it is not there yet."""
    path = folder / f"{days}-days.sqlite"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        for left in folder.glob(f"{partial.name}*"):
            left.unlink()
        build(partial, days)
        partial.replace(path)
    return path


def measure_archive(folder: Path, days: int) -> dict[str, Any]:
    """Milliseconds of what a plot asks for, medians of five."""
    path = archive_of(folder, days)
    point = PointCatalogue().get(KEY)
    assert point is not None
    packets_in_all = days * _DAY
    end = _START + packets_in_all * _SECOND
    found = {}
    with ArchiveReader(path) as reader:
        for name, span, size in (
            ("the whole", packets_in_all, _SIZE), ("the whole, 800 points", packets_in_all, 800),
            ("a day", _DAY, _SIZE), ("8 hours", 28_800, _SIZE), ("an hour", 3600, _SIZE),
        ):  # fmt: skip
            asked = Range(end - span * _SECOND, end, size, "minmax")
            found[name] = milliseconds(lambda asked=asked: history(reader, point, asked))
        latest = Range(0, end, 1, "latest")
        found["the latest"] = milliseconds(lambda: history(reader, point, latest))
    return {"days": days, "bytes": path.stat().st_size, "milliseconds": found}


def milliseconds(work: Any) -> float:
    """Median of five."""
    took = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        work()
        took.append(1000 * (time.perf_counter() - began))
    return sorted(took)[_REPEATS // 2]


def series(path: Path) -> tuple[Any, Any]:
    """Time and one value of each packet, for the other ways of storing."""
    kind = msgspec.defstruct("One", [("card_temperature_c", float)])
    decode = msgspec.msgpack.Decoder(kind).decode
    with ArchiveReader(path) as reader:
        rows = [(t, decode(body).card_temperature_c) for t, _, _, body in  # type: ignore[attr-defined]
                reader.bodies("hk", 0, 2**62)]  # fmt: skip
    return np.array([t for t, _ in rows], np.int64), np.array([value for _, value in rows])


def row_a_value(folder: Path, t: Any, values: Any) -> tuple[float, int]:
    """One key of a table (key, t, value): time of the month's minmax, bytes a value."""
    path = folder / "row_a_value.sqlite"
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE value (key, t, value, PRIMARY KEY (key, t)) WITHOUT ROWID")
    rows = zip(t.tolist(), values.tolist(), strict=True)
    connection.executemany("INSERT INTO value VALUES (1, ?, ?)", rows)
    connection.commit()

    def query() -> None:
        found = connection.execute("SELECT t, value FROM value WHERE key = 1")
        minmax((Sample(*row) for row in found), int(t[0]), int(t[-1]), _SIZE)

    took = milliseconds(query)
    connection.close()
    return took, path.stat().st_size // len(t)


def parquet(folder: Path, t: Any, values: Any) -> tuple[float, int]:
    """A file a day of 50 such columns, one of which is read: time of the month's minmax."""
    place = folder / "parquet"
    place.mkdir(exist_ok=True)
    noise = np.random.default_rng(0)
    for day in range(-(-len(t) // 86_400)):
        part = slice(day * 86_400, (day + 1) * 86_400)
        columns = {f"key_{i}": values[part] + noise.normal(size=len(t[part])) for i in range(49)}
        table = pyarrow.table({"t": t[part], "key": values[part], **columns})
        pyarrow.parquet.write_table(table, place / f"{day:03}.parquet")
    files = sorted(place.glob("*.parquet"))

    def query() -> None:
        tables = [pyarrow.parquet.read_table(one, columns=["t", "key"]) for one in files]
        whole = pyarrow.concat_tables(tables)
        spans = np.linspace(0, len(whole), _SIZE // 2, endpoint=False).astype(int)
        column = whole["key"].to_numpy()
        np.minimum.reduceat(column, spans)
        np.maximum.reduceat(column, spans)

    return milliseconds(query), sum(one.stat().st_size for one in files) // len(t) // 50


def main(folder: Path, days: int) -> None:
    """Print what was measured, and what other ways to store it come to."""
    found = measure_archive(folder, days)
    path = archive_of(folder, days)
    print(f"{path}: {found['bytes'] / 1e9:.2f} GB, {found['bytes'] / days / _DAY:.0f} byte/packet")
    for name, took in found["milliseconds"].items():
        print(f"{name}: {took:.2f} ms")
    t, values = series(path)
    for name, way in (("SQLite, a row a value", row_a_value), ("Parquet, a file a day", parquet)):
        took, size = way(folder, t, values)
        print(f"{name}: the whole {took:.0f} ms, {size} byte/value")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 30)
