"""The composition of the bridge: its parts, its threads, and the page's server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import uvicorn
from typing_extensions import Self

from telecommands.auth import TelecommandKey
from telecommands.dashboard.address import HOST, LIFETIME_S, PageToken, token_of
from telecommands.dashboard.archive.reader import ReaderPool
from telecommands.dashboard.archive.writer import Archive
from telecommands.dashboard.commanding import Commanding
from telecommands.dashboard.hub import Hub
from telecommands.dashboard.link import TelemetryFeed, encoded, error_message
from telecommands.dashboard.points.catalogue import PointCatalogue
from telecommands.dashboard.products import ReceivedProducts
from telecommands.dashboard.reception import Reception
from telecommands.dashboard.schedule_watch import ScheduleWatch
from telecommands.dashboard.stages import StageLog
from telecommands.dashboard.web.access import PageAccess
from telecommands.dashboard.web.app import Bridge, application
from telecommands.dictionary import PACKETS
from telecommands.ground.errors import GroundError, UsageError
from telecommands.ground.station import Station

PAGE: Final = Path(__file__).parent / "page"

_READERS: Final = 4
_JOIN_S: Final = 5.0
_MOST_SOCKETS: Final = 200
_MOST_MESSAGE_BYTES: Final = 128 * 1024
_IN_CHECKOUT: Final = Path("node_modules", "openmct", "dist")


class DashboardSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings.  Port 0: any free port; without ``received`` there are no products.

    With ``fetch`` the bridge receives them; otherwise another process fills the folder.
    ``operator`` is the key that signs telecommands; without it pages are read-only.
    """

    archive: Path
    openmct: Path
    port: int
    received: Path | None = None
    fetch: bool = False
    operator: TelecommandKey | None = None
    page: Path = PAGE


class Dashboard:
    """Owns all parts.  A context manager; ``serve`` blocks until :meth:`stop`.

    ``station`` is called whenever a link is opened, and may raise a
    :class:`~telecommands.ground.errors.GroundError`: the page shows it, and the call is repeated.
    Raises :class:`UsageError` for a port in use and
    :class:`~telecommands.ground.errors.ArchiveError`.
    """

    def __init__(self, settings: DashboardSettings, station: Callable[[], Station]) -> None:
        self._stop = threading.Event()
        self._fault: BaseException | None = None
        self._parts = ExitStack()
        with ExitStack() as opened:
            self._socket = opened.enter_context(_bound(settings.port))
            self.port: int = self._socket.getsockname()[1]
            catalogue, hub = PointCatalogue(), Hub()
            archive = opened.enter_context(Archive(settings.archive, catalogue))
            self._readers = ReaderPool(settings.archive, _READERS)
            opened.callback(self._readers.close)
            self._archive, self._operator = archive, settings.operator
            key_id = settings.operator.key_id if settings.operator else None
            stages = StageLog(lambda datum: _publish_stage(hub, datum), key_id)
            commanding = Commanding(station, stages, archive.write_sent)
            watch = ScheduleWatch(commanding.submit if settings.operator else None)
            self._feed = TelemetryFeed(
                station, archive, catalogue, hub, stages.take, watch.saw, _dropped(self._readers)
            )
            products = ReceivedProducts(settings.received)
            runs: dict[str, Callable[[threading.Event], None]] = {"telemetry": self._feed.run}
            if settings.operator is not None:
                runs["commanding"] = commanding.run
            if settings.received is not None:
                runs["products"] = products.run
                if settings.fetch:
                    runs["reception"] = Reception(
                        station, settings.received, lambda error: _publish_error(hub, error)
                    ).run
            bridge = Bridge(
                catalogue=catalogue,
                hub=hub,
                readers=self._readers,
                link=lambda: self._feed.state,
                stages=stages,
                products=products,
                commanding=commanding,
                archive=archive,
                access=PageAccess(settings.operator, archive.bridge, self.port),
                port=self.port,
                page=settings.page,
                openmct=settings.openmct,
            )
            self._server = _Server(_config(bridge))
            self._threads = [
                threading.Thread(
                    target=self._run, args=(run,), name=f"dashboard-{name}", daemon=True
                )
                for name, run in runs.items()
            ]
            self._parts = opened.pop_all()

    def token(self, now_s: float) -> PageToken | None:
        """A new token for pages, from ``now_s`` (UTC seconds); None without an operator's key."""
        if self._operator is None:
            return None
        return token_of(self._operator, self._archive.bridge, self.port, int(now_s) + LIFETIME_S)

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
        self._readers.interrupt()
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
    cure = "Run npm ci in the checkout, or give the package's dist folder with --openmct"
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


@contextmanager
def _bound(port: int) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen()  # early clients wait until the server is ready
        except OSError as error:
            cause = f"cannot be opened ({(error.strerror or str(error)).lower()})"
            cure = "Stop the process that listens there, or give another --port (0: any free port)"
            raise UsageError(f"{HOST}:{port}", cause, cure) from error
        yield listener


def _dropped(readers: ReaderPool) -> dict[str, int]:
    """Missing packets by topic, as the archive counts them."""
    with readers.borrowed() as reader:
        counts = {topic: [one.value for one in reader.dropped(topic)] for topic in PACKETS}
    return {topic: values[-1] for topic, values in counts.items() if values}


def _publish_stage(hub: Hub, datum: dict[str, Any]) -> None:
    if hub.wants("ver"):
        hub.publish("ver", encoded({"key": "ver", "datum": datum}))


def _publish_error(hub: Hub, error: GroundError) -> None:
    hub.publish_all([error_message(error.code, error.sentence, error.cure)])
