"""Measure the ground archive: a month of 50 values at 1 Hz, and other ways to store it.

``python -m deploy.benchmark.archive FOLDER [DAYS]`` prints what it measured.
The folder holds the month, about 3 GB.
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
from telecommands.dashboard.archive import Archive, Arrival
from telecommands.dashboard.archive_reader import ArchiveReader
from telecommands.dashboard.history import Range, history
from telecommands.dashboard.points import Catalogue
from telecommands.dashboard.reduction import Sample, minmax
from telecommands.dictionary import (
    ContactState,
    Housekeeping,
    JobCounts,
    Mode,
    ProductCounts,
    TelecommandCounts,
)

_START: Final = 1_780_000_000 * 10**9
_SECOND: Final = 10**9
_BATCH: Final = 600
_SIZE: Final = 2000
_THREADS: Final = 16
_REPEATS: Final = 5
_KEY: Final = "hk.card_temperature_c"


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
    for number in range(1, count + 1):
        frames = encode_packet(
            "hk", housekeeping(number), boot=3, sequence=number, t=_START + number * _SECOND
        )
        yield Arrival("hk", *decode_packet(*frames))


def build(path: Path, count: int) -> float:
    """Through the archive's own door; packets a second."""
    spent = 0.0
    with Archive(path, Catalogue()) as archive:
        batch: list[Arrival] = []
        for packet in packets(count):
            batch.append(packet)
            if len(batch) == _BATCH or packet.packet.seq == count:
                began = time.perf_counter()
                archive.write(batch)
                spent += time.perf_counter() - began
                batch = []
    return count / spent


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


def main(folder: Path, days: float) -> None:
    """Print what was measured."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "month.sqlite"
    count = int(days * 86_400)
    if not path.exists():
        print(f"written: {build(path, count):,.0f} packets/s of 50 values")
    print(
        f"file: {path.stat().st_size / 1e9:.2f} GB, {path.stat().st_size / count:.0f} byte/packet"
    )
    point = Catalogue().get(_KEY)
    assert point is not None
    end = _START + count * _SECOND
    with ArchiveReader(path) as reader:
        for name, span, size in (
            ("month", count, _SIZE), ("month, 800 points", count, 800), ("day", 86_400, _SIZE),
            ("8 hours", 28_800, _SIZE), ("hour", 3600, _SIZE),
        ):  # fmt: skip
            asked = Range(end - span * _SECOND, end, size, "minmax")
            found = history(reader, point, asked)
            took = milliseconds(lambda asked=asked: history(reader, point, asked))
            print(f"{name}: {took:.0f} ms, {len(found)} data")
        latest = Range(0, end, 1, "latest")
        print(f"latest: {milliseconds(lambda: history(reader, point, latest)):.2f} ms")
        print(f"extent: {milliseconds(reader.extent):.2f} ms")
    t, values = series(path)
    for name, way in (("SQLite, a row a value", row_a_value), ("Parquet, a file a day", parquet)):
        took, size = way(folder, t, values)
        print(f"{name}: month {took:.0f} ms, {size} byte/value")


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 30)
