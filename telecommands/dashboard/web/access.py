"""Access control: only this bridge's pages, on this machine; commanding only with the token."""

from __future__ import annotations

import hmac
import re
import secrets
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from telecommands.auth import TelecommandKey
from telecommands.dashboard.address import HOST, TokenIssuer, address_of, signature_of
from telecommands.dashboard.web.responses import refusal

TOKEN_HEADER: Final = "X-Flightsw-Token"  # noqa: S105 - the header's name

_NAMES: Final = (HOST, "localhost", "[::1]")
_OPEN: Final = "Open the address that groundsim dashboard --address prints"
_SHOWN: Final = re.compile(r"(\d{1,12})\.([0-9a-f]{64})", re.ASCII)


class Obstacle(NamedTuple):
    """Why a page may not command, and the cure."""

    code: str
    cause: str
    cure: str


class PageAccess:
    """Judges requests by their signature.  ``run`` is drawn at each start, and is not a secret.

    ``clock`` gives UTC seconds.
    """

    def __init__(self, issuer: TokenIssuer, clock: Callable[[], float] = time.time) -> None:
        self.run = secrets.token_hex(16)
        self._issuer = issuer
        self._clock = clock

    def obstacle(
        self, request: Request, operator: TelecommandKey | None, body: bytes = b""
    ) -> Obstacle | None:
        """Why the sender may not command the unit with this operator's key; None if it may."""
        if operator is None:
            cure = "Start it with --as and a name that has one (groundsim keys generate)"
            return Obstacle(
                "LISTEN_ONLY", "The bridge has no telecommand key and is read-only", cure
            )
        shown = request.headers.get(TOKEN_HEADER)
        if shown is None:
            return Obstacle("NO_TOKEN", "This page has no token, so it is read-only", _OPEN)
        found = _SHOWN.fullmatch(shown)
        expires = int(found[1]) if found else 0
        token = self._issuer.token(expires)
        assert token is not None  # the operator's key is one of the issuer's
        right = signature_of(token, self.run, request.method, request.url.path, body)
        if found is None or not hmac.compare_digest(found[2], right):
            cause = "This page's token does not belong to this bridge and the operator's key"
            return Obstacle("WRONG_TOKEN", cause, _OPEN)
        if expires <= self._clock():
            return Obstacle("TOKEN_EXPIRED", "This page's token has expired", _OPEN)
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


class PageHeaders:
    """ASGI wrapper that adds the headers with which a browser confines the page.

    Open MCT compiles its templates in the browser (``unsafe-eval``), and styles its elements.
    """

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        # A policy cannot name [::1].
        sockets = " ".join(f"ws://{name}:{port}" for name in (HOST, "localhost"))
        self._headers: Final = {
            "Content-Security-Policy": "; ".join(
                [
                    "default-src 'none'",
                    "script-src 'self' 'unsafe-eval'",
                    "style-src 'self' 'unsafe-inline'",
                    "img-src 'self' data: blob:",
                    "font-src 'self' data:",
                    "worker-src 'self' blob:",
                    f"connect-src 'self' {sockets}",
                    "base-uri 'none'",
                    "form-action 'none'",
                    "frame-ancestors 'none'",
                ]
            ),
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request or socket."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)
