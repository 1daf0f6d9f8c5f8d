"""A page's WebSocket: what it subscribes to, and what it is sent."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from telecommands.dashboard.hub import MOST_KEYS, Hub, Mailbox
from telecommands.dashboard.link import encoded
from telecommands.dashboard.points.catalogue import PointCatalogue

SEND_S: Final = 20.0
"""A page that takes nothing for so long is disconnected; it comes again by itself."""

_CLOSE_S: Final = 1.0


class _Wish(msgspec.Struct, forbid_unknown_fields=True):
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()


async def serve_page(
    socket: WebSocket, hub: Hub, catalogue: PointCatalogue, link: Callable[[], Any]
) -> None:
    """Until the page is gone, or takes nothing any more."""
    await socket.accept()
    loop, filled = asyncio.get_running_loop(), asyncio.Event()
    mailbox = Mailbox(lambda: _wake(loop, filled))
    mailbox.post(encoded({"link": link()}))
    hub.add(mailbox)
    mailbox.post(encoded({"points": len(catalogue)}))
    tasks = [
        asyncio.create_task(_read(socket, mailbox, catalogue)),
        asyncio.create_task(_send(socket, mailbox, filled)),
    ]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        hub.remove(mailbox)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if socket.application_state is WebSocketState.CONNECTED:
        # The page may be gone in this moment.
        with suppress(RuntimeError, WebSocketDisconnect, asyncio.TimeoutError):
            await asyncio.wait_for(socket.close(), _CLOSE_S)


def _wake(loop: asyncio.AbstractEventLoop, filled: asyncio.Event) -> None:
    try:
        loop.call_soon_threadsafe(filled.set)
    except RuntimeError:  # the bridge ends, its loop is closed
        return


async def _read(socket: WebSocket, mailbox: Mailbox, catalogue: PointCatalogue) -> None:
    """Each wish is answered when it holds: what is archived from then on is told to the page."""
    for count in itertools.count(1):
        try:
            message = await socket.receive()
        except (WebSocketDisconnect, RuntimeError):
            return
        if message["type"] == "websocket.disconnect":
            return
        complaint = _heed(message.get("text") or "", mailbox, catalogue)
        if complaint is not None:
            mailbox.post(complaint)
        mailbox.post(encoded({"heeded": count}))


def _heed(text: str, mailbox: Mailbox, catalogue: PointCatalogue) -> bytes | None:
    """Do what a page wishes; what to answer where that makes no sense."""
    try:
        wish = msgspec.json.decode(text, type=_Wish)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        cure = 'Send {"subscribe": [key, ...]} or {"unsubscribe": [key, ...]}'
        return _error("MALFORMED", f"not understood: {error!s:.200}", cure)
    unknown = [key for key in wish.subscribe if key not in catalogue]
    keys = (mailbox.keys | set(wish.subscribe)) - set(unknown) - set(wish.unsubscribe)
    if len(keys) > MOST_KEYS:
        return _error("TOO_MANY_KEYS", f"more than {MOST_KEYS} keys", "Unsubscribe from some")
    mailbox.keys = frozenset(keys)
    if unknown:
        named = ", ".join(key[:80] for key in unknown[:5])
        return _error("UNKNOWN_KEY", f"no point has the key {named}", "See /api/dictionary")
    return None


async def _send(socket: WebSocket, mailbox: Mailbox, filled: asyncio.Event) -> None:
    """Send what is in the mailbox; ends where the page takes nothing in time."""
    while True:
        await filled.wait()
        filled.clear()
        while not mailbox.is_empty:
            lagged, messages = mailbox.take()
            if lagged:
                messages.insert(0, encoded({"lagged": lagged}))
            await asyncio.wait_for(socket.send_text(_frame(messages)), SEND_S)


def _frame(messages: list[bytes]) -> str:
    """All that waited as one JSON array: each frame costs both ends more than what is in it."""
    return (b"[" + b",".join(messages) + b"]").decode()


def _error(code: str, cause: str, cure: str) -> bytes:
    return encoded({"error": {"code": code, "cause": cause, "cure": cure}})
