"""A page's WebSocket: subscriptions in, realtime data out."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from telecommands.dashboard.link import encoded, error_message
from telecommands.dashboard.points.catalogue import PointCatalogue
from telecommands.dashboard.publisher import MOST_KEYS, Mailbox, Publisher
from telecommands.failure import UNDECODABLE

SEND_S: Final = 20.0
"""A page that accepts no data for this long is disconnected; it reconnects by itself."""

IDLE_S: Final = 30.0
"""A socket without subscriptions for this long is closed: a page always has one."""

_CLOSE_S: Final = 1.0
_TRY_AGAIN_LATER: Final = 1013
_POLICY: Final = 1008


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()


async def serve_page(
    socket: WebSocket, publisher: Publisher, catalogue: PointCatalogue, link: Callable[[], Any]
) -> None:
    """Serve a page until it disconnects, accepts no more data, or subscribes to nothing."""
    await socket.accept()
    loop, filled = asyncio.get_running_loop(), asyncio.Event()
    mailbox = Mailbox(lambda: _wake(loop, filled))
    mailbox.post(encoded({"link": link()}))
    publisher.add(mailbox)
    mailbox.post(encoded({"points": len(catalogue)}))
    if catalogue.limit_changes:
        mailbox.post(encoded({"limits": catalogue.limit_changes}))
    tasks = [
        asyncio.create_task(_read(socket, mailbox, catalogue)),
        asyncio.create_task(_send(socket, mailbox, filled)),
        asyncio.create_task(_idle(mailbox)),
    ]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        publisher.remove(mailbox)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if socket.application_state is WebSocketState.CONNECTED:
        # The page may have disconnected just now.
        with suppress(RuntimeError, WebSocketDisconnect, asyncio.TimeoutError):
            await asyncio.wait_for(socket.close(_POLICY if tasks[-1].done() else 1000), _CLOSE_S)


async def refuse_page(socket: WebSocket, most: int) -> None:
    """Say that the client has too many sockets, and close this one."""
    cause = f"The bridge has {most} open pages of this user, and serves no more"
    await socket.accept()
    with suppress(RuntimeError, WebSocketDisconnect, asyncio.TimeoutError):
        message = error_message("TOO_MANY_PAGES", cause, "Close some of them")
        await asyncio.wait_for(socket.send_text(_frame([message])), _CLOSE_S)
        await asyncio.wait_for(socket.close(_TRY_AGAIN_LATER), _CLOSE_S)


async def _idle(mailbox: Mailbox) -> None:
    """Ends when the page has had no subscriptions for a while."""
    subscribed = True
    while subscribed:
        subscribed = bool(mailbox.keys)
        await asyncio.sleep(IDLE_S)
        subscribed = subscribed or bool(mailbox.keys)


def _wake(loop: asyncio.AbstractEventLoop, filled: asyncio.Event) -> None:
    try:
        loop.call_soon_threadsafe(filled.set)
    except RuntimeError:  # the bridge is stopping, its loop is closed
        return


async def _read(socket: WebSocket, mailbox: Mailbox, catalogue: PointCatalogue) -> None:
    """Acknowledge each request once it applies: data archived later are sent to the page."""
    for count in itertools.count(1):
        try:
            message = await socket.receive()
        except (WebSocketDisconnect, RuntimeError):
            return
        if message["type"] == "websocket.disconnect":
            return
        error = _apply(message.get("text") or "", mailbox, catalogue)
        if error is not None:
            mailbox.post(error)
        mailbox.post(encoded({"applied": count}))


def _apply(text: str, mailbox: Mailbox, catalogue: PointCatalogue) -> bytes | None:
    """Apply a page's request; return an error message if it is invalid."""
    try:
        request = msgspec.json.decode(text, type=_Request)
    except UNDECODABLE as error:
        cure = 'Send {"subscribe": [key, ...]} or {"unsubscribe": [key, ...]}'
        return error_message("MALFORMED", f"The request is invalid: {error!s:.200}", cure)
    unknown = [key for key in request.subscribe if key not in catalogue]
    keys = (mailbox.keys | set(request.subscribe)) - set(unknown) - set(request.unsubscribe)
    if len(keys) > MOST_KEYS:
        return error_message(
            "TOO_MANY_KEYS", f"The page has more than {MOST_KEYS} keys", "Unsubscribe from some"
        )
    mailbox.keys = frozenset(keys)
    if unknown:
        named = ", ".join(key[:80] for key in unknown[:5])
        return error_message("UNKNOWN_KEY", f"The key {named} is unknown", "See /api/dictionary")
    return None


async def _send(socket: WebSocket, mailbox: Mailbox, filled: asyncio.Event) -> None:
    """Send the mailbox's messages; ends if the page accepts none in time."""
    while True:
        await filled.wait()
        filled.clear()
        while not mailbox.is_empty:
            lagged, messages = mailbox.take()
            if lagged:
                messages.insert(0, encoded({"lagged": lagged}))
            await asyncio.wait_for(socket.send_text(_frame(messages)), SEND_S)


def _frame(messages: list[bytes]) -> str:
    """The messages as one JSON array: a frame costs both ends more than its contents."""
    return (b"[" + b",".join(messages) + b"]").decode()
