"""Model packages on their way up: received by CFDP, kept on the disk, and uplinked."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from telecommands.ground.errors import GroundError, TransferFailed, UsageError
from telecommands.ground.package_archive import open_package
from telecommands.ground.station import Station
from telecommands.ground.uplink import uplink

RETRY_S: Final = 5.0
"""Time until an archive that could not be uplinked is tried again."""

_MOST_WAITING: Final = 16
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}?(\.tar)?\Z")


class PackageRelay:
    """Uplinks the archives that a :class:`FileReceiver` put into ``folder``, oldest first.

    An archive stays there until the service has the package or refuses it, over restarts too.
    """

    def __init__(
        self,
        station: Station,
        folder: Path,
        done: Callable[[str], None],
        failed: Callable[[GroundError], None],
        retry_s: float = RETRY_S,
    ) -> None:
        self._station, self._folder, self._done, self._failed = station, folder, done, failed
        self._retry_s = retry_s
        self._arrived = threading.Event()
        self._reported = ""

    def admits(self, name: str, size: int) -> bool:
        """Whether an archive may be received: a plain name, some content, and room to wait."""
        return bool(_NAME.match(name)) and size > 0 and len(self._waiting()) < _MOST_WAITING

    def wake(self) -> None:
        """An archive has arrived."""
        self._arrived.set()

    def run(self, stop: threading.Event) -> None:
        """Uplink until ``stop`` is set."""
        while not stop.is_set():
            self._arrived.wait(self._retry_s)
            self._arrived.clear()
            for archive in self._waiting():
                if stop.is_set():
                    return
                try:
                    self._uplink(archive, stop)
                except _StoppedError:
                    return
                except (TransferFailed, UsageError) as refused:
                    archive.unlink(missing_ok=True)  # mission control has it
                    self._report(refused)
                except GroundError as error:
                    self._report(error)
                    break

    def _uplink(self, archive: Path, stop: threading.Event) -> None:
        name = archive.name.rpartition(".")[0].removesuffix(".tar")

        def progress(_stored: int, _size: int) -> None:
            if stop.is_set():
                raise _StoppedError

        with open_package(archive, name) as package, self._station.commanding() as client:
            uplink(client, package, progress)
            archive.unlink(missing_ok=True)
            self._reported = ""
            self._done(f"package={package.name} sha256={package.checksums}")

    def _waiting(self) -> list[Path]:
        found = [path for path in self._folder.iterdir() if not path.name.startswith(".")]
        return sorted(found, key=lambda path: path.stat().st_mtime_ns)

    def _report(self, error: GroundError) -> None:
        if str(error) != self._reported:
            self._failed(error)
        self._reported = str(error)


class _StoppedError(Exception):
    """The operator asked to stop."""
