"""Documents over http, from a server on the loopback."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from flightsw.host import web


class _Handler(BaseHTTPRequestHandler):
    go_on: ClassVar[threading.Event] = threading.Event()

    def do_GET(self) -> None:
        kind, _, target = self.path.strip("/").partition("/")
        if kind == "moved":
            self.send_response(302)
            self.send_header("Location", {"file": "file:///etc/passwd"}.get(target, f"/{target}"))
            self.end_headers()
        elif kind == "absent":
            self.send_error(404)
        elif kind == "silent":
            self.go_on.wait(60)
        else:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"x" * int(kind))

    def log_message(self, *_: object) -> None:
        """Write nothing."""


@contextmanager
def _serving() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            _Handler.go_on.set()
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with _serving() as address:
        yield address


def test_a_document_comes_with_the_address_that_it_was_moved_to(server: str) -> None:
    assert web.fetch(f"{server}/moved/70000", 70_000) == (b"x" * 70_000, f"{server}/70000")


@pytest.mark.parametrize(
    ("path", "cause"),
    [
        ("/70001", "larger than 70000 bytes"),
        ("/absent", "HTTP 404"),
        ("/moved/file", "not allowed"),
        ("/silent", "timed out"),
    ],
)
def test_what_is_not_a_document_within_bounds_is_an_error(
    server: str, monkeypatch: pytest.MonkeyPatch, path: str, cause: str
) -> None:
    monkeypatch.setattr(web, "_SILENCE_SECONDS", 0.5 if path == "/silent" else 30)
    with pytest.raises(OSError, match=cause):
        web.fetch(f"{server}{path}", 70_000)


def test_a_document_that_drips_ends_at_the_deadline(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "_SECONDS", -1)
    with pytest.raises(OSError, match="took longer"):
        web.fetch(f"{server}/5", 70_000)


@pytest.mark.parametrize("address", ["ftp://127.0.0.1/a", "file:///etc/passwd", "http://[bad"])
def test_only_http_is_spoken(address: str) -> None:
    with pytest.raises(OSError, match=r"^unknown url type|^not understood"):
        web.fetch(address, 100)


def test_an_address_where_nothing_listens_is_an_error() -> None:
    with _serving() as address:
        pass
    with pytest.raises(OSError, match="refused"):
        web.fetch(address, 100)
