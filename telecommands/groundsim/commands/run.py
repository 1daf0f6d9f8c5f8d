"""``groundsim run``: run a scenario file; the exit status says whether all steps passed."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from telecommands.ground.station import add_station_options, station_of
from telecommands.groundsim.commands.send import AFTER_INTERRUPT

if TYPE_CHECKING:
    from telecommands.groundsim.scenarios.run import StepResult

_EPILOG: Final = (
    "docs/scenarios/README.md describes the file.  Exit status: 0 if all steps passed, 1 if a "
    "step failed, 2 if the file is invalid (nothing was sent), 4 if no telemetry was received."
)


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "run",
        help="run a scenario file",
        description="Run a scenario: timed telecommands, contact windows, expectations.",
        epilog=_EPILOG,
    )
    parser.set_defaults(command=_run, after_interrupt=AFTER_INTERRUPT)
    parser.add_argument("scenario", type=Path, metavar="SCENARIO.yaml", help="scenario file")
    parser.add_argument(
        "--set",
        dest="replaced",
        type=_name_and_value,
        action="append",
        default=[],
        metavar="name=value",
        help="replace a value under given (repeatable)",
    )
    parser.add_argument(
        "--folder", type=Path, default=Path(), help="parent folder of fetched products (.)"
    )
    parser.add_argument("--go-on", action="store_true", help="continue after a failed step")
    parser.add_argument("--json", action="store_true", help="print one JSON object per step")
    add_station_options(parser)


def _run(arguments: argparse.Namespace) -> int:
    # YAML loads slowly: a telecommand must not wait for it.
    from telecommands.groundsim.scenarios.file import read_scenario  # noqa: PLC0415
    from telecommands.groundsim.scenarios.run import ScenarioRun  # noqa: PLC0415

    scenario = read_scenario(arguments.scenario, dict(arguments.replaced))
    results: list[StepResult] = []
    with ScenarioRun(station_of(arguments), arguments.folder) as run:
        for result in run.results(scenario):
            results.append(result)
            _report(result, json=arguments.json)
            if not (result.held or arguments.go_on):
                break
    held = sum(result.held for result in results)
    if not arguments.json:
        left = len(scenario.steps) - len(results)
        undone = f", {left} not run" if left else ""
        print(f"{scenario.title}: {held} of {len(scenario.steps)} steps passed{undone}")
    return 0 if held == len(scenario.steps) else 1


def _report(result: StepResult, *, json: bool) -> None:
    if json:
        print(msgspec.json.encode(result).decode(), flush=True)
        return
    outcome = "OK    " if result.held else "FAILED"
    why = f"  {result.why}" if result.why else ""
    print(
        f"{outcome} {result.number:>3}  {result.title}  ({result.seconds:.2f} s){why}", flush=True
    )


def _name_and_value(text: str) -> tuple[str, Any]:
    import yaml  # noqa: PLC0415 - as above

    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not name=value")
    try:
        typed = yaml.safe_load(value)
    except yaml.YAMLError:
        typed = value
    return name, typed if isinstance(typed, (bool, int, float)) else value
