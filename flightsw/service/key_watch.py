"""Keys that are authorised or revoked while the service runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flightsw.errors import LinkError
from flightsw.keys import KeyFolder
from telecommands.auth import TelecommandKey


class KeyWatch:
    """The telecommand keys that are valid now; polled by one thread, read by any.

    ``read_curve_keys`` makes the links read the authorised CURVE keys again; ``refused`` is called
    with the error if a key file cannot be used, and the previous keys stay valid.  Raises
    :class:`LinkError` if the first reading finds such a file.
    """

    def __init__(
        self,
        folder: KeyFolder,
        read_curve_keys: Callable[[], None],
        refused: Callable[[LinkError], None],
    ) -> None:
        self._folder = folder
        self._read_curve_keys = read_curve_keys
        self._refused = refused
        self._seen = self._changed_at()
        self._keys: Mapping[str, TelecommandKey] = folder.telecommand_keys()

    @property
    def telecommand_keys(self) -> Mapping[str, TelecommandKey]:
        """By key id."""
        return self._keys

    def poll(self) -> None:
        """Read the folders again if a file was added or removed."""
        seen = self._changed_at()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._keys = self._folder.telecommand_keys()
            self._read_curve_keys()
        except LinkError as error:
            self._refused(error)

    def _changed_at(self) -> tuple[int, ...]:
        folders = self._folder.client_folders
        return tuple(folder.stat().st_mtime_ns if folder.is_dir() else 0 for folder in folders)
