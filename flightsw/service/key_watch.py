"""Keys that are authorised or revoked while the service runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flightsw.errors import LinkError
from flightsw.keys import ClientKeys, KeyFolder
from telecommands.auth import TelecommandKey


class KeyWatch:
    """The keys that are valid now; polled by one thread, read by any.

    Each file counts by itself: ``refused`` is called with the error of each one that cannot be
    used, once for each change of the files, and the others count.  A folder that cannot be read
    lets nobody in.  ``revoked`` is called if a public key no longer counts: links that its client
    holds open must be closed.
    """

    def __init__(
        self,
        folder: KeyFolder,
        refused: Callable[[LinkError], None],
        revoked: Callable[[], None],
    ) -> None:
        self._folder = folder
        self._refused = refused
        self._revoked = revoked
        self._seen = self._files()
        self._clients = self._read()
        self._unreported = self._clients.refused

    @property
    def telecommand_keys(self) -> Mapping[str, TelecommandKey]:
        """By key id."""
        return self._clients.telecommand

    def lets_in(self, public: bytes) -> bool:
        """Whether the client with this public CURVE key (Z85) may open a link."""
        return public in self._clients.public.values()

    def poll(self) -> None:
        """Read the files again if one was added, removed or changed in any way."""
        seen = self._files()
        if seen != self._seen:
            self._seen, before = seen, {*self._clients.public.values()}
            self._clients = self._read()
            self._unreported = self._clients.refused
            if before - {*self._clients.public.values()}:
                self._revoked()
        reported, self._unreported = self._unreported, ()
        for error in reported:
            self._refused(error)

    def _files(self) -> tuple[tuple[str, ...], ...] | str:
        try:
            return self._folder.files()
        except LinkError as error:
            return str(error)

    def _read(self) -> ClientKeys:
        try:
            return self._folder.clients()
        except LinkError as error:
            return ClientKeys({}, {}, (error,))
