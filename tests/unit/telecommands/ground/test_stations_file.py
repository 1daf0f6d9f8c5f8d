from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from telecommands.ground.errors import UsageError
from telecommands.ground.station import add_station_options, unit_options
from telecommands.ground.stations_file import read_stations

_TWO = """
[sat-a]
endpoints = "a/endpoints.json"
keys = "/keys/a"
as = "watcher"

[sat-b]
host = "10.0.0.2"
ports = [1, 2, 3]
archive = "b.sqlite"
"""


def _written(folder: Path, text: str) -> Path:
    path = folder / "stations.toml"
    path.write_text(text)
    return path


def _options(*arguments: str) -> dict[str, argparse.Namespace]:
    parser = argparse.ArgumentParser()
    add_station_options(parser, several=True)
    return unit_options(parser.parse_args(arguments))


def test_each_unit_has_its_options_and_otherwise_those_of_the_command(tmp_path: Path) -> None:
    path = _written(tmp_path, _TWO)
    found = _options("--stations", str(path), "--as", "operator", "--keys", "common")
    a, b = found["sat-a"], found["sat-b"]
    assert list(found) == ["sat-a", "sat-b"]
    assert (a.unit, a.endpoints, a.keys, a.key_name) == (
        "sat-a", tmp_path / "a/endpoints.json", Path("/keys/a"), "watcher",
    )  # fmt: skip
    assert (b.unit, b.endpoints, b.host, b.ports) == ("sat-b", None, "10.0.0.2", (1, 2, 3))
    assert (b.keys, b.key_name, b.archive) == (Path("common"), "operator", tmp_path / "b.sqlite")


def test_without_a_stations_file_there_is_one_unit_without_a_name() -> None:
    assert list(_options("--host", "10.0.0.2")) == [""]


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "has 0 units"),
        ("[sat-a", "not a stations file"),
        ("\xff", "not a stations file"),
        ("['sat/a']\n", "not a stations file"),
        ("[sat-a]\nport = 1\n", "unknown field `port`"),
        ("[sat-a]\nports = [1, 2]\n", "length 3"),
        ("[sat-a]\nkeys = 5\n", "not a stations file"),
        ("[sat-a]\nendpoints = 'x'\nhost = 'y'\n", "has endpoints and ports of sat-a"),
        ("".join(f"[u{number}]\n" for number in range(51)), "has 51 units"),
    ],
)
def test_a_file_that_is_not_one_is_refused_with_the_cause(
    tmp_path: Path, text: str, cause: str
) -> None:
    path = tmp_path / "stations.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=r"stations\.toml") as refused:
        read_stations(path)
    assert cause in str(refused.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_stations(tmp_path / "stations.toml")
