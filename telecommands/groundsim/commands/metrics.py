"""``groundsim metrics``: telemetry for Prometheus, and the health of the service over HTTP."""

from __future__ import annotations

import argparse
import time
from typing import Any, Final

from telecommands.command_line import address
from telecommands.ground.errors import UsageError
from telecommands.ground.station import add_station_options, station_of

_TICK_S: Final = 0.5
_EPILOG: Final = (
    "GET /metrics is for Prometheus.  GET /health answers 200 while housekeeping arrives, and GET "
    "/ready while the service is OPERATIONAL; otherwise 503, both with a JSON object.  "
    "docs/monitoring.md has alert rules."
)


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "metrics",
        help="serve telemetry to Prometheus, and a health address",
        description="Serve telemetry over HTTP: metrics for Prometheus, and health.",
        epilog=_EPILOG,
    )
    parser.set_defaults(command=_run)
    parser.add_argument(
        "--listen",
        type=address,
        default="127.0.0.1:9464",
        metavar="ADDRESS:PORT",
        help="where to serve; port 0: any free port (%(default)s)",
    )
    add_station_options(parser)


def _run(arguments: argparse.Namespace) -> int:
    try:
        # An extra, so loaded only if the command is used.
        from prometheus_client import CollectorRegistry, make_wsgi_app  # noqa: PLC0415

        from telecommands.groundsim.metrics import Reception, TelemetryCollector  # noqa: PLC0415
        from telecommands.groundsim.metrics_server import Pages, serving  # noqa: PLC0415
    except ImportError as error:
        cure = "Install the extra: pip install 'flightsw[ground]'"
        raise UsageError("groundsim metrics", "needs prometheus_client", cure) from error
    collector, registry = TelemetryCollector(), CollectorRegistry()
    registry.register(collector)
    reception = Reception()
    pages = Pages(make_wsgi_app(registry), lambda: collector.snapshot)
    station = station_of(arguments)
    with (
        station.telemetry(monitored=True) as client,
        serving(arguments.listen, pages) as address,
    ):
        print(f"http://{address}/metrics", flush=True)
        try:
            while True:
                for topic, packet, record in client.packets(_TICK_S):
                    reception.take(topic, packet, record, time.monotonic())
                collector.snapshot = reception.snapshot(client.lost, time.monotonic())
        except KeyboardInterrupt:  # the usual way to end it
            return 0
