"""The rejection of a telecommand or downlink request."""

from __future__ import annotations

from typing import Any

from telecommands.dictionary import Code


class Refusal(Exception):  # noqa: N818 - an answer, not a fault
    """Code of the interface, cause and cure, as sent to the sender.

    ``cause`` is a clause without full stop; ``cure`` is an imperative sentence without it.
    ``data`` becomes the ``data`` of the verification.
    """

    def __init__(self, code: Code, cause: str, cure: str = "", **data: Any) -> None:
        self.code = code
        self.cause = cause
        self.cure = cure
        self.data = data
        super().__init__(code, cause, cure)  # what it is pickled by

    def __str__(self) -> str:
        return f"{self.code.value}: {self.cause}" + (f". {self.cure}" if self.cure else "")
