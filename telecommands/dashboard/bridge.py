"""The composition of the bridge: its units, their threads, and the page's server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import msgspec
import uvicorn
from typing_extensions import Self

from telecommands.dashboard.address import HOST, LIFETIME_S, PageToken, issuer_of
from telecommands.dashboard.archive.log import OperatorsLog
from telecommands.dashboard.unit import Unit
from telecommands.dashboard.unit_settings import UnitSettings
from telecommands.dashboard.web.access import PageAccess
from telecommands.dashboard.web.app import Bridge, application
from telecommands.failure import reason_of
from telecommands.ground.errors import UsageError
from telecommands.ground.listening import listening_socket

PAGE: Final = Path(__file__).parent / "page"

_JOIN_S: Final = 5.0
_MOST_SOCKETS: Final = 200
_MOST_MESSAGE_BYTES: Final = 128 * 1024
_IN_CHECKOUT: Final = Path("node_modules", "openmct", "dist")


class DashboardSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings.  Port 0: any free port; without ``received`` there are no products.

    With ``fetch`` the bridge receives them; otherwise another process fills the folder.  ``log`` is
    the file of the operators' log.
    """

    log: Path
    openmct: Path
    port: int
    received: Path | None = None
    fetch: bool = False
    page: Path = PAGE


class Dashboard:
    """Owns all parts.  A context manager; ``serve`` blocks until :meth:`stop`.

    Raises :class:`UsageError` for a port in use and
    :class:`~telecommands.ground.errors.ArchiveError`.
    """

    def __init__(self, settings: DashboardSettings, *units: UnitSettings) -> None:
        self._stop = threading.Event()
        self._fault: BaseException | None = None
        self._parts = ExitStack()
        with ExitStack() as opened:
            self._socket = opened.enter_context(_listener(settings.port))
            self.port: int = self._socket.getsockname()[1]
            self._units = [
                opened.enter_context(Unit(unit, settings.received, fetch=settings.fetch))
                for unit in units
            ]
            log = opened.enter_context(OperatorsLog(settings.log))
            ids = [(unit.operator, unit.archive.bridge) for unit in self._units]
            self._issuer = issuer_of(ids, self.port)
            bridge = Bridge(
                units=tuple(self._units),
                log=log,
                access=PageAccess(self._issuer),
                port=self.port,
                page=settings.page,
                openmct=settings.openmct,
            )
            self._server = _Server(_config(bridge))
            self._threads = [
                threading.Thread(
                    target=self._run,
                    args=(run,),
                    name=f"dashboard-{name}{unit.base.replace('/', '-')}",
                    daemon=True,
                )
                for unit in self._units
                for name, run in unit.runs.items()
            ]
            self._parts = opened.pop_all()

    def token(self, now_s: float) -> PageToken | None:
        """A new token for pages, from ``now_s`` (UTC seconds); None without an operator's key."""
        return self._issuer.token(int(now_s) + LIFETIME_S)

    def serve(self) -> None:
        """Serve until :meth:`stop`; raises the exception of a failed thread."""
        for thread in self._threads:
            thread.start()
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._stop.set()
        if self._fault is not None:
            raise self._fault

    def stop(self) -> None:
        """Stop; may be called by any thread or a signal handler."""
        self._stop.set()
        for unit in self._units:
            unit.interrupt()
        self._server.should_exit = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(_JOIN_S)
        if not any(thread.is_alive() for thread in self._threads):
            self._parts.close()

    def _run(self, run: Callable[[threading.Event], None]) -> None:
        try:
            run(self._stop)
        except BaseException as fault:  # noqa: BLE001 - raised again by serve()
            self._fault = fault
            self.stop()


def find_openmct(folder: Path | None) -> Path:
    """Open MCT's ``dist``: ``folder``, or npm's in the checkout or the working directory.

    Raises :class:`UsageError` if it does not exist.
    """
    beside = Path(__file__).resolve().parents[2] / _IN_CHECKOUT
    places = [beside, Path.cwd() / _IN_CHECKOUT] if folder is None else [folder]
    for place in places:
        if (place / "openmct.js").is_file():
            return place
    cure = "Run deploy/openmct.sh in the checkout, or npm install openmct in the working directory"
    raise UsageError(places[0], "does not contain Open MCT", cure)


class _Server(uvicorn.Server):
    """Leaves signals to the command, which stops the other threads cleanly."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _config(bridge: Bridge) -> uvicorn.Config:
    return uvicorn.Config(
        application(bridge),
        log_level="warning",
        access_log=False,
        lifespan="off",
        server_header=False,
        limit_concurrency=_MOST_SOCKETS,
        timeout_graceful_shutdown=1,
        ws_max_size=_MOST_MESSAGE_BYTES,
        ws_per_message_deflate=False,
    )


def _listener(port: int) -> socket.socket:
    try:
        return listening_socket((HOST, port))  # early clients wait until the server is ready
    except OSError as error:
        cause = f"cannot be opened ({reason_of(error)})"
        cure = "Stop the process that listens there, or give another --port (0: any free port)"
        raise UsageError(f"{HOST}:{port}", cause, cure) from error
