"""What every error of either side says."""

from __future__ import annotations

from typing import Any, ClassVar


class Failure(Exception):  # noqa: N818 - its kinds are named for what failed
    """A failure with a code, the thing it is about, its cause and its cure.

    ``fields`` holds further JSON-able facts (band, file, expected, found).
    """

    code: ClassVar[str]
    exit_status: ClassVar[int] = 1

    def __init__(self, subject: object, cause: str, cure: str = "", **fields: Any) -> None:
        self.subject = str(subject)
        self.cause = cause
        self.cure = cure
        self.fields = fields
        super().__init__(": ".join((self.subject, cause)) + (f". {cure}" if cure else ""))

    def as_record(self) -> dict[str, Any]:
        """The error as JSON-able fields: code, subject, cause, cure and the rest."""
        return {
            "code": self.code,
            "subject": self.subject,
            "cause": self.cause,
            "cure": self.cure,
            **self.fields,
        }
