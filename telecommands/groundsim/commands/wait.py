"""``groundsim wait``: wait until the service is in a mode."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from telecommands.command_line import waiting_time
from telecommands.dictionary import Code, Mode, Stage, Verification
from telecommands.ground.errors import NoAnswer, UsageError, WrongMode
from telecommands.ground.readable import stage_lines
from telecommands.ground.station import Station, add_station_options, station_of
from telecommands.groundsim.commands.send import exit_status

_POLL_S: Final = 0.5
_LEAST_S: Final = 1.0  # for an answer, also at the deadline
_ANSWER_S: Final = 5.0  # then everything is read again: a restart may have changed the ports
_CURES: Final[Mapping[Mode, str]] = MappingProxyType(
    {
        Mode.BOOT: "Wait longer (--timeout): the service is still starting",
        Mode.STANDBY: "Send SET_MODE with the mode",
        Mode.OPERATIONAL: "Send SET_MODE with the mode",
        Mode.SAFE: "See its events for the reason, then send SET_MODE with the mode",
    }
)
_EPILOG: Final = (
    "Exit status: 0 if the service is in the mode, 1 if it is in another one at the end, 3 if PING "
    "was rejected, 4 if it does not answer at the end."
)


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "wait",
        help="wait until the service is OPERATIONAL",
        description="Send PING until the service is in a mode; print each mode that it is in.",
        epilog=_EPILOG,
    )
    parser.set_defaults(command=_run)
    parser.add_argument(
        "--mode",
        type=Mode,
        choices=tuple(Mode),
        default=Mode.OPERATIONAL,
        metavar="MODE",
        help="BOOT, STANDBY, OPERATIONAL or SAFE (OPERATIONAL)",
    )
    parser.add_argument(
        "--timeout",
        type=waiting_time,
        default=300.0,
        metavar="SECONDS",
        help="longest wait (%(default)g)",
    )
    add_station_options(parser)


def _run(arguments: argparse.Namespace) -> int:
    deadline = time.monotonic() + arguments.timeout
    shown: Mode | None = None
    while True:
        answer = _ping(arguments, deadline)
        mode = _mode(answer)
        if answer.stage is Stage.REJECTED and answer.code is not Code.RATE_LIMITED:
            print(*stage_lines(answer), sep="\n")
            return exit_status(answer.stage)
        if mode is not None and mode is not shown:
            print(mode.value, flush=True)
            shown = mode
        if mode is arguments.mode:
            return 0
        if time.monotonic() + _POLL_S >= deadline:
            raise _too_late(arguments, shown)
        time.sleep(_POLL_S)


def _ping(arguments: argparse.Namespace, deadline: float) -> Verification:
    """The closing stage of a PING; sends it until the deadline, at least once."""
    while True:
        try:
            with _station(arguments, deadline).commanding() as client:
                left = max(_LEAST_S, deadline - time.monotonic())
                return client.execute("PING", timeout_s=min(left, _ANSWER_S))
        except NoAnswer:
            if time.monotonic() >= deadline:
                raise


def _station(arguments: argparse.Namespace, deadline: float) -> Station:
    """The station, as soon as the service has written its endpoints."""
    while True:
        try:
            return station_of(arguments)
        except UsageError:
            written = arguments.endpoints is None or arguments.endpoints.exists()
            if written or time.monotonic() >= deadline:
                raise
            time.sleep(_POLL_S)


def _mode(answer: Verification) -> Mode | None:
    try:
        return Mode(answer.data.get("mode"))
    except ValueError:
        return None


def _too_late(arguments: argparse.Namespace, mode: Mode | None) -> WrongMode:
    wanted, seconds = arguments.mode.value, f"{arguments.timeout:g} s"
    if mode is None:
        return WrongMode("the service", f"did not give its mode within {seconds}")
    cause = f"is in {mode.value}, not {wanted}, after {seconds}"
    return WrongMode("the service", cause, _CURES[mode])
