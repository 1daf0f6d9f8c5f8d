"""``groundsim metrics``: telemetry for Prometheus, and the health of the service over HTTP."""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import msgspec

from telecommands.command_line import address
from telecommands.ground.errors import LinkError, UsageError
from telecommands.ground.station import add_station_options, station_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from telecommands.groundsim.metrics import Snapshot

_TICK_S: Final = 0.5
_REQUEST_S: Final = 10.0  # after which a silent client is disconnected
_EPILOG: Final = (
    "GET /metrics is for Prometheus.  GET /health answers 200 while housekeeping arrives, and GET "
    "/ready while the service is OPERATIONAL; otherwise 503, both with a JSON object.  "
    "docs/monitoring.md has alert rules."
)


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "metrics",
        help="serve telemetry to Prometheus, and a health address",
        description="Serve telemetry over HTTP: metrics for Prometheus, and health.",
        epilog=_EPILOG,
    )
    parser.set_defaults(command=_run)
    parser.add_argument(
        "--listen",
        type=address,
        default="127.0.0.1:9464",
        metavar="ADDRESS:PORT",
        help="where to serve; port 0: any free port (%(default)s)",
    )
    add_station_options(parser)


def _run(arguments: argparse.Namespace) -> int:
    try:
        # An extra, so loaded only if the command is used.
        from prometheus_client import CollectorRegistry, make_wsgi_app  # noqa: PLC0415

        from telecommands.groundsim.metrics import Reception, TelemetryCollector  # noqa: PLC0415
    except ImportError as error:
        cure = "Install the extra: pip install 'flightsw[ground]'"
        raise UsageError("groundsim metrics", "needs prometheus_client", cure) from error
    collector, registry = TelemetryCollector(), CollectorRegistry()
    registry.register(collector)
    reception = Reception()
    pages = _Pages(make_wsgi_app(registry), lambda: collector.snapshot)
    station = station_of(arguments)
    with (
        station.telemetry(monitored=True) as client,
        _serving(arguments.listen, pages) as address,
    ):
        print(f"http://{address}/metrics", flush=True)
        try:
            while True:
                for topic, packet, record in client.packets(_TICK_S):
                    reception.take(topic, packet, record, time.monotonic())
                collector.snapshot = reception.snapshot(client.lost, time.monotonic())
        except KeyboardInterrupt:  # the usual way to end it
            return 0


class _Pages:
    """Which answer belongs to which path."""

    def __init__(self, metrics: WSGIApplication, snapshot: Callable[[], Snapshot]) -> None:
        self._metrics = metrics
        self._snapshot = snapshot

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        path, now = environ.get("PATH_INFO", ""), self._snapshot()
        if path == "/metrics":
            return self._metrics(environ, start)
        if path not in ("/health", "/ready"):
            return _answer(start, "404 Not Found", {"pages": ["/metrics", "/health", "/ready"]})
        good = now.is_ready if path == "/ready" else not now.is_stale
        return _answer(start, "200 OK" if good else "503 Service Unavailable", now.health())


def _answer(start: StartResponse, status: str, body: dict[str, Any]) -> Iterable[bytes]:
    start(status, [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
    return [msgspec.json.encode(body)]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    timeout = _REQUEST_S

    def log_message(self, format: str, *_: Any) -> None:  # noqa: A002 - the library's name
        """Prometheus asks every few seconds: nothing to read there."""


@contextmanager
def _serving(address: tuple[str, int], pages: WSGIApplication) -> Iterator[str]:
    try:
        server = _Server(address, _Handler)
    except OSError as error:
        host, port = address
        cause = f"cannot be listened on ({error.strerror})"
        raise LinkError(f"{host}:{port}", cause, "Choose another address with --listen") from error
    server.set_app(pages)
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield f"{address[0]}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(_REQUEST_S)
