"""Objects that a ``with`` statement closes."""

from __future__ import annotations

from abc import ABC, abstractmethod

from typing_extensions import Self


class Closable(ABC):
    """A context manager that closes itself at the end."""

    @abstractmethod
    def close(self) -> None:
        """Close what it holds."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
