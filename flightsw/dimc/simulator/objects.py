"""Ownership in the runtime: releasing an object releases everything that was made from it."""

from __future__ import annotations

from typing_extensions import Self

from flightsw.dimc.errors import InvalidArgument


class Object:
    """Base of all runtime objects.

    ``release`` may be called again; any other use after it raises
    :class:`~flightsw.dimc.errors.InvalidArgument`.  As a context manager an
    object releases itself.
    """

    def __init__(self, parent: Object | None) -> None:
        self._parent = parent
        self._root: Object = self if parent is None else parent._root
        self._children: list[Object] = []
        self._released = False
        if parent is not None:
            parent._children.append(self)

    @property
    def context(self) -> Object:
        """The context that owns this object: the root of its tree."""
        return self._root

    def release(self) -> None:
        """Release the children, newest first, then the object itself."""
        if self._released:
            return
        self._released = True
        for child in reversed(self._children.copy()):
            child.release()
        if self._parent is not None:
            self._parent._children.remove(self)
        self._give_back()

    def _give_back(self) -> None:
        """Return the parts of the device that the object holds."""

    def _require_alive(self) -> None:
        if self._released:
            raise InvalidArgument(f"{type(self).__name__} was released")

    def __enter__(self) -> Self:
        self._require_alive()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
