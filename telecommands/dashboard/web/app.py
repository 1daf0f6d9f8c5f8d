"""The bridge's web application: routes, their checks, and errors as JSON."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import anyio
import anyio.to_thread
import msgspec
from msgspec import Meta
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from telecommands.dashboard.alarms import (
    MOST_COMMENT,
    Alarm,
    OperatorAction,
    Shelving,
    acknowledged,
    shelved,
)
from telecommands.dashboard.archive.history import history, read_range
from telecommands.dashboard.archive.log import MOST_OBJECT_BYTES, OperatorsLog
from telecommands.dashboard.archive.reader import ArchiveReader
from telecommands.dashboard.archive.tile_map import tile_map_of
from telecommands.dashboard.archive.timeline import timeline_of
from telecommands.dashboard.forms import forms
from telecommands.dashboard.link import encoded, publish_alarms
from telecommands.dashboard.points.data import milliseconds
from telecommands.dashboard.products import picture
from telecommands.dashboard.summary import UnitSummary, summary_of
from telecommands.dashboard.unit import Unit
from telecommands.dashboard.web.access import OwnPagesOnly, PageAccess, PageHeaders
from telecommands.dashboard.web.clients import MOST_OF_ONE, SocketCounts, client_of
from telecommands.dashboard.web.realtime import refuse_page, serve_page
from telecommands.dashboard.web.responses import ERRORS, json_response, refusal
from telecommands.dictionary import EVENTS, VERSION, Severity
from telecommands.failure import UNDECODABLE
from telecommands.ground.errors import GroundError, LinkError, UsageError

MOST_BODY_BYTES: Final = 128 * 1024
MOST_REQUESTS: Final = 32
"""Requests that may wait for archive or disk; further requests are refused."""

MOST_LOG_WRITES: Final = 8
"""Requests that may send an object of the operators' log at a time."""

Result = TypeVar("Result")


class Bridge(msgspec.Struct):
    """The parts that the routes use."""

    units: tuple[Unit, ...]
    log: OperatorsLog
    access: PageAccess
    port: int
    page: Path
    openmct: Path


def application(bridge: Bridge) -> ASGIApp:
    """The ASGI application: the page, and below each unit's base address its interface."""
    apis = [_UnitApi(unit, bridge.access, bridge.port) for unit in bridge.units]
    page = _PageApi(bridge, apis)
    routes: list[BaseRoute] = [
        Route("/", page.index),
        Mount("/app", StaticFiles(directory=bridge.page)),
        Mount("/openmct", StaticFiles(directory=bridge.openmct)),
        Route("/api/units", page.units),
        Route("/api/log/{key}", page.log),
        Route("/api/log/{key}", page.write_log, methods=["POST"]),
    ]
    for unit, api in zip(bridge.units, apis, strict=True):
        routes += [Mount(unit.base, routes=_routes(api))] if unit.base else _routes(api)
    pages = Starlette(
        routes=routes,
        middleware=[Middleware(OwnPagesOnly, port=bridge.port)],
        exception_handlers=ERRORS,
    )
    return PageHeaders(pages, bridge.port)


def _routes(api: _UnitApi) -> list[BaseRoute]:
    return [
        Route("/api/status", api.status),
        Route("/api/dictionary", api.dictionary),
        Route("/api/history/{key:path}", api.history),
        Route("/api/products", api.products),
        Route("/api/products/{product}/image", api.image),
        Route("/api/products/{product}/file", api.file),
        Route("/api/scenes/{job}/tile_map", api.tile_map),
        Route("/api/alarms", api.alarms),
        Route("/api/alarms", api.change_alarm, methods=["POST"]),
        Route("/api/timeline", api.timeline),
        Route("/api/telecommands", api.send, methods=["POST"]),
        Route("/api/telecommands/{id}", api.stages),
        WebSocketRoute("/api/realtime", api.realtime),
    ]


