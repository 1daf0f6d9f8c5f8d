"""The HTTP addresses of ``groundsim metrics``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import msgspec

from telecommands.ground.errors import LinkError
from telecommands.groundsim.metrics import Snapshot

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_REQUEST_S: Final = 10.0  # after which a silent client is disconnected


class Pages:
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


@contextmanager
def serving(address: tuple[str, int], pages: WSGIApplication) -> Iterator[str]:
    """Serve the pages on a thread; the address, with the port that was free if 0 was asked for.

    Raises :class:`LinkError` for an address that cannot be used.
    """
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


def _answer(start: StartResponse, status: str, body: dict[str, Any]) -> Iterable[bytes]:
    start(status, [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
    return [msgspec.json.encode(body)]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    timeout = _REQUEST_S

    def log_message(self, format: str, *_: Any) -> None:  # noqa: A002 - the library's name
        """Prometheus asks every few seconds: nothing to read there."""
