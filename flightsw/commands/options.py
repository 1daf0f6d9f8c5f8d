"""Options that several commands share, and the settings that they make."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from msgspec.structs import replace

from flightsw.config import Settings, TwinSettings, read_settings, refuse_faults
from flightsw.errors import FlightError
from telecommands.dictionary import EngineName

if TYPE_CHECKING:
    from flightsw.engines.fallback import EngineNotices

Check = Callable[[], None]
"""Raises KeyboardInterrupt once a signal has asked the command to stop."""


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``, which errors follow too."""
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of every command that opens an engine, and ``--json``."""
    parser.add_argument("--settings", type=Path, help="TOML file (docs/settings.md)")
    parser.add_argument("--model", type=Path, help="model package (default: the one that ships)")
    parser.add_argument("--engine", choices=get_args(EngineName), help="use only this engine")
    parser.add_argument(
        "--arrangement",
        choices=("spatial", "batch", "instances"),
        help="how the card's cores share the work",
    )
    parser.add_argument(
        "--laboratory", action="store_true", help="allow the settings to inject faults"
    )
    parser.add_argument("--twin", action="store_true", help="reproduce the reference card's timing")
    add_json_option(parser)


def file_settings(arguments: argparse.Namespace) -> Settings:
    """The settings of the file, or the defaults without one."""
    return read_settings(arguments.settings) if arguments.settings else Settings()


def engine_settings(arguments: argparse.Namespace) -> Settings:
    """The settings of the file; the options of the command line take precedence."""
    settings = file_settings(arguments)
    if not arguments.laboratory:
        refuse_faults(settings)
    dimc = settings.dimc
    if arguments.arrangement:
        dimc = replace(dimc, arrangement=arguments.arrangement)
    if arguments.twin:
        dimc = replace(dimc, twin=dimc.twin or TwinSettings())
    return replace(
        settings,
        dimc=dimc,
        model=arguments.model or settings.model,
        engines=(arguments.engine,) if arguments.engine else settings.engines,
    )


def engine_notices() -> EngineNotices:
    """Report failed engines in one line each on standard error."""
    from flightsw.engines.fallback import EngineNotices  # noqa: PLC0415

    def notice(what: str) -> Callable[[FlightError], None]:
        return lambda why: print(f"flightsw: {why}; {what}", file=sys.stderr)

    return EngineNotices(
        notice("the next engine takes over"),
        notice("the engine was reopened and continues"),
        corrected=notice("the scene continues"),
    )
