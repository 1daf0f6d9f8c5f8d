"""Access control: only this bridge's pages, on this machine; commanding only with the token."""

from __future__ import annotations

import hmac
from typing import Final, NamedTuple

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from telecommands.auth import TelecommandKey
from telecommands.dashboard.address import HOST, address_of, token_of
from telecommands.dashboard.web.responses import refusal

TOKEN_HEADER: Final = "X-Flightsw-Token"  # noqa: S105 - the header's name

_NAMES: Final = (HOST, "localhost", "[::1]")
_OPEN: Final = "Open the address that groundsim dashboard --address prints"


class Obstacle(NamedTuple):
    """Why a page may not command, and the cure."""

    code: str
    cause: str
    cure: str


def obstacle(headers: Headers, operator: TelecommandKey | None) -> Obstacle | None:
    """Why the sender of these headers may not command; None if it may."""
    if operator is None:
        cure = "Start it with --as and a name that has one (groundsim keys generate)"
        return Obstacle("LISTEN_ONLY", "The bridge has no telecommand key and is read-only", cure)
    token = headers.get(TOKEN_HEADER)
    if token is None:
        return Obstacle("NO_TOKEN", "This page has no token, so it is read-only", _OPEN)
    if not hmac.compare_digest(token.encode(), token_of(operator).encode()):
        cause = "This page's token does not belong to the operator's key"
        return Obstacle("WRONG_TOKEN", cause, _OPEN)
    return None


def is_own(headers: Headers, port: int) -> bool:
    """Whether Host is a loopback name with this port, and Origin (if present) too.

    This keeps out pages of another origin, and DNS rebinding.
    """
    hosts = [f"{name}:{port}" for name in _NAMES]
    origins = headers.getlist("origin")
    return (
        headers.getlist("host") in [[host] for host in hosts]
        and len(origins) <= 1
        and all(origin in [f"http://{host}" for host in hosts] for origin in origins)
    )


class OwnPagesOnly:
    """ASGI middleware that refuses foreign hosts and origins."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self._port = port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request or socket."""
        if scope["type"] == "lifespan" or is_own(Headers(scope=scope), self._port):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": "foreign origin"})
        else:
            cause = "The Host or Origin header is not this bridge's"
            cure = f"Open {address_of(self._port, None)}"
            await refusal(403, "FOREIGN_ORIGIN", cause, cure)(scope, receive, send)
