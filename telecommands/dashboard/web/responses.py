"""JSON for the page, and every error as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from telecommands.ground.errors import (
    ArchiveError,
    GroundError,
    LinkError,
    LogConflict,
    LogFull,
    NotConfirmed,
    UsageError,
)


def json_response(content: Any, status: int = 200) -> Response:
    """A response with anything that msgspec encodes."""
    return Response(
        msgspec.json.encode(content),
        status_code=status,
        media_type="application/json",
        headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"},
    )


def refusal(status: int, code: str, cause: str, cure: str = "") -> Response:
    """An error in the form that the page reads."""
    error = {"code": code, "cause": cause, "cure": cure}
    return JSONResponse({"error": error}, status_code=status, headers={"Cache-Control": "no-store"})


_STATUSES: Final[Mapping[type[GroundError], int]] = {
    NotConfirmed: 409,
    LogConflict: 409,
    LogFull: 507,
    UsageError: 400,
    ArchiveError: 503,
    LinkError: 503,
}


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return refusal(error.status_code, f"HTTP_{error.status_code}", error.detail)


async def _ground_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, GroundError)
    status = next((code for kind, code in _STATUSES.items() if isinstance(error, kind)), 500)
    return refusal(status, error.code, error.sentence, error.cure)


async def _fault(_request: Request, _error: Exception) -> Response:
    return refusal(500, "INTERNAL", "Internal error of the bridge; see its terminal")


ERRORS: Final[Mapping[Any, Any]] = {
    HTTPException: _http_error,
    GroundError: _ground_error,
    Exception: _fault,
}
"""Starlette's exception handlers."""
