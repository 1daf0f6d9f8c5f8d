# PYTHON_ARGCOMPLETE_OK
"""``flightsw``: parsing, interrupts, errors and the exit status; the commands are in ``commands``.

0 done; 1 the self-test failed, or masks agree less than asked; 10 + n if n of several scenes
failed; otherwise the status of the error (``flightsw/errors.py``).
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from types import FrameType
from typing import Final, NoReturn

from flightsw import __version__
from flightsw.commands import (
    bench,
    compare,
    keys,
    model,
    process,
    reprocess,
    selftest,
    serve,
)
from flightsw.commands.options import Check
from flightsw.errors import FlightError, Interrupted
from flightsw.host.memory import memory_errors
from telecommands.command_line import CommandParser, forget_interrupt, run_completion

_INTERRUPTED_CURE: Final = "Run it again: nothing is left half-written"
_STDERR: Final = 2  # where the stacks go if a library crashes
_READERS: Final = ("decode", "check")  # threads of scene/strips.py; none is left if all is well
_STOPS: Final = (signal.SIGINT, signal.SIGTERM)
_DEAF_SECONDS: Final = 2.0  # to further interrupts, while the first one cleans up


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; errors become one line on stderr and an exit status."""
    parser = _parser()
    run_completion(parser)
    arguments = parser.parse_args(argv)
    run: Callable[[argparse.Namespace, Check], int] = arguments.run
    try:
        with _interruptible() as check, memory_errors("the command"):
            from flightsw.telemetry.logs import log_for_people  # noqa: PLC0415 - takes 0.1 s

            log_for_people()
            status = run(arguments, check)
            sys.stdout.flush()
            return status
    except BrokenPipeError:  # the reader of the output has ended, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except FlightError as error:
        if arguments.json:
            print(json.dumps({"error": error.as_record()}))
        # The service's reader has arguments of the same names, without dashes.
        argument = error.fields.get("argument")
        option = f" (--{argument})" if argument in vars(arguments) else ""
        print(f"flightsw: {error}{option}", file=sys.stderr)
        return error.exit_status


def main_and_exit() -> NoReturn:
    """Run one command and end the process, although a decoder may hang on a disk.

    The interpreter would wait for it; it holds nothing.
    """
    faulthandler.enable(_STDERR)
    status = main()
    # The command is over: a late interrupt would replace its exit status while Python ends.
    for one in _STOPS:
        signal.signal(one, signal.SIG_IGN)
    forget_interrupt()
    if any(one.name.startswith(_READERS) for one in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="flightsw", description="Onboard cloud masking.")
    parser.add_argument("--version", action="version", version=f"flightsw {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (process, reprocess, compare, bench, selftest, model, serve, keys):
        command.add_parser(commands)
    return parser


@contextmanager
def _interruptible() -> Iterator[Check]:
    """Turn Ctrl-C and SIGTERM into :class:`Interrupted`; repeated ones do not disturb clean-up.

    What a signal raises can be lost: libraries catch everything while they load.  The check
    that this yields raises again once a signal has come.
    """
    deaf_until, stopped_by = -inf, ""

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal deaf_until, stopped_by
        del frame
        if time.monotonic() < deaf_until:
            return
        deaf_until = time.monotonic() + _DEAF_SECONDS
        stopped_by = signal.Signals(number).name
        raise KeyboardInterrupt

    def check() -> None:
        if stopped_by:
            raise KeyboardInterrupt

    before = {one: signal.signal(one, interrupt) for one in _STOPS}
    try:
        yield check
    except KeyboardInterrupt as stop:
        cause = f"was stopped by {stopped_by or 'an interrupt'}"
        raise Interrupted("the command", cause, _INTERRUPTED_CURE) from stop
    except Exception as error:
        # A library that loads may turn an interrupt into its own error.
        if not stopped_by or isinstance(error, FlightError):
            raise
        cause = f"was stopped by {stopped_by}"
        raise Interrupted("the command", cause, _INTERRUPTED_CURE) from error
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
