from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from flightsw.config import Settings, read_settings
from flightsw.errors import UsageError
from telecommands.dictionary import EngineName

_ENGINES = ", ".join(f'"{name}"' for name in sorted(get_args(EngineName)))


def _message(folder: Path, text: str) -> str:
    file = folder / "flight.toml"
    file.write_text(text)
    with pytest.raises(UsageError) as raised:
        read_settings(file)
    return str(raised.value)


@pytest.mark.parametrize(
    ("text", "cause", "cure"),
    [
        ('engine = ["dimc"]', "the unknown key engine at its top level", "Write engines, or"),
        ("[dimcs]\nthreads = 2", "the unknown key dimcs at its top level", "Write dimc, or"),
        ("[dimc.twin]\nlatency = 2", "the unknown key latency in [dimc.twin]", "Write latency_ms"),
        (
            "[scene]\nxyz = 2",
            "the unknown key xyz in [scene]",
            "Use one of its keys: offset, scale, nodata, b",
        ),
        ("threads = 2", "the unknown key threads at its top level", "Move it to [dimc] or [torch]"),
        ("[dimc]\nthreads = 0", "threads = 0 in [dimc], which is not an integer from 1 to 256", ""),
        ("[service]\ncurve = 1", "curve = 1 in [service], which is not true or false", ""),
        ("service = 5", "service = 5, which is not a table", ""),
        ("[service]\nkeys = 5", "keys = 5 in [service], which is not a path", ""),
        (
            'engines = ["gpu"]',
            f"not a list of at least one of {_ENGINES}",
            "",
        ),
        (
            "[torch]\ntile_size = 100",
            "tile_size = 100 in [torch], which is not an integer from 32 to 8192 that is a multip",
            "",
        ),
        ("[scene]\nbands = 2026-01-01", 'bands = "2026-01-01" in [scene], which is not a list', ""),
    ],
)
def test_an_error_names_key_table_and_what_is_valid(
    tmp_path: Path, text: str, cause: str, cure: str
) -> None:
    message = _message(tmp_path, text)
    assert message.startswith(f"{tmp_path / 'flight.toml'} has ")
    assert cause in message
    assert cure in message


def _keys(kind: type[msgspec.Struct], table: str) -> Iterator[tuple[str, str]]:
    for field in msgspec.structs.fields(kind):
        value = field.default
        if isinstance(value, msgspec.Struct):
            yield from _keys(type(value), f"[{field.name}]")
        else:
            yield table, field.name


@pytest.mark.parametrize(("table", "key"), list(_keys(Settings, "")))
def test_the_error_of_every_key_names_it(tmp_path: Path, table: str, key: str) -> None:
    message = _message(tmp_path, f"{table}\n{key} = [[1]]")
    within = f" in {table}" if table else ""
    assert f"has {key} = [[1]]{within}, which is not " in message
