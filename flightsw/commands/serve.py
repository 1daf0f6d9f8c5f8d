"""``flightsw serve``: the flight service."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from typing import Any

from flightsw.commands.options import Check, add_engine_options, engine_settings


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("serve", help="run the flight service (docs/operations.md)")
    parser.set_defaults(run=run)
    add_engine_options(parser)


def run(arguments: argparse.Namespace, check: Check) -> int:
    """Run the service until a telecommand or a signal ends it."""
    from flightsw.fdir.notify import ServiceNotifier  # noqa: PLC0415
    from flightsw.service.daemon import FlightService  # noqa: PLC0415
    from flightsw.telemetry.logs import configure_logs  # noqa: PLC0415

    check()
    settings = engine_settings(arguments)
    configure_logs(settings.service.log_level, sys.stdout)
    service = FlightService(settings, ServiceNotifier.from_environment(os.environ, os.getpid()))
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, lambda _number, _frame: service.end_by_signal())
    status = service.run()
    if not service.processing_ended:
        # A decoder cannot be interrupted, and the interpreter would wait for it; it holds nothing.
        sys.stdout.flush()
        os._exit(status)
    return status
