"""A telecommand or downlink request that is not carried out, and why."""

from __future__ import annotations

from typing import Any

from telecommands.dictionary import Code


class Refusal(Exception):  # noqa: N818 - an answer, not a fault
    """Carries the code of the interface, the cause and the cure, as they go to the sender."""

    def __init__(self, code: Code, cause: str, cure: str = "", **data: Any) -> None:
        self.code = code
        self.cause = cause
        self.cure = cure
        self.data = data
        super().__init__(f"{code.value}: {cause}" + (f". {cure}" if cure else ""))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle all parts: an exception alone would be rebuilt from its message."""
        return _rebuilt, (self.code, self.cause, self.cure, self.data)


def _rebuilt(code: Code, cause: str, cure: str, data: dict[str, Any]) -> Refusal:
    return Refusal(code, cause, cure, **data)
