"""Who may ask: pages of this bridge itself, on this machine; and who of them may command."""

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
    """Why a page may not command, and what helps."""

    code: str
    cause: str
    cure: str


def obstacle(headers: Headers, operator: TelecommandKey | None) -> Obstacle | None:
    """Why whoever sent these headers may not command; None where he may."""
    if operator is None:
        cure = "Start it as an operator who holds one (groundsim keys generate, --as)"
        return Obstacle("LISTEN_ONLY", "The bridge has no telecommand key, it only looks", cure)
    token = headers.get(TOKEN_HEADER)
    if token is None:
        return Obstacle("NO_TOKEN", "This page holds no token of the operator's", _OPEN)
    if not hmac.compare_digest(token.encode(), token_of(operator).encode()):
        cause = "The token does not belong to the operator's key, or not any more"
        return Obstacle("WRONG_TOKEN", cause, _OPEN)
    return None


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
    """ASGI middleware: refuses foreign hosts and origins."""

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
            cure = f"Open {address_of(self._port, None)}"
            await refusal(403, "FOREIGN_ORIGIN", cause, cure)(scope, receive, send)
