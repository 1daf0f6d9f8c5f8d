"""``flightsw selftest``: the golden tiles through the engine that serves."""

from __future__ import annotations

import argparse
import json
from typing import Any

import msgspec

from flightsw.commands.options import Check, add_engine_options, engine_notices, engine_settings


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("selftest", help="run the model package's golden tiles")
    parser.set_defaults(run=run)
    add_engine_options(parser)


def run(arguments: argparse.Namespace, check: Check) -> int:
    """Run the golden tiles and print the report, and what decoders keep; 1 if the tiles fail."""
    from flightsw.chain import open_chain  # noqa: PLC0415
    from flightsw.scene.confined import missing_confinement  # noqa: PLC0415

    check()
    with open_chain(engine_settings(arguments), engine_notices()) as chain:
        report = chain.self_test()
    missing = missing_confinement()
    if arguments.json:
        print(json.dumps({**msgspec.to_builtins(report), "unconfined": missing}))
    else:
        print(report.as_text())
        print(f"decoders: {'; '.join(missing) or 'confined by Landlock and seccomp'}")
    return 0 if report.passed else 1
