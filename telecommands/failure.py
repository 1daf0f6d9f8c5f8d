"""Base of the errors of both sides."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import msgspec

UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not of a type: text that is not UTF-8 and nesting that is
too deep have errors of their own."""


def reason_of(error: BaseException) -> str:
    """Why something failed, for a sentence that names the file already.

    The text of an :class:`OSError` has the system's number and the path in it.
    """
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error)


class Failure(Exception):  # noqa: N818 - subclasses are named for what failed
    """A failure with a code, the thing it is about, its cause and its cure.

    ``cause`` is the predicate of a sentence whose subject is ``subject`` ("does not exist");
    ``cure`` is an imperative sentence without its full stop.  ``fields`` holds further JSON-able
    facts (band, file, expected, found).
    """

    code: ClassVar[str]
    exit_status: ClassVar[int] = 1

    def __init__(self, subject: object, cause: str, cure: str = "", **fields: Any) -> None:
        self.subject = str(subject)
        self.cause = cause
        self.cure = cure
        self.fields = fields
        super().__init__(self.subject, cause, cure)  # what it is pickled by

    def __str__(self) -> str:
        return f"{self.sentence}. {self.cure}" if self.cure else self.sentence

    @property
    def sentence(self) -> str:
        """What failed and why, in one sentence without its full stop."""
        return f"{self.subject} {self.cause}"

    def as_record(self) -> dict[str, Any]:
        """The error as JSON-able fields: code, subject, cause, cure and the rest."""
        return {
            "code": self.code,
            "subject": self.subject,
            "cause": self.cause,
            "cure": self.cure,
            **self.fields,
        }
