"""A simulated service end of the links, for tests of clients.

It follows the rules of the interface (authentication, sequence window, repeated ids, chunks with
credit) and has nothing else: no jobs, contact windows, files or rate limits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, TypeAlias, cast

import zmq
import zmq.auth
from typing_extensions import Self
from zmq.auth.thread import ThreadAuthenticator

from telecommands.auth import SequenceWindow, TelecommandKey, verify
from telecommands.codec import (
    check_frames,
    convert_arguments,
    decode_as,
    decode_body,
    decode_header,
    encode,
)
from telecommands.dictionary import (
    Chunk,
    ChunkRequest,
    Code,
    DownlinkRefused,
    DownlinkReply,
    DownlinkRequest,
    NextProduct,
    NothingNow,
    ProductDelivered,
    ProductOffer,
    Stage,
    TelecommandBody,
    Verification,
)
from telecommands.keys import CurvePair
from telecommands.refusal import Refusal

Answer: TypeAlias = Callable[[Sequence[bytes]], Iterable[Sequence[bytes]]]
"""Maps the frames of a message to the messages that answer it."""

_POLL_MS: Final = 10
_JOIN_S: Final = 10.0


class AnsweringSocket:
    """A ROUTER on a free port of the loopback interface, answered by a function in a thread.

    A context manager; its end raises what the function raised.  With ``pair`` the link uses CURVE
    and accepts only ``authorised`` public keys, which may change.
    """

    def __init__(
        self, answer: Answer, *, pair: CurvePair | None = None, authorised: Collection[bytes] = ()
    ) -> None:
        self._answer = answer
        self._context = zmq.Context()
        self._authenticator = ThreadAuthenticator(self._context)
        self._socket = self._context.socket(zmq.ROUTER)
        if pair is not None:
            _Gatekeeper(authorised).guard(self._authenticator)
            self._socket.curve_server = True
            self._socket.curve_publickey = pair.public
            self._socket.curve_secretkey = pair.secret
        self.endpoint = f"tcp://127.0.0.1:{self._socket.bind_to_random_port('tcp://127.0.0.1')}"
        self._stop = threading.Event()
        self._fault: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="answering-socket")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(_JOIN_S)
        if self._authenticator.is_alive():
            self._authenticator.stop()
        self._context.destroy(linger=0)
        if self._fault is not None and error is None:
            raise self._fault

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                if self._socket.poll(_POLL_MS):
                    identity, *frames = self._socket.recv_multipart()
                    for reply in self._answer(frames):
                        self._socket.send_multipart([identity, *reply], copy=False)
        except Exception as fault:  # noqa: BLE001 - raised again in the test's thread
            self._fault = fault


class SimulatedCommanding:
    """Answers telecommands: ``stages`` gives the stages after ACCEPTED; COMPLETED by default.

    ``ran`` lists the accepted telecommands, each id once.
    """

    def __init__(
        self,
        keys: Iterable[TelecommandKey],
        stages: Mapping[str, Sequence[Stage]] | None = None,
    ) -> None:
        self._keys = {key.key_id: key for key in keys}
        self._stages = stages or {}
        self._known: dict[str, list[Verification]] = {}
        self.windows: dict[str, SequenceWindow] = {}
        self.ran: list[TelecommandBody] = []

    def __call__(self, frames: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
        """The verification stages, one frame each."""
        for verification in self._answered(frames):
            yield [encode(verification)]

    def _answered(self, frames: Sequence[bytes]) -> Sequence[Verification]:
        body = None
        try:
            header_frame, body_frame = check_frames(frames)
            header, body = decode_header(header_frame), decode_body(body_frame)
            key = self._keys.get(header.key_id)
            if key is None:
                raise Refusal(Code.UNKNOWN_KEY, f"the key {header.key_id} does not exist")
            verify(header, body_frame, key)
            window = self.windows.get(key.key_id, SequenceWindow())
            self.windows[key.key_id] = window.take(header.sequence)
            if body.id not in self._known:
                convert_arguments(body.name, body.args)
                self._run(body)
            return self._known[body.id]
        except Refusal as refusal:
            return [_rejected(body, refusal)]

    def _run(self, body: TelecommandBody) -> None:
        self.ran.append(body)
        stages = (Stage.ACCEPTED, *self._stages.get(body.name, (Stage.COMPLETED,)))
        self._known[body.id] = [
            Verification(id=body.id, name=body.name, stage=stage, at=time.time_ns() + number)
            for number, stage in enumerate(stages)
        ]


class SimulatedDownlink:
    """Offers products in the given order until each is confirmed with its SHA-256."""

    def __init__(self, products: Iterable[tuple[ProductOffer, bytes]]) -> None:
        self._products = {offer.product: (offer, content) for offer, content in products}
        self.delivered: list[str] = []
        self.requests: list[DownlinkRequest] = []

    def __call__(self, frames: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
        """One frame per reply, two for a chunk."""
        request: DownlinkRequest = decode_as(cast(Any, DownlinkRequest), frames[0], "the request")
        self.requests.append(request)
        for reply, data in self._replies(request):
            yield [encode(reply)] if data is None else [encode(reply), data]

    def _replies(self, request: DownlinkRequest) -> Iterator[tuple[DownlinkReply, bytes | None]]:
        if isinstance(request, NextProduct):
            yield self._next(request.skip), None
        elif request.product not in self._products:
            yield (
                _refused(request.product, Code.UNKNOWN_PRODUCT, "the product does not exist"),
                None,
            )
        elif isinstance(request, ChunkRequest):
            yield from self._chunks(request)
        elif request.sha256 != self._products[request.product][0].sha256:
            yield _refused(request.product, Code.BAD_ARGUMENTS, "the SHA-256 differs"), None
        else:
            if request.product not in self.delivered:
                self.delivered.append(request.product)
            yield ProductDelivered(product=request.product), None

    def _next(self, skip: Sequence[str]) -> DownlinkReply:
        waiting = (one for one in self._products if one not in (*self.delivered, *skip))
        product = next(waiting, None)
        return NothingNow(code="EMPTY") if product is None else self._products[product][0]

    def _chunks(self, request: ChunkRequest) -> Iterator[tuple[DownlinkReply, bytes]]:
        offer, content = self._products[request.product]
        end = min(len(content), request.offset + request.credit * offer.chunk_bytes)
        for start in range(request.offset, end, offer.chunk_bytes):
            data = content[start : start + offer.chunk_bytes]
            yield Chunk(product=offer.product, offset=start, size=len(data)), data


class _Gatekeeper:
    """Credentials provider of pyzmq: asked whether a public key is known."""

    def __init__(self, authorised: Collection[bytes]) -> None:
        self._authorised = authorised

    def callback(self, _domain: str, key: bytes) -> bool:
        """Whether the key, in Z85, is authorised."""
        return key in self._authorised

    def guard(self, authenticator: ThreadAuthenticator) -> None:
        """Accept no other keys."""
        authenticator.start()
        authenticator.configure_curve_callback("*", credentials_provider=self)


def _refused(product: str, code: Code, cause: str) -> DownlinkRefused:
    return DownlinkRefused(product=product, code=code, cause=cause)


def _rejected(body: TelecommandBody | None, refusal: Refusal) -> Verification:
    return Verification(
        id=body.id if body else "",
        name=body.name if body else "",
        stage=Stage.REJECTED,
        at=time.time_ns(),
        code=refusal.code,
        cause=refusal.cause,
        cure=refusal.cure,
        data=refusal.data,
    )
