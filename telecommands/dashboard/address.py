"""The address of the page, and the token in it that only who holds the operator's key can make."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from telecommands.auth import TelecommandKey

HOST: Final = "127.0.0.1"
PORT: Final = 8090

_LABEL: Final = b"flightsw dashboard token"


def address_of(port: int, operator: TelecommandKey | None) -> str:
    """What to open in a browser.  The token is its fragment, which no browser sends anywhere."""
    fragment = "" if operator is None else f"#token={token_of(operator)}"
    return f"http://{HOST}:{port}/{fragment}"


def token_of(key: TelecommandKey) -> str:
    """What a page shows to command with this key: HMAC-SHA256 of a fixed label, 64 hex digits.

    It holds as long as the key does, and does not give it away.  It authenticates no telecommand:
    what is signed there begins with the interface's version (:func:`telecommands.auth.mac`).
    """
    return hmac.new(key.secret, _LABEL, hashlib.sha256).hexdigest()
