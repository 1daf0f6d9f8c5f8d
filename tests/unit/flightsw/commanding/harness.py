"""The whole commanding room without its link, on a real state file, with a clock that is set."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from flightsw.commanding.arming import ArmedTelecommands
from flightsw.commanding.context import (
    Completed,
    Deferred,
    Handler,
    Outcome,
    TelecommandContext,
    reference_of,
)
from flightsw.commanding.dispatcher import Dispatcher
from flightsw.commanding.gate import Gate
from flightsw.commanding.ledger import VerificationLedger
from flightsw.commanding.schedule import TelecommandSchedule
from flightsw.commanding.sent_at import SentAtWindow
from flightsw.state import StateFile
from telecommands.auth import SECRET_BYTES, TelecommandKey, sign
from telecommands.dictionary import (
    Arm,
    Mode,
    Ping,
    Pong,
    ProcessScene,
    Role,
    SetMode,
    Stage,
    TelecommandBody,
    TelecommandCall,
    Verification,
)
from telecommands.refusal import Refusal

KEY = TelecommandKey("ground", bytes(range(SECRET_BYTES)))
UNIT = "sat-a"
NOON = 1_800_000_000 * 10**9


class Harness:
    """Sends signed telecommands to a dispatcher and remembers what it answered."""

    def __init__(self, folder: Path, handlers: Mapping[str, Handler] | None = None) -> None:
        self.folder = folder
        self.now = NOON
        self.monotonic = 0.0
        self.mode = Mode.OPERATIONAL
        self.rate = 1000.0
        self.arms = True  # what is sent, if it is hazardous
        self.window = 300.0
        self.clock_trusted = False
        self.roles: dict[str, frozenset[Role]] = {}  # of those that do not have all
        self.sequence = 0
        self.ran: list[str] = []  # ids that handlers were called with
        self.published: list[Verification] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.handlers: dict[str, Handler] = {
            Ping.NAME: self._ping,
            SetMode.NAME: self._set_mode,
            ProcessScene.NAME: self._process,
            **(handlers or {}),
        }
        self.open()

    def open(self) -> None:
        self.state = StateFile(self.folder)
        with self.state.reading() as db:
            db.execute("PRAGMA synchronous = OFF")  # the tests cut no real power: be quick
        self.keys = {KEY.key_id: (KEY,)}
        self.gate = Gate(
            self.state,
            UNIT,
            lambda: self.keys,
            lambda key_id, role: role in self.roles.get(key_id, Role),
            lambda: self.rate,
        )
        self.ledger = VerificationLedger(self.state)
        self.schedule = TelecommandSchedule(self.state)
        self.armed = ArmedTelecommands(lambda: 30.0)
        self.handle({})

    def handle(self, handlers: Mapping[str, Handler]) -> None:
        """From now on these handlers carry their telecommands out."""
        self.handlers.update(handlers)
        self.dispatcher = Dispatcher(
            self.gate,
            self.ledger,
            self.schedule,
            self.handlers,
            mode=lambda: self.mode,
            publish=self.published.append,
            armed=self.armed,
            sent_at=SentAtWindow(lambda: self.window, lambda: self.clock_trusted),
            clock=lambda: self.now,
            monotonic=lambda: self.monotonic,
            state=self.state,
            event=lambda name, _message, /, **fields: self.events.append((name, fields)),
        )

    def power_cut(self) -> None:
        """What was not in the state file is gone."""
        self.state.close()
        self.open()

    def frames(
        self, name: str, args: Mapping[str, Any], id_: str = "", arm: str | None = None
    ) -> tuple[bytes, bytes]:
        self.sequence += 1
        body = TelecommandBody(
            id=id_ or f"t{self.sequence}",
            name=name,
            args=dict(args),
            sent_at=self.now,
            arm=arm or self._armed(name, args),
        )
        return sign(KEY, UNIT, self.sequence, body)

    def send(
        self,
        name: str,
        args: Mapping[str, Any] | None = None,
        id_: str = "",
        *,
        arm: str | None = None,
    ) -> tuple[Verification, ...]:
        frames = self.frames(name, args or {}, id_, arm)
        return self.dispatcher.receive(frames, self.monotonic)

    def known(self, id_: str) -> tuple[Verification, ...]:
        return self.ledger.known(reference_of(KEY.key_id, id_))

    def report(self, id_: str, stage: Stage, **fields: Any) -> Verification:
        return self.dispatcher.report(reference_of(KEY.key_id, id_), stage, **fields)

    def rows(self, table: str) -> int:
        with self.state.reading() as db:
            return int(db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])

    def _armed(self, name: str, args: Mapping[str, Any]) -> str | None:
        """A hazardous telecommand is armed before it is sent, unless its arguments are wrong."""
        if not self.arms:
            return None
        arm = f"armed-{self.sequence}"
        with suppress(Refusal):
            request = Arm(telecommand=TelecommandCall(name=name, args=dict(args)))
            return self.armed.arm(KEY.key_id, request, arm, self.monotonic).arm
        return None

    def _ping(self, _telecommand: Ping, order: TelecommandContext) -> Outcome:
        self.ran.append(order.id)
        return Completed(Pong(t=self.now, mode=self.mode, uptime_s=1.0))

    def _set_mode(self, _telecommand: SetMode, order: TelecommandContext) -> Outcome:
        self.ran.append(order.id)
        return Completed()

    def _process(self, _telecommand: ProcessScene, order: TelecommandContext) -> Outcome:
        self.ran.append(order.id)
        self.state.set_fact("job", order.id.encode())
        return Deferred({"job": "J1"})


def stage_texts(stages: tuple[Verification, ...]) -> list[str]:
    """Stages as words, with their codes."""
    return [one.stage.value + (f" {one.code.value}" if one.code else "") for one in stages]
