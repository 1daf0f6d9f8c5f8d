"""Scenario files: timed telecommands, contact windows and expectations, in order (YAML).

docs/scenarios/README.md describes the format.  A file is checked before the first telecommand is
sent (file.py).
"""

from __future__ import annotations

import base64
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import msgspec
from msgspec import Meta
from typing_extensions import override

from telecommands.dictionary import Code, Stage, Topic
from telecommands.ground.readable import pairs
from telecommands.times import read_span

Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=86_400)]
Name: TypeAlias = Annotated[str, Meta(pattern=r"^\w+\Z")]
Keep: TypeAlias = dict[Name, str]


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step; ``at`` is its earliest time, in seconds (or ``+10s``) after the start."""

    KEY: ClassVar[str] = "at"
    at: float | str | None = None

    @property
    def not_before_s(self) -> float:
        """Seconds after the scenario's start."""
        return read_span(self.at) if isinstance(self.at, str) else float(self.at or 0)

    @property
    def title(self) -> str:
        """A short description of the step."""
        return f"at {self.at}"


class Send(Step, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Send a telecommand and wait for a stage; arguments are sent unchecked, times resolved."""

    KEY = "send"
    send: str
    args: dict[str, Any] = {}
    expect: Stage = Stage.COMPLETED
    code: Code | None = None
    within: Seconds = 30.0
    keep: Keep = {}

    @property
    @override
    def title(self) -> str:
        return f"send {self.send}"


class SendRaw(Step, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Send frames unchanged, and wait for the answer."""

    KEY = "send_raw"
    send_raw: Annotated[tuple[str, ...], Meta(min_length=1, max_length=16)]
    expect: Stage = Stage.REJECTED
    code: Code | None = None
    within: Seconds = 5.0

    @property
    @override
    def title(self) -> str:
        return f"send {len(self.send_raw)} raw frames"

    @property
    def frames(self) -> list[bytes]:
        """The frames' bytes."""
        return [base64.b64decode(frame, validate=True) for frame in self.send_raw]


class WaitFor(Step, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Wait for a packet.  Telemetry is recorded from the start, so earlier packets count too.

    ``since`` says which: packets received since the start of the last step that sent or fetched
    something (``action``), since the start of the scenario (``start``), or from now on (``now``).
    """

    KEY = "wait_for"
    wait_for: Topic
    where: dict[str, Any] = {}
    since: Literal["action", "start", "now"] = "action"
    within: Seconds = 30.0
    keep: Keep = {}

    @property
    @override
    def title(self) -> str:
        return " ".join(["wait for", self.wait_for, pairs(self.where)]).rstrip()


class Window(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Budget of a contact window."""

    bytes: int
    seconds: Seconds


class Contact(Step, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Open a contact window and fetch until ``at_least`` were received and none is left."""

    KEY = "contact"
    contact: Window
    fetch_to: str | None = None
    at_least: Annotated[int, Meta(ge=0)] = 0

    @property
    @override
    def title(self) -> str:
        return f"contact of {self.contact.bytes:,} bytes, {self.contact.seconds:g} s"


class Fetch(Step, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fetch in the open contact window until ``at_least`` were received and none is left."""

    KEY = "fetch"
    fetch: str
    at_least: Annotated[int, Meta(ge=0)] = 1
    within: Seconds = 30.0

    @property
    @override
    def title(self) -> str:
        return f"fetch to {self.fetch}"


class Scenario(msgspec.Struct, frozen=True):
    """A checked scenario."""

    title: str
    given: dict[str, Any]
    steps: tuple[Step, ...]
