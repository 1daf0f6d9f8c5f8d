"""The address of the page, with a token that only a holder of the operator's key can compute.

The token is a secret that the page never sends: it signs its requests with it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final, NamedTuple

from telecommands.auth import TelecommandKey

HOST: Final = "127.0.0.1"
PORT: Final = 8090

LIFETIME_S: Final = 12 * 3600
"""A token expires after this time: a shift."""

_LABEL: Final = "flightsw dashboard token"


class PageToken(NamedTuple):
    """A secret of 64 hex digits, and when it expires (UTC seconds)."""

    expires: int
    secret: str

    @property
    def text(self) -> str:
        """As the page's address has it."""
        return f"{self.expires}.{self.secret}"


def token_of(key: TelecommandKey, bridge: str, port: int, expires: int) -> PageToken:
    """A page's token for commanding with this key by this bridge at this port.

    ``bridge`` is the id in the bridge's archive: another process at the port has another id.
    HMAC-SHA256 under the key, which it does not reveal.  It cannot authenticate a telecommand:
    signed telecommands begin with the interface's version (:func:`telecommands.auth.mac`).
    """
    text = f"{_LABEL}\n{bridge}\n{port}\n{expires}"
    return PageToken(expires, hmac.new(key.secret, text.encode(), hashlib.sha256).hexdigest())


class TokenIssuer(NamedTuple):
    """Makes the tokens of a bridge: ``keys`` are the operator's, one of each unit that has one.

    ``bridge`` is the bridge's id; with several units, the ids in all archives.
    """

    keys: tuple[TelecommandKey, ...]
    bridge: str
    port: int

    def token(self, expires: int) -> PageToken | None:
        """Only a holder of all keys can compute it; None without a key."""
        token = None
        for key in self.keys:
            token = token_of(key, token.secret if token else self.bridge, self.port, expires)
        return token


def issuer_of(units: Sequence[tuple[TelecommandKey | None, str]], port: int) -> TokenIssuer:
    """The issuer for these units: of each, the operator's key and the id in its archive."""
    keys = tuple(key for key, _ in units if key is not None)
    return TokenIssuer(keys, ",".join(bridge for _, bridge in units), port)


def signature_of(token: PageToken, run: str, method: str, path: str, body: bytes = b"") -> str:
    """What the page shows with a request, in hex: HMAC-SHA256 under the token's secret.

    ``run`` is drawn at each start of the bridge, so that no earlier request is accepted again.
    """
    text = f"{run}\n{method}\n{path}\n".encode() + body
    return hmac.new(bytes.fromhex(token.secret), text, hashlib.sha256).hexdigest()


def address_of(port: int, token: PageToken | None) -> str:
    """The address for a browser.  The token is in the fragment, which browsers do not send."""
    fragment = "" if token is None else f"#token={token.text}"
    return f"http://{HOST}:{port}/{fragment}"
