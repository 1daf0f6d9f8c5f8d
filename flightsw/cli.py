"""The command line of the flight side: parse, run, and tell the outcome by the exit status.

0 done; 1 the self-test failed, or masks agree less than asked; else the status of the error
(``flightsw/errors.py``).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, get_args

import msgspec
from tqdm import tqdm

from flightsw import __version__
from flightsw.config import Settings, TwinSettings, read_settings
from flightsw.errors import FlightError, Interrupted, UsageError
from flightsw.host.memory import memory_errors
from flightsw.products.kinds import DEFAULT_PRODUCTS, PRODUCT_KINDS
from flightsw.telemetry.logs import log_for_people
from telecommands.dictionary import EngineName

if TYPE_CHECKING:
    from flightsw.chain import ProcessedScene
    from flightsw.engines.fallback import EngineNotices
    from flightsw.keys import KeyFolder

Check = Callable[[], None]

_INTERRUPTED_CURE: Final = "Run it again: nothing is left half-written"
_DEAF_SECONDS: Final = 2.0  # to further interrupts, while the first one cleans up


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; errors become one line on stderr and an exit status."""
    arguments = _parser().parse_args(argv)
    log_for_people()
    run: Callable[[argparse.Namespace, Check], int] = arguments.run
    try:
        with _interruptible() as check, memory_errors("the command"):
            return run(arguments, check)
    except FlightError as error:
        if arguments.json:
            print(json.dumps({"error": error.as_record()}))
        print(f"flightsw: {error}", file=sys.stderr)
        return error.exit_status


def _process(arguments: argparse.Namespace, check: Check) -> int:
    # Loading takes seconds; here an interrupt already ends in order.
    from flightsw.chain import SceneRequest, open_chain  # noqa: PLC0415

    check()
    request = SceneRequest(
        scene=arguments.scene,
        out=arguments.out,
        products=frozenset(filter(None, arguments.products.split(","))),
        ground_sample_distance=arguments.ground_sample_distance,
        offset=arguments.offset,
    )
    with tqdm(
        total=None, unit="row", disable=not sys.stderr.isatty() or arguments.quiet, leave=False
    ) as bar:

        def advance(done: int, height: int) -> None:
            check()
            bar.total = height
            bar.update(done - bar.n)

        with open_chain(_settings(arguments), _engine_notices()) as chain:
            processed = chain.process(request, advance)
    print(json.dumps(_as_json(processed)) if arguments.json else _as_text(processed))
    return 0


def _self_test(arguments: argparse.Namespace, check: Check) -> int:
    from flightsw.chain import open_chain  # noqa: PLC0415

    check()
    with open_chain(_settings(arguments), _engine_notices()) as chain:
        report = chain.self_test()
    if arguments.json:
        print(json.dumps(msgspec.to_builtins(report)))
    else:
        print(report.as_text())
    return 0 if report.passed else 1


def _model(arguments: argparse.Namespace, _: Check) -> int:
    from flightsw.model.package import load_package  # noqa: PLC0415

    package = load_package(arguments.package or _read_settings(arguments).model)
    described = package.description()
    if arguments.json:
        record = {"id": package.model_id, "folder": str(package.folder)}
        print(json.dumps(record | msgspec.to_builtins(described)))
    else:
        print(f"{package.model_id}, intact in {package.folder}")
        print(described.as_text())
    return 0


def _compare(arguments: argparse.Namespace, check: Check) -> int:
    from flightsw.comparison.files import compare_files  # noqa: PLC0415

    check()
    least: float = arguments.least_agreement
    if not 0 <= least <= 1:
        raise UsageError("--least-agreement", f"{least} is no share", "Give a number from 0 to 1")
    compared = compare_files(arguments.a, arguments.b, arguments.out)
    print(json.dumps(compared.as_record()) if arguments.json else compared.as_text())
    return 0 if compared.comparison.agreement >= least else 1


def _bench(arguments: argparse.Namespace, check: Check) -> int:
    from flightsw.bench.command import bench  # noqa: PLC0415

    check()
    return bench(arguments, _settings(arguments), check)


def _serve(arguments: argparse.Namespace, check: Check) -> int:
    # Loading takes seconds; a signal before the service can hear it ends the command.
    from flightsw.fdir.notify import ServiceNotifier  # noqa: PLC0415
    from flightsw.service.daemon import FlightService  # noqa: PLC0415
    from flightsw.telemetry.logs import configure_logs  # noqa: PLC0415

    check()
    settings = _settings(arguments)
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


def _keys_generate(arguments: argparse.Namespace, _: Check) -> int:
    print(f"the service's public key, for its clients: {_key_folder(arguments).generate()}")
    return 0


