"""``flightsw bench``: its options, its progress bar and its exit status."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Final, cast, get_args

from tqdm import tqdm

from flightsw.bench.protocol import ProgressCallback
from flightsw.bench.report import as_json, as_markdown
from flightsw.bench.results import BenchResult, Protocol
from flightsw.bench.run import BenchRequest, run_bench
from flightsw.config import Settings
from flightsw.errors import EngineError, Interrupted, UsageError
from telecommands.dictionary import EngineName

_MOST: Final = 1_000_000


def bench(arguments: argparse.Namespace, settings: Settings, check: Callable[[], None]) -> int:
    """Run it and print the report; the exit status.

    ``check`` raises KeyboardInterrupt once the command was asked to stop; this becomes
    :class:`Interrupted`, with the results so far on disk.
    """
    request = _request(arguments, settings)
    with tqdm(total=None, disable=not sys.stderr.isatty(), leave=False) as bar:

        def advance(phase: str, done: int, of: int) -> None:
            check()
            if bar.disable:
                return
            if phase != bar.desc.removesuffix(": "):
                bar.reset(of)
                bar.set_description(phase)
            bar.update(done - bar.n)

        try:
            result = _run(request, settings, advance, check)
        except KeyboardInterrupt as stop:
            raise Interrupted(
                "the benchmark",
                "was stopped",
                f"See the rows measured until then in {request.out}, marked as partial",
            ) from stop
    print(as_json(result).decode() if arguments.json else as_markdown(result), end="")
    measured = any(engine.absent is None for engine in result.engines)
    return 0 if measured else EngineError.exit_status


def _run(
    request: BenchRequest, settings: Settings, advance: ProgressCallback, check: Callable[[], None]
) -> BenchResult:
    try:
        return run_bench(request, settings, advance)
    except Exception:
        check()  # a library that was loading may have turned the interrupt into its own error
        raise


def _request(arguments: argparse.Namespace, settings: Settings) -> BenchRequest:
    for option, value, least in (
        ("--tiles", arguments.tiles, 1),
        ("--warm-up", arguments.warm_up, 0),
        ("--soak-seconds", arguments.soak_seconds, 0),
    ):
        if not least <= value <= _MOST:
            raise UsageError(option, f"must be between {least} and {_MOST:,}, got {value}")
    return BenchRequest(
        out=arguments.out,
        engines=_engines(arguments.engines) if arguments.engines else settings.engines,
        protocol=Protocol(arguments.tiles, arguments.warm_up, arguments.soak_seconds),
        scene=arguments.scene,
        truth=arguments.truth,
        baseline=arguments.baseline,
    )


def _engines(text: str) -> tuple[EngineName, ...]:
    known, names = get_args(EngineName), tuple(dict.fromkeys(filter(None, text.split(","))))
    if not names or not set(names) <= set(known):
        raise UsageError("--engines", f"must name engines of {', '.join(known)}, got {text!r}")
    return cast("tuple[EngineName, ...]", names)
