"""Keys that are authorised, rotated, revoked or over while the service runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from flightsw.errors import LinkError
from flightsw.keys import Client, ClientKey, ClientKeys, KeyFolder
from telecommands.auth import TelecommandKey
from telecommands.dictionary import Code, Role
from telecommands.refusal import Refusal


class KeyWatch:
    """The clients that count now; polled by one thread, asked by any.

    Each file counts by itself: ``refused`` is called with the error of each one that cannot be
    used, once, and the others count.  A folder that cannot be read lets nobody in.  ``revoked`` is
    called if a public key lost a role, or all of them: links that its client holds open must be
    closed.  ``clock`` gives UTC in nanoseconds.
    """

    def __init__(
        self,
        folder: KeyFolder,
        refused: Callable[[LinkError], None],
        revoked: Callable[[], None],
        clock: Callable[[], int],
    ) -> None:
        self._folder = folder
        self._refused = refused
        self._revoked = revoked
        self._clock = clock
        self._lock = threading.Lock()  # of all that follows
        self._seen = self._files()
        self._read_at = clock()
        self._clients = self._read()
        self._unreported = self._clients.refused

    @property
    def telecommand_keys(self) -> Mapping[str, tuple[TelecommandKey, ...]]:
        """By key id, which is the client's name; two during a rotation, newest last."""
        return self._clients.telecommand

    def may(self, name: str, role: Role) -> bool:
        """Whether the client of this name counts, and has the role."""
        client = self._clients.clients.get(name)
        return client is not None and client.may(role)

    def client_of(self, public: bytes) -> Client | None:
        """The client with this public CURVE key (Z85)."""
        return self._clients.by_public.get(public)

    def lets_in(self, public: bytes, role: Role) -> bool:
        """Whether the client with this key may open a link that needs the role."""
        client = self.client_of(public)
        return client is not None and client.may(role)

    def receiver(self, public: bytes) -> str | None:
        """The name of the client with this key if it may receive products."""
        client = self.client_of(public)
        return client.name if client is not None and client.may(Role.RECEIVE) else None

    def rotate(self, name: str, signed: TelecommandKey, new: ClientKey, old_until: int) -> None:
        """Let a new key replace that whose telecommand key signed; it counts immediately.

        Raises :class:`Refusal` BAD_ARGUMENTS if another client has it, :class:`LinkError` if it
        cannot be kept.
        """
        other = self.client_of(new.public)
        if other is not None and other.name != name:
            cause = "the public key is that of another client"
            raise Refusal(Code.BAD_ARGUMENTS, cause, "Generate a new pair")
        client = self._clients.clients[name]
        old = next(key for key in client.keys if key.telecommand == signed)
        self._folder.rotate(client, old, new, old_until)
        self.poll()

    def poll(self) -> None:
        """Read the files again if one was added, removed or changed, or a key's time is over."""
        with self._lock:
            seen, now = self._files(), self._clock()
            lost = False
            if seen != self._seen or self._is_due(now):
                self._seen, self._read_at, before = seen, now, self._clients
                self._clients = self._read()
                known = {str(error) for error in before.refused}
                self._unreported += tuple(
                    error for error in self._clients.refused if str(error) not in known
                )
                lost = bool(before.links() - self._clients.links())
            reported, self._unreported = self._unreported, ()
        if lost:
            self._revoked()
        for error in reported:
            self._refused(error)

    def _is_due(self, now: int) -> bool:
        changes_at = self._clients.changes_at
        # A clock that went back makes keys count again whose time seemed to be over.
        return now < self._read_at or (changes_at is not None and now >= changes_at)

    def _files(self) -> tuple[tuple[str, ...], ...] | str:
        try:
            return self._folder.files()
        except LinkError as error:
            return str(error)

    def _read(self) -> ClientKeys:
        try:
            return self._folder.clients()
        except LinkError as error:
            return ClientKeys(refused=(error,))