def _keys_authorise(arguments: argparse.Namespace, _: Check) -> int:
    name = _key_folder(arguments).authorise(arguments.public, arguments.telecommand_key)
    print(f"{name} may listen{' and command' if arguments.telecommand_key else ''}")
    return 0


def _keys_revoke(arguments: argparse.Namespace, _: Check) -> int:
    _key_folder(arguments).revoke(arguments.name)
    print(f"{arguments.name} is no longer let in")
    return 0


def _keys_list(arguments: argparse.Namespace, _: Check) -> int:
    names = _key_folder(arguments).names()
    if arguments.json:
        print(json.dumps([msgspec.to_builtins(name) for name in names]))
        return 0
    for name in names:
        print(f"{name.name:24} {name.fingerprint}  {'commands' if name.may_command else 'listens'}")
    return 0


def _key_folder(arguments: argparse.Namespace) -> KeyFolder:
    from flightsw.keys import KeyFolder  # noqa: PLC0415

    return KeyFolder(arguments.keys or _read_settings(arguments).service.keys_folder)


def _engine_notices() -> EngineNotices:
    from flightsw.engines.fallback import EngineNotices  # noqa: PLC0415

    def tell(what: str) -> Callable[[FlightError], None]:
        return lambda why: print(f"flightsw: {why}; {what}", file=sys.stderr)

    return EngineNotices(tell("the next engine takes over"), tell("opened anew, it goes on"))


def _settings(arguments: argparse.Namespace) -> Settings:
    """The settings file, with what the command line says on top."""
    settings = _read_settings(arguments)
    dimc, pipeline = settings.dimc, settings.pipeline
    if arguments.arrangement:
        dimc = msgspec.structs.replace(dimc, arrangement=arguments.arrangement)
    if arguments.twin:
        dimc = msgspec.structs.replace(dimc, twin=dimc.twin or TwinSettings())
    if getattr(arguments, "fusion", None):
        pipeline = msgspec.structs.replace(pipeline, fusion=arguments.fusion)
    return msgspec.structs.replace(
        settings,
        dimc=dimc,
        pipeline=pipeline,
        model=arguments.model or settings.model,
        engines=(arguments.engine,) if arguments.engine else settings.engines,
    )


def _read_settings(arguments: argparse.Namespace) -> Settings:
    return read_settings(arguments.settings) if arguments.settings else Settings()


def _as_json(processed: ProcessedScene) -> dict[str, Any]:
    return {
        "scene": processed.scene.name,
        "ground_sample_distance": processed.scene.ground_sample_distance,
        "remarks": list(processed.scene.remarks),
        "contaminated_share": processed.summary.contaminated_share,
        "summary": msgspec.to_builtins(processed.summary),
        "files": [msgspec.to_builtins(file) for file in processed.products.files],
        "folder": str(processed.products.folder),
    }


def _as_text(processed: ProcessedScene) -> str:
    summary, scene = processed.summary, processed.scene
    inferred = summary.tiles - summary.tiles_without_data
    lines = [
        f"{scene.name} at {scene.ground_sample_distance} m",
        f"  {summary.contaminated_share:.1%} contaminated of {summary.valid_pixels:,} valid pixels",
        f"  {inferred} of {summary.tiles} tiles inferred, {summary.seconds:.1f} s",
        *(f"  note: {remark}" for remark in scene.remarks),
        *(
            f"  {file.product:<10} {processed.products.folder / file.name}"
            for file in processed.products.files
        ),
    ]
    return "\n".join(lines)