class _PageApi:
    """What all units share: the page, their table, and the operators' log."""

    def __init__(self, bridge: Bridge, units: Sequence[_UnitApi]) -> None:
        self._bridge = bridge
        self._units = units
        self._writing = 0

    async def index(self, _request: Request) -> Response:
        return FileResponse(self._bridge.page / "index.html", headers={"Cache-Control": "no-cache"})

    async def units(self, _request: Request) -> Response:
        summaries = (unit.summary() for unit in self._units)
        return json_response(await asyncio.gather(*summaries))  # a slow archive delays no other

    async def log(self, request: Request) -> Response:
        key = request.path_params["key"]
        found = await anyio.to_thread.run_sync(self._bridge.log.get, key)
        if found is None:
            return refusal(404, "UNKNOWN_LOG_OBJECT", f"The log has no object {key:.80}")
        return json_response({"revision": found.revision, "object": msgspec.Raw(found.body)})

    async def write_log(self, request: Request) -> Response:
        bridge = self._bridge
        body = await self._large_body(request)
        operator = next((one.operator for one in bridge.units if one.operator is not None), None)
        forbidden = bridge.access.obstacle(request, operator, body)
        if forbidden is not None:
            return refusal(403, *forbidden)
        asked = _decoded(body, _LogRequest, 'Send {"revision": ..., "object": {...}}')
        key, content = request.path_params["key"], msgspec.json.encode(asked.object)
        written = await anyio.to_thread.run_sync(bridge.log.put, key, asked.revision, content)
        change = {"log": {"key": key, "revision": written}}
        bridge.units[0].publisher.publish_all([encoded(change)])
        return json_response({"revision": written})

    async def _large_body(self, request: Request) -> bytes:
        """Of a few requests at a time, as the signature can be checked only with the whole body."""
        if self._writing >= MOST_LOG_WRITES:
            cause = f"is busy: {MOST_LOG_WRITES} pages write the log"
            raise LinkError("the bridge", cause, "Try again in a moment")
        self._writing += 1
        try:
            return await _body(request, MOST_OBJECT_BYTES + MOST_BODY_BYTES)
        finally:
            self._writing -= 1


class _UnitApi:
    """One method for each route of a unit."""

    def __init__(self, unit: Unit, access: PageAccess, port: int) -> None:
        self._unit = unit
        self._access = access
        self._port = port
        self._waiting = 0
        self._sockets = SocketCounts()

    async def summary(self) -> UnitSummary:
        """The unit at a glance; what its archive cannot answer is missing."""
        unit = self._unit

        def summarised(reader: ArchiveReader) -> UnitSummary:
            return summary_of(
                unit.name,
                unit.base,
                unit.link(),
                unit.archive.alarms.open(),
                reader,
                time.time_ns(),
            )

        try:
            return await self._from_archive(summarised)
        except GroundError as error:
            return UnitSummary(name=unit.name, base=unit.base, link=unit.link(), error=str(error))

    async def status(self, request: Request) -> Response:
        unit, access = self._unit, self._access
        forbidden = access.obstacle(request, unit.operator)
        count, first, last = await self._from_archive(ArchiveReader.extent)
        archive = {"packets": count, "first": milliseconds(first), "last": milliseconds(last)}
        return json_response(
            {
                "mission": unit.name,
                "run": access.run,
                "can_command": unit.operator is not None,
                "operator": unit.operator and unit.operator.key_id,
                "authorised": forbidden is None,
                "reason": forbidden and f"{forbidden.cause}. {forbidden.cure}",
                "link": unit.link(),
                "archive": archive,
            }
        )

    async def dictionary(self, _request: Request) -> Response:
        events = [
            {"name": name, "severity": kind.severity, "doc": kind.doc}
            for name, kind in EVENTS.items()
        ]
        return json_response(
            {
                "version": VERSION,
                "folders": self._unit.catalogue.folders(),
                "telecommands": forms(),
                "events": events,
                "severities": [severity.value for severity in Severity],
            }
        )

    async def history(self, request: Request) -> Response:
        key = request.path_params["key"]
        point = self._unit.catalogue.get(key)
        if point is None:
            cause = f"The key {key[:80]} is unknown"
            return refusal(404, "UNKNOWN_KEY", cause, "See /api/dictionary")
        query = read_range(request.query_params)
        return await self._from_archive(lambda reader: json_response(history(reader, point, query)))

    async def products(self, _request: Request) -> Response:
        return json_response(self._unit.products.listed())

    async def image(self, request: Request) -> Response:
        path = self._product(request)
        content, media_type = await self._in_thread(lambda: picture(path))
        return Response(content, media_type=media_type, headers={"Cache-Control": "max-age=3600"})

    async def file(self, request: Request) -> Response:
        path = self._product(request)
        if not path.is_file():
            return refusal(404, "GONE", f"{path.name} does not exist any more", "Receive it again")
        return FileResponse(path, filename=path.name)

    async def tile_map(self, request: Request) -> Response:
        job = request.path_params["job"]
        found = await self._from_archive(lambda reader: tile_map_of(reader, job))
        if found is None:
            cause = f"The archive has no cloud fraction of job {job[:80]}"
            return refusal(404, "UNKNOWN_JOB", cause, "See sci.cloud_fraction.job")
        return json_response(found)

    async def alarms(self, _request: Request) -> Response:
        return json_response(self._unit.archive.alarms.open())

    async def change_alarm(self, request: Request) -> Response:
        unit = self._unit
        body = await _body(request)
        forbidden = self._access.obstacle(request, unit.operator, body)
        if forbidden is not None:
            return refusal(403, *forbidden)
        assert unit.operator is not None
        asked = _decoded(body, _AlarmRequest, 'Send {"alarm": ..., "action": ...}')
        change = asked.change(unit.operator.key_id, time.time_ns())
        await self._in_thread(lambda: unit.archive.change_alarm(asked.alarm, change))
        publish_alarms(unit.publisher, unit.archive)
        return json_response(unit.archive.alarms.open())

    async def timeline(self, request: Request) -> Response:
        query = read_range(request.query_params)
        found = await self._from_archive(
            lambda reader: timeline_of(reader, query.start, query.end, time.time_ns())
        )
        return json_response(found)

    async def send(self, request: Request) -> Response:
        unit = self._unit
        body = await _body(request)
        forbidden = self._access.obstacle(request, unit.operator, body)
        if forbidden is not None:
            return refusal(403, *forbidden)
        wanted = _decoded(body, _Request, 'Send {"name": ..., "args": {...}}')
        sent = unit.commanding.submit(wanted.name, wanted.args, confirmed=wanted.confirmed)
        return json_response({"id": sent}, 202)

    async def stages(self, request: Request) -> Response:
        found = self._unit.stages.of(request.path_params["id"])
        if found is None:
            cause = "The telecommand was not sent from here, nor reported by telemetry recently"
            return refusal(404, "UNKNOWN_TELECOMMAND_ID", cause)
        return json_response(found)

    async def realtime(self, socket: WebSocket) -> None:
        unit = self._unit
        peer = socket.client and (socket.client.host, socket.client.port)
        with self._sockets.counted(client_of(peer, self._port)) as allowed:
            if allowed:
                await serve_page(socket, unit.publisher, unit.catalogue, unit.link)
            else:
                await refuse_page(socket, MOST_OF_ONE)

    def _product(self, request: Request) -> Path:
        try:
            return self._unit.products.path_of(request.path_params["product"])
        except UsageError as error:
            raise HTTPException(404, str(error)) from error

    async def _from_archive(self, ask: Callable[[ArchiveReader], Result]) -> Result:
        def borrowed() -> Result:
            with self._unit.readers.borrowed() as reader:
                return ask(reader)

        return await self._in_thread(borrowed)

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        if self._waiting >= MOST_REQUESTS:
            cause = f"is busy: {MOST_REQUESTS} requests are waiting"
            raise LinkError("the bridge", cause, "Try again in a moment")
        self._waiting += 1
        try:
            return await anyio.to_thread.run_sync(work)
        finally:
            self._waiting -= 1


