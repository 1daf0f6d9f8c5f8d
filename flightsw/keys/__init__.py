"""The flight unit's keys: its own CURVE pair, and its clients with their roles."""

from __future__ import annotations

from flightsw.keys.clients import Client, ClientKeys
from flightsw.keys.folder import AuthorisedKey, KeyFolder
from flightsw.keys.grant import Grant
from flightsw.keys.rotation import ClientKey

__all__ = ["AuthorisedKey", "Client", "ClientKey", "ClientKeys", "Grant", "KeyFolder"]
