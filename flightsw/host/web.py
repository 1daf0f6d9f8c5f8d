"""A document from the network, within bounds of size and time."""

from __future__ import annotations

import time
from http.client import HTTPException
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

from flightsw import __version__

_SECONDS: Final = 30.0
_SILENCE_SECONDS: Final = 10.0
_CHUNK: Final = 1 << 16


def fetch(url: str, limit: int) -> tuple[bytes, str]:
    """The content of an address of http or https, and the address that redirections led to.

    Raises :class:`OSError` with the reason: no answer, an answer other than success, more than
    ``limit`` bytes, 10 s of silence, or 30 s in all.
    """
    until = time.monotonic() + _SECONDS
    content = bytearray()
    try:
        request = Request(url, headers={"User-Agent": f"flightsw/{__version__}"})  # noqa: S310
        with _opener().open(request, timeout=_SILENCE_SECONDS) as answer:
            while chunk := answer.read1(_CHUNK):
                content += chunk
                if len(content) > limit:
                    raise OSError(f"larger than {limit} bytes")
                if time.monotonic() > until:
                    raise OSError(f"took longer than {_SECONDS:g} s")
            return bytes(content), answer.url
    except HTTPError as error:
        error.close()
        raise OSError(f"HTTP {error.code} {error.reason}") from error
    except URLError as error:
        raise OSError(str(error.reason)) from error
    except (HTTPException, ValueError) as error:
        raise OSError(f"not understood: {error}") from error


def _opener() -> OpenerDirector:
    """Knows http and https alone, so that no redirection leads to a file or elsewhere."""
    opener = OpenerDirector()
    for handler in (
        ProxyHandler(),
        UnknownHandler(),
        HTTPHandler(),
        HTTPSHandler(),
        HTTPDefaultErrorHandler(),
        HTTPRedirectHandler(),
        HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener
