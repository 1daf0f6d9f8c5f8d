"""The clients that count at a time, with their keys and roles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from flightsw.errors import LinkError
from flightsw.keys.grant import Grant
from flightsw.keys.rotation import ClientKey
from telecommands.auth import TelecommandKey
from telecommands.dictionary import Role


@dataclass(frozen=True)
class Client:
    """A client; ``keys`` are those that count, newest last, two during a rotation.

    ``replaces`` is the public key that was authorised; ``roles_given``: somebody decided its
    roles, else it was authorised before there were any.
    """

    name: str
    grant: Grant
    keys: tuple[ClientKey, ...]
    replaces: bytes
    roles_given: bool = True

    def may(self, *roles: Role) -> bool:
        """Whether it has all of these roles."""
        return self.grant.roles.issuperset(roles)


@dataclass(frozen=True)
class ClientKeys:
    """The clients by name, each read by itself, and an error for each file that does not count.

    ``changes_at``: UTC in nanoseconds at which a key ends, so that another look is due.
    """

    clients: Mapping[str, Client] = field(default_factory=dict)
    refused: tuple[LinkError, ...] = ()
    changes_at: int | None = None

    @cached_property
    def by_public(self) -> Mapping[bytes, Client]:
        """The clients by each of their public keys, in Z85."""
        return {key.public: client for client in self.clients.values() for key in client.keys}

    @cached_property
    def telecommand(self) -> Mapping[str, tuple[TelecommandKey, ...]]:
        """Telecommand keys by key id, which is the client's name; newest last."""
        found = {
            name: tuple(key.telecommand for key in client.keys if key.telecommand is not None)
            for name, client in self.clients.items()
        }
        return {name: keys for name, keys in found.items() if keys}

    def links(self) -> frozenset[tuple[bytes, Role]]:
        """What each public key may do: if one of these is gone, links must be closed."""
        return frozenset(
            (public, role)
            for public, client in self.by_public.items()
            for role in client.grant.roles
        )
