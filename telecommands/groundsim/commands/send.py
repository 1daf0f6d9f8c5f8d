"""``groundsim send``: send one telecommand and show its verification stages."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from telecommands.command_line import real_number, set_completer, waiting_time
from telecommands.dictionary import TELECOMMANDS, Arm, Stage, Verification
from telecommands.ground.arguments import (
    allowed_values,
    fields_of,
    read_arguments,
    telecommand_named,
)
from telecommands.ground.commanding import check_arguments
from telecommands.ground.errors import NotConfirmed, UsageError
from telecommands.ground.readable import stage_lines
from telecommands.ground.station import add_station_options, station_of
from telecommands.groundsim.listing import all_telecommands, one_telecommand

Show: TypeAlias = Callable[[Verification], None]

_CLOCK_OFFSET: Final = real_number(-(10**10), 10**10, "a number of seconds")
_FAILED: Final = 1
_REJECTED: Final = 3
_EPILOG: Final = (
    "Lists are separated by commas, null stands for no value, structures are JSON; times are +30s "
    "(ms, s, min, h, d), ISO 8601 in UTC or nanoseconds.  Exit status: 0 COMPLETED (or ACCEPTED "
    "with --no-wait), 1 FAILED, TIMED_OUT or CANCELLED, 3 REJECTED, 4 no answer."
)
AFTER_INTERRUPT: Final = "Accepted telecommands continue on board"


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "send",
        help="send a telecommand and follow it until it is closed",
        description="Send a telecommand and show each verification stage.",
        epilog=_EPILOG,
    )
    parser.set_defaults(command=_run, after_interrupt=AFTER_INTERRUPT)
    name = parser.add_argument(
        "telecommand", nargs="?", metavar="NAME", help="telecommand, see --list"
    )
    set_completer(name, lambda **_: TELECOMMANDS)
    pairs = parser.add_argument("pairs", nargs="*", metavar="key=value", help="its arguments")
    set_completer(pairs, _pair_words)
    parser.add_argument("--list", action="store_true", help="list all telecommands")
    parser.add_argument(
        "--help-arguments", action="store_true", help="describe this telecommand's arguments"
    )
    parser.add_argument(
        "--timeout",
        type=waiting_time,
        default=600.0,
        metavar="SECONDS",
        help="longest wait (%(default)g)",
    )
    parser.add_argument("--no-wait", action="store_true", help="wait for ACCEPTED or REJECTED only")
    parser.add_argument("--id", help="telecommand id; a repeated id returns its stages only")
    parser.add_argument(
        "--clock-offset",
        type=_CLOCK_OFFSET,
        default=0.0,
        metavar="SECONDS",
        help="add to the time of sending, if the unit's clock is wrong (WRONG_TIME)",
    )
    parser.add_argument("--yes", action="store_true", help="skip the confirmation")
    parser.add_argument("--json", action="store_true", help="print one JSON object per stage")
    add_station_options(parser)


def _pair_words(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> Iterator[str]:
    """``key=`` of the telecommand's arguments; behind the sign, the values of a list."""
    kind = TELECOMMANDS.get(parsed_args.telecommand)
    for field in fields_of(kind) if kind else ():
        if not prefix.startswith(f"{field.name}="):
            yield f"{field.name}="
            continue
        yield from (f"{field.name}={value}" for value in allowed_values(field.type))


def exit_status(stage: Stage) -> int:
    """0 for COMPLETED and open stages, 3 for REJECTED, 1 for every other closing stage."""
    if stage is Stage.REJECTED:
        return _REJECTED
    return _FAILED if stage.closes and stage is not Stage.COMPLETED else 0


def _run(arguments: argparse.Namespace) -> int:
    if arguments.list:
        print(all_telecommands())
        return 0
    if arguments.telecommand is None:
        raise UsageError("send", "needs the name of a telecommand", "See groundsim send --list")
    name: str = arguments.telecommand
    kind = telecommand_named(name)
    if arguments.help_arguments:
        print(one_telecommand(kind))
        return 0
    args = read_arguments(name, arguments.pairs, time.time_ns())
    if not arguments.yes:
        _confirm(name, args)
    stage = Stage.ACCEPTED
    with station_of(arguments).commanding() as client, _display(json=arguments.json) as show:
        telecommand = client.send(
            name, args, id=arguments.id, clock_offset_s=arguments.clock_offset
        )
        for verification in client.stages(telecommand, arguments.timeout):
            show(verification)
            stage = verification.stage
            if arguments.no_wait:
                break
    return exit_status(stage)


def _confirm(name: str, args: Mapping[str, Any]) -> None:
    """Ask if the telecommand is hazardous, or the one that it arms or schedules."""
    if not (check_arguments(name, args) or name == Arm.NAME):
        return
    command = " ".join([name, *(f"{key}={value}" for key, value in args.items())])
    if not sys.stdin.isatty():
        raise NotConfirmed(command, "needs a confirmation", "Give --yes")
    print(f"{command}: send? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise NotConfirmed(command, "was not confirmed and was not sent")


@contextmanager
def _display(*, json: bool) -> Iterator[Show]:
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    if json:
        yield lambda verification: print(msgspec.json.encode(verification).decode(), flush=True)
    elif console.is_terminal:
        with _bar(console) as show:
            yield show
    else:
        yield lambda verification: print(*stage_lines(verification), sep="\n", flush=True)


@contextmanager
def _bar(console: Console) -> Iterator[Show]:
    """Stages line by line, and PROGRESS as a bar below them."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f} %"))
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task("", visible=False)

        def show(verification: Verification) -> None:
            if verification.stage is Stage.PROGRESS:
                progress.update(
                    task,
                    description=verification.name,
                    completed=verification.step,
                    total=verification.of or None,
                    visible=True,
                    refresh=True,
                )
                return
            if verification.stage.closes:
                progress.update(task, visible=False)
            for line in stage_lines(verification):
                console.print(line)

        yield show
