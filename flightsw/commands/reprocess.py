"""``flightsw reprocess``: an archive of scenes through the chain, on Dask workers."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from flightsw.commands.options import Check, add_engine_options, engine_settings
from flightsw.commands.scenes import SOME_FAILED
from flightsw.errors import UsageError
from flightsw.host.location import location_of
from flightsw.products.kinds import PRODUCT_KINDS
from telecommands.command_line import listed, set_completer, whole_number
from telecommands.dictionary import Decode

if TYPE_CHECKING:
    from flightsw.archive.answer import Answer
    from flightsw.archive.cluster import Cluster
    from flightsw.archive.reprocess import RunTotals

_PRODUCTS: Final = "cog,stac,report"
_MOST_WORKERS: Final = 4096
_MOST_COUNTED: Final = 99
_FAILURES_SHOWN: Final = 20


def add_parser(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "reprocess",
        help="process an archive of scenes on several workers (docs/archive.md)",
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "scenes",
        type=location_of,
        metavar="SCENES",
        help="folder of scenes, quoted pattern, text file of one scene per line, or STAC catalogue",
    )
    parser.add_argument(
        "out", type=Path, metavar="OUT", help="folder of the runs: one for each model and settings"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--workers",
        type=whole_number(1, _MOST_WORKERS, "a number of workers"),
        metavar="N",
        help="on this machine (default: one per core)",
    )
    where.add_argument(
        "--scheduler", metavar="ADDRESS", help="address of a Dask scheduler: tcp://HOST:8786"
    )
    parser.add_argument(
        "--memory-limit",
        default="2GiB",
        metavar="SIZE",
        help="memory at which a worker on this machine is restarted (%(default)s)",
    )
    products = parser.add_argument(
        "--products",
        default=_PRODUCTS,
        help="comma-separated kinds, as of flightsw process (default: %(default)s)",
    )
    set_completer(products, listed(kind.name for kind in PRODUCT_KINDS))
    parser.add_argument(
        "--ground-sample-distance",
        type=int,
        choices=(10, 20, 40),
        help="metres per pixel (default: that of the settings, 10)",
    )
    parser.add_argument("--decode", choices=get_args(Decode), help="exact, or fast")
    parser.add_argument(
        "--copies",
        type=Path,
        metavar="FOLDER",
        help="lossless copies of the bands: made now, decoded instead of the files by later runs",
    )
    parser.add_argument(
        "--compare",
        type=Path,
        metavar="TABLE",
        help="table.parquet of another run: also write a page that compares both",
    )
    parser.add_argument(
        "--surfaces",
        type=Path,
        metavar="FILE",
        help="lines TILE,SURFACE, such as T32TQM,forest, for the comparison",
    )
    parser.add_argument(
        "--retry-failed", action="store_true", help="compute scenes again whose failure is recorded"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    add_engine_options(parser)


def run(arguments: argparse.Namespace, check: Check) -> int:
    """Process what is missing and print the totals; the status counts the scenes that failed."""
    from flightsw.archive.cluster import require_dask  # noqa: PLC0415 - as do those below

    require_dask()
    from flightsw.archive.comparison import read_surfaces  # noqa: PLC0415
    from flightsw.archive.plan import open_plan  # noqa: PLC0415
    from flightsw.archive.reprocess import reprocess  # noqa: PLC0415
    from flightsw.archive.run_order import make_order, with_decode  # noqa: PLC0415

    check()
    order = make_order(
        with_decode(engine_settings(arguments), arguments.decode),
        arguments.out,
        tuple(filter(None, arguments.products.split(","))),
        arguments.ground_sample_distance,
        copies=arguments.copies,
        compared_with=_run_of(arguments.compare) if arguments.compare else None,
        retry_failed=arguments.retry_failed,
    )
    surfaces = read_surfaces(arguments.surfaces) if arguments.surfaces else {}
    with (
        open_plan(arguments.scenes) as plan,
        _progress(len(plan), quiet=arguments.quiet) as progress,
    ):
        totals = reprocess(
            plan,
            order,
            _cluster(arguments, progress),
            progress,
            check,
            surfaces=surfaces,
        )
    print(json.dumps(_as_json(totals)) if arguments.json else _as_text(totals))
    return SOME_FAILED + min(totals.failed, _MOST_COUNTED) if totals.failed else 0


def _cluster(
    arguments: argparse.Namespace, progress: _Bar
) -> Callable[[], AbstractContextManager[Cluster]]:
    from flightsw.archive.cluster import (  # noqa: PLC0415
        default_worker_count,
        existing_cluster,
        local_cluster,
    )

    @contextmanager
    def connected() -> Iterator[Cluster]:
        opening = (
            existing_cluster(arguments.scheduler)
            if arguments.scheduler
            else local_cluster(arguments.workers or default_worker_count(), arguments.memory_limit)
        )
        with opening as cluster:
            if cluster.dashboard:
                progress.warn(f"Dask's dashboard: {cluster.dashboard}")
            yield cluster

    return connected


def _run_of(table: Path) -> Path:
    """The folder of the run whose table this is."""
    if table.suffix != ".parquet" or not table.is_file():
        cause, cure = "is not the table of a run", "Give the table.parquet of another run"
        raise UsageError(table, cause, cure)
    return table.parent


class _Bar:
    """One bar for all scenes: how many are done and failed, rate and time left."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._failed = 0

    def done(self, answer: Answer) -> None:
        if answer.outcome.failed:
            self._failed += 1
            self._bar.set_postfix_str(f"{self._failed} failed", refresh=False)
        self._bar.update(1)

    def warn(self, line: str) -> None:
        self._bar.write(line, file=sys.stderr)


@contextmanager
def _progress(scenes: int, *, quiet: bool) -> Iterator[_Bar]:
    from tqdm import tqdm  # noqa: PLC0415 - takes long to load

    hidden = quiet or not sys.stderr.isatty()
    with tqdm(total=scenes, unit="scene", disable=hidden, leave=False, dynamic_ncols=True) as bar:
        yield _Bar(bar)


def _as_json(totals: RunTotals) -> dict[str, Any]:
    return {
        "scenes": totals.scenes,
        "computed": totals.computed,
        "recorded": totals.recorded,
        "failed": totals.failed,
        "lost": totals.lost,
        "failures": [
            {"scene": one.scene, "code": one.code, "cause": one.cause, "cure": one.cure}
            for one in totals.failures
        ],
        "same_scenes": totals.same_scenes,
        "table": str(totals.table),
        "catalogue": str(totals.catalogue),
        "comparison": str(totals.comparison) if totals.comparison else None,
    }


def _as_text(totals: RunTotals) -> str:
    shown = totals.failures[:_FAILURES_SHOWN]
    more = totals.failed - len(shown)
    lines = [
        *(f"failed: {one.code}: {one.cause}. {one.cure}" for one in shown),
        *([f"{more} more failed: see the column code of the table"] if more else []),
        *(f"note: {a} and {b} are the same scene" for a, b in totals.same_scenes),
        f"{totals.scenes} scenes, {totals.failed} failed",
        f"computed   {totals.computed} now, {totals.recorded} before",
        f"table      {totals.table}",
        f"catalogue  {totals.catalogue}",
        *([f"comparison {totals.comparison}"] if totals.comparison else []),
    ]
    return "\n".join(lines)
