"""Who may ask: pages of this bridge itself, on this machine."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from telecommands.dashboard.responses import refusal

TOKEN_HEADER: Final = "X-Flightsw-Token"  # noqa: S105 - the header's name
_NAMES: Final = ("127.0.0.1", "localhost", "[::1]")


def is_own(headers: Headers, port: int) -> bool:
    """Whether Host is a loopback name with this port, and Origin (where there is one) too.

    A page of another origin, or one that a forged name server led here, is kept out by it.
    """
    hosts = [f"{name}:{port}" for name in _NAMES]
    origins = headers.getlist("origin")
    return (
        headers.getlist("host") in [[host] for host in hosts]
        and len(origins) <= 1
        and all(origin in [f"http://{host}" for host in hosts] for origin in origins)
    )


class OwnPagesOnly:
    """ASGI middleware: refuses foreign hosts and origins, and adds headers that browsers heed."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self._port = port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or socket."""
        if scope["type"] == "lifespan" or is_own(Headers(scope=scope), self._port):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": "foreign origin"})
        else:
            cause = "Host or Origin is not this bridge's own"
            cure = f"Open http://127.0.0.1:{self._port}/"
            await refusal(403, "FOREIGN_ORIGIN", cause, cure)(scope, receive, send)
