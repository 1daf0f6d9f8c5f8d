"""A dashboard served by a thread, and a client in place of the browser."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from typing_extensions import Self
from websockets.sync.client import ClientConnection, connect

from telecommands.dashboard.address import PageToken, signature_of
from telecommands.dashboard.bridge import Dashboard, DashboardSettings
from telecommands.dashboard.unit_settings import UnitSettings
from telecommands.dashboard.web.access import TOKEN_HEADER

DEADLINE_S = 60.0


class Answer:
    """Status, headers and body of a response."""

    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Requests to a dashboard; it commands with the operator's key."""

    def __init__(self, port: int, token: PageToken | None) -> None:
        self.port = port
        self.token = token
        self.base = f"http://127.0.0.1:{port}"

    def ask(
        self, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        request = urllib.request.Request(self.base + path, data=body, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE_S) as response:
                return Answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())

    def get(self, path: str) -> Any:
        answer = self.ask(path)
        assert answer.status == 200, answer.body
        return answer.json

    def signed(
        self, path: str, body: bytes | None = None, token: PageToken | None = None
    ) -> dict[str, str]:
        """The header of a request that is signed with ``token``, else with the client's."""
        token = token or self.token
        if token is None:
            return {}
        run = self.get(f"{path[: path.index('/api/')]}/api/status")["run"]
        method = "GET" if body is None else "POST"
        shown = f"{token.expires}.{signature_of(token, run, method, path, body or b'')}"
        return {TOKEN_HEADER: shown}

    def post(self, path: str, content: Any) -> Answer:
        """A signed request."""
        body = json.dumps(content).encode()
        return self.ask(path, body, self.signed(path, body))

    def command(self, name: str, **args: Any) -> Answer:
        return self.post("/api/telecommands", {"name": name, "args": args})

    def closed(self, telecommand: str) -> list[dict[str, Any]]:
        """Stages of a telecommand once it is closed."""
        ends = {"COMPLETED", "FAILED", "REJECTED", "CANCELLED", "TIMED_OUT", "NO_ANSWER"}

        def last() -> Any:
            stages = self.get(f"/api/telecommands/{telecommand}")
            return stages if stages and stages[-1]["stage"] in ends else None

        found: list[dict[str, Any]] = until(last)
        return found

    @contextmanager
    def realtime(self, *keys: str) -> Iterator[Realtime]:
        with connect(
            f"ws://127.0.0.1:{self.port}/api/realtime",
            additional_headers={"Origin": self.base},
            compression=None,
        ) as socket:
            page = Realtime(socket)
            if keys:
                page.send({"subscribe": keys})
            yield page


class Realtime:
    """A page's socket."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self._come: deque[dict[str, Any]] = deque()

    def send(self, message: Any) -> Self:
        self.socket.send(message if isinstance(message, str) else json.dumps(message))
        return self

    def first(self, wanted: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """The first message that matches."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            while not self._come:
                left = max(0.0, deadline - time.monotonic())
                self._come.extend(json.loads(self.socket.recv(timeout=left)))
            message = self._come.popleft()
            if wanted(message):
                return message

    def datum(self, key: str) -> dict[str, Any]:
        datum: dict[str, Any] = self.first(lambda message: message.get("key") == key)["datum"]
        return datum


@contextmanager
def running(settings: DashboardSettings, *units: UnitSettings) -> Iterator[Client]:
    """Serves until the end of the block, and then checks that no thread is left."""
    before = set(threading.enumerate())
    with Dashboard(settings, *units) as dashboard:
        thread = threading.Thread(target=dashboard.serve, name="serving")
        thread.start()
        try:
            client = Client(dashboard.port, dashboard.token(time.time()))
            until(lambda: answers(client))
            yield client
        finally:
            dashboard.stop()
            thread.join(DEADLINE_S)
    left = {one.name for one in set(threading.enumerate()) - before if "AnyIO" not in one.name}
    assert not left, left


def page_and_library(folder: Path) -> dict[str, Path]:
    """Stand-in folders for the page and for Open MCT."""
    page, openmct = folder / "page", folder / "openmct"
    for place, name in ((page, "index.html"), (openmct, "openmct.js")):
        place.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(f"this is {name}")
    return {"page": page, "openmct": openmct}


def until(found: Callable[[], Any]) -> Any:
    """Wait until ``found`` returns a true value, and return it."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        value = found()
        if value:
            return value
        assert time.monotonic() < deadline, "the condition was not met in time"
        threading.Event().wait(0.02)


def answers(client: Client) -> bool:
    """Whether the dashboard is up."""
    try:
        return client.ask("/api/units").status == 200
    except OSError:
        return False
