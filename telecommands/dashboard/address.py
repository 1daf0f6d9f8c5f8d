"""The address of the page, with a token that only a holder of the operator's key can compute."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from telecommands.auth import TelecommandKey

HOST: Final = "127.0.0.1"
PORT: Final = 8090

_LABEL: Final = b"flightsw dashboard token"


def address_of(port: int, operator: TelecommandKey | None) -> str:
    """The address for a browser.  The token is in the fragment, which browsers do not send."""
    fragment = "" if operator is None else f"#token={token_of(operator)}"
    return f"http://{HOST}:{port}/{fragment}"


def token_of(key: TelecommandKey) -> str:
    """A page's token for commanding with this key: HMAC-SHA256 of a fixed label, 64 hex digits.

    It is valid as long as the key, and does not reveal it.  It cannot authenticate a telecommand:
    signed telecommands begin with the interface's version (:func:`telecommands.auth.mac`).
    """
    return hmac.new(key.secret, _LABEL, hashlib.sha256).hexdigest()
