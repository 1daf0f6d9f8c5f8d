from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flightsw.config import DimcSettings
from flightsw.dimc.runtime import open_runtime
from flightsw.errors import EngineUnavailable

_LIBRARY = """
from types import SimpleNamespace

class ConnectionError(Exception): pass
class DeviceInUse(Exception): pass

class Context:
    def __init__(self):
        if {opening!r} == "fails":
            raise ConnectionError("no driver")
        self.released = False
    def list_devices(self):
        if {listing!r} == "fails":
            raise DeviceInUse("busy")
        return [SimpleNamespace(name=name, subdevice_count=4) for name in {names!r}]
    def release(self):
        self.released = True
"""


class FakeLibrary:
    """A vendor's library in a folder of its own, on the import path."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "axelera"

    def install(
        self, names: tuple[str, ...] = ("metis-0:1:0",), opening: str = "", listing: str = ""
    ) -> None:
        self._folder.mkdir()
        (self._folder / "__init__.py").touch()
        text = _LIBRARY.format(names=names, opening=opening, listing=listing)
        (self._folder / "runtime.py").write_text(text)


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLibrary]:
    monkeypatch.syspath_prepend(tmp_path)
    yield FakeLibrary(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "axelera"]:
        del sys.modules[name]


def test_card_is_taken_when_the_library_lists_one(library: FakeLibrary) -> None:
    library.install()
    runtime = open_runtime(DimcSettings())
    assert (runtime.device.name, runtime.simulated) == ("metis-0:1:0", False)
    assert {"ConnectionError", "DeviceInUse"} <= {fault.__name__ for fault in runtime.faults}


def test_simulator_is_taken_without_the_library() -> None:
    runtime = open_runtime(DimcSettings())
    assert (runtime.device.name, runtime.simulated) == ("metis-0:3:0", True)
    runtime.context.release()


def test_simulator_is_taken_when_no_device_answers(library: FakeLibrary) -> None:
    library.install(names=())
    assert open_runtime(DimcSettings()).simulated


def test_simulator_is_taken_on_request_beside_a_card(library: FakeLibrary) -> None:
    library.install()
    assert open_runtime(DimcSettings(card="simulator")).simulated


def test_missing_library_is_the_cause_when_a_card_is_required() -> None:
    with pytest.raises(EngineUnavailable, match=r"cannot be imported.*Install the Voyager SDK"):
        open_runtime(DimcSettings(card="card"))


@pytest.mark.parametrize(
    ("behaviour", "cause"),
    [
        ({"names": ()}, "found no device"),
        ({"opening": "fails"}, r"cannot open a context \(no driver\)"),
        ({"listing": "fails"}, r"cannot list the devices \(busy\)"),
    ],
)
def test_silent_card_is_reported_with_its_cause_when_a_card_is_required(
    library: FakeLibrary, behaviour: dict[str, str], cause: str
) -> None:
    library.install(**behaviour)  # type: ignore[arg-type]
    with pytest.raises(EngineUnavailable, match=cause + ".*axdevice --refresh"):
        open_runtime(DimcSettings(card="card"))


def test_loading_openvino_reports_to_nobody_and_prints_nothing() -> None:
    script = (
        "import sys; from flightsw.dimc.simulator.int8_graph import load_openvino; load_openvino();"
        "assert not any('openvino_telemetry' in name for name in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