@contextmanager
def _interruptible() -> Iterator[Check]:
    """Ctrl-C and SIGTERM end in :class:`Interrupted`; impatient further ones disturb no clean-up.

    What a signal raises can be lost: libraries catch everything while they load.  The check
    that is given out raises again once a signal has come.
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

    before = {one: signal.signal(one, interrupt) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield check
    except KeyboardInterrupt as stop:
        cause = f"was stopped by {stopped_by or 'an interrupt'}"
        raise Interrupted("the command", cause, _INTERRUPTED_CURE) from stop
    except Exception as error:
        # A library that loads may turn an interrupt into an error of its own.
        if not stopped_by or isinstance(error, FlightError):
            raise
        cause = f"was stopped by {stopped_by}"
        raise Interrupted("the command", cause, _INTERRUPTED_CURE) from error
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="flightsw", description="Onboard cloud masking.")
    parser.add_argument("--version", action="version", version=f"flightsw {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_process(commands)
    _add_compare(commands)
    _add_bench(commands)
    _add_self_test(commands)
    _add_model(commands)
    _add_serve(commands)
    _add_keys(commands)
    return parser


def _add_process(commands: Any) -> None:
    kinds = "\n".join(f"  {kind.name:<10} {kind.description}" for kind in PRODUCT_KINDS)
    parser = commands.add_parser(
        "process",
        help="turn a scene on disk into a cloud mask and its products",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"products:\n{kinds}",
    )
    parser.set_defaults(run=_process)
    parser.add_argument("scene", type=Path, help="SAFE folder, bare GRANULE layout, or GeoTIFF")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of the products")
    parser.add_argument(
        "--products",
        default=",".join(kind.name for kind in PRODUCT_KINDS if kind.name in DEFAULT_PRODUCTS),
        help="comma-separated kinds (default: %(default)s)",
    )
    parser.add_argument("--ground-sample-distance", type=int, choices=(10, 20, 40), default=10)
    parser.add_argument("--fusion", choices=("or", "blend"), help="of overlapping tiles")
    parser.add_argument("--offset", type=int, help="DN offset of all bands, against the metadata")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    _add_common(parser)


def _add_compare(commands: Any) -> None:
    parser = commands.add_parser(
        "compare", help="tell where two masks of a scene differ (docs/comparing.md)"
    )
    parser.set_defaults(run=_compare)
    parser.add_argument("a", type=Path, metavar="A", help="the reference: mask or product folder")
    parser.add_argument("b", type=Path, metavar="B", help="what is compared with it")
    parser.add_argument("-o", "--out", type=Path, metavar="MAP", help="map of it, .png or .tif")
    parser.add_argument(
        "--least-agreement", type=float, default=0.0, help="exit status 1 below this share"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _add_bench(commands: Any) -> None:
    parser = commands.add_parser(
        "bench", help="measure the engines beside the reference benchmark (docs/bench.md)"
    )
    parser.set_defaults(run=_bench)
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--engines", help="comma-separated (default: those of the settings)")
    parser.add_argument("--tiles", type=int, default=2809, help="steady tiles (%(default)s)")
    parser.add_argument("--warm-up", type=int, default=50, help="tiles before (%(default)s)")
    parser.add_argument("--soak-seconds", type=float, default=0.0, help="under load, before")
    parser.add_argument("--scene", type=Path, help="take its tiles, run the whole chain on it")
    parser.add_argument("--truth", type=Path, help="the scene's true mask, for F2")
    parser.add_argument(
        "--baseline", action="store_true", help="with torch-cpu, also its windows of 2,048 pixels"
    )
    _add_common(parser)


def _add_self_test(commands: Any) -> None:
    parser = commands.add_parser("selftest", help="run the model package's golden tiles")
    parser.set_defaults(run=_self_test)
    _add_common(parser)


def _add_model(commands: Any) -> None:
    parser = commands.add_parser("model", help="verify a model package, and tell what it is")
    parser.set_defaults(run=_model)
    parser.add_argument("package", type=Path, nargs="?", help="folder (default: what would fly)")
    parser.add_argument("--settings", type=Path, help="TOML file that names the package")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _add_serve(commands: Any) -> None:
    parser = commands.add_parser("serve", help="run the flight service (docs/operations.md)")
    parser.set_defaults(run=_serve)
    _add_common(parser)


def _add_keys(commands: Any) -> None:
    parser = commands.add_parser("keys", help="who may listen and who may command")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    generate = actions.add_parser("generate", help="make the service's own key pair")
    generate.set_defaults(run=_keys_generate)
    authorise = actions.add_parser("authorise", help="let a client in")
    authorise.set_defaults(run=_keys_authorise)
    authorise.add_argument("public", type=Path, help="its public key, NAME.key")
    authorise.add_argument(
        "--telecommand-key", type=Path, help="NAME.telecommand_key: it may command, too"
    )
    revoke = actions.add_parser("revoke", help="let a client in no longer")
    revoke.set_defaults(run=_keys_revoke)
    revoke.add_argument("name")
    listed = actions.add_parser("list", help="clients that are let in")
    listed.set_defaults(run=_keys_list)
    for action in (generate, authorise, revoke, listed):
        action.add_argument("--settings", type=Path, help="TOML file that names the key folder")
        action.add_argument("--keys", type=Path, help="the key folder itself")
        action.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--settings", type=Path, help="TOML file (docs/settings.md)")
    parser.add_argument("--model", type=Path, help="model package (default: the one that ships)")
    parser.add_argument("--engine", choices=get_args(EngineName), help="this one and no other")
    parser.add_argument(
        "--arrangement", choices=("spatial", "batch", "instances"), help="of the card's cores"
    )
    parser.add_argument("--twin", action="store_true", help="reproduce the reference card's timing")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
