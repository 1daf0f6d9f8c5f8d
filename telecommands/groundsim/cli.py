# PYTHON_ARGCOMPLETE_OK
"""``groundsim``: the ground station simulator's command line.  Parsing and exit status only.

0 success; 1 failed, or not as expected; 2 wrong usage; 3 a telecommand was rejected; 4 no answer;
130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from telecommands.command_line import CommandParser, forget_interrupt, run_completion
from telecommands.dictionary import VERSION
from telecommands.ground.errors import GroundError, Interrupted
from telecommands.groundsim.commands import (
    cfdp,
    dashboard,
    export,
    fetch,
    gateway,
    keys,
    metrics,
    run,
    scene,
    score,
    send,
    uplink,
    wait,
    watch,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; errors become one line on stderr and an exit status."""
    try:
        parser = _parser()
        run_completion(parser)
        status = _run(parser.parse_args(argv))
        sys.stdout.flush()
    except SystemExit as stopped:  # argparse has printed the reason
        return int(stopped.code or 0)
    except BrokenPipeError:  # the reader of the output has ended, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    finally:
        forget_interrupt()
    return status


def _run(arguments: argparse.Namespace) -> int:
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except KeyboardInterrupt:
        return _fail(Interrupted(arguments.name, "was interrupted", arguments.after_interrupt))
    except GroundError as error:
        return _fail(error)


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="groundsim", description="Ground station simulator.")
    parser.set_defaults(after_interrupt="")
    parser.add_argument("--version", action=_ShowVersion, nargs=0, help="show the version")
    commands = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")
    everything = (
        keys,
        wait,
        send,
        watch,
        fetch,
        uplink,
        cfdp,
        run,
        dashboard,
        gateway,
        metrics,
        export,
        scene,
        score,
    )
    for command in everything:
        command.add_parser(commands)
    return parser


class _ShowVersion(argparse.Action):
    """Reads the package's metadata only if it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version  # noqa: PLC0415 - takes 30 ms

        print(f"groundsim {version('flightsw')}, interface version {VERSION}")
        parser.exit()


def _fail(error: GroundError) -> int:
    print(f"groundsim: {error}", file=sys.stderr)
    return error.exit_status