class _Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    args: dict[str, Any] = {}
    confirmed: bool = False


class _LogRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``revision`` is that of the object that the page read; 0: the log had none."""

    revision: Annotated[int, Meta(ge=0)]
    object: dict[str, Any]


class _AlarmRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``seconds`` is for ``shelve``; null: until ``unshelve``."""

    alarm: str
    action: Literal["acknowledge", "shelve", "unshelve"]
    seconds: Annotated[float, Meta(gt=0, le=10**8)] | None = None
    comment: Annotated[str, Meta(max_length=MOST_COMMENT)] = ""

    def change(self, by: str, at: int) -> Callable[[Alarm], Alarm]:
        if self.action == "acknowledge":
            return acknowledged(OperatorAction(by=by, at=at, comment=self.comment))
        if self.action == "unshelve":
            return shelved(None)
        until = None if self.seconds is None else at + round(self.seconds * 10**9)
        return shelved(Shelving(by=by, at=at, comment=self.comment, until=until))


def _decoded(body: bytes, kind: type[Result], cure: str) -> Result:
    try:
        return msgspec.json.decode(body, type=kind)
    except UNDECODABLE as error:
        cause = f"is invalid: {error!s:.200}"
        raise UsageError("the request", cause, cure) from error


async def _body(request: Request, most: int = MOST_BODY_BYTES) -> bytes:
    body = b""
    with anyio.fail_after(10.0):
        async for part in request.stream():
            body += part
            if len(body) > most:
                raise HTTPException(413, f"The request has more than {most} bytes")
    return body
