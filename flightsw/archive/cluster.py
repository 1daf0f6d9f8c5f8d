"""A Dask cluster: workers on this machine, or a scheduler that exists."""

from __future__ import annotations

import os
import pkgutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

from flightsw import __version__
from flightsw.errors import LinkError, UsageError

CARD: Final = "card"
"""The resource that every worker offers once: one engine a card."""

_CONNECT_SECONDS: Final = 20.0
_WORKERS_SECONDS: Final = 120.0
_VERSION: Final = "flightsw:__version__"
_CURE: Final = "Start each with --nthreads 1 --resources card=1 (docs/archive.md)"


@dataclass(frozen=True)
class Cluster:
    """A connected client of Dask, and the address of Dask's dashboard, empty without bokeh."""

    client: Any
    dashboard: str

    def workers(self) -> Mapping[str, Any]:
        """What the scheduler knows of each worker, by address.

        The client's own copy of it has no worker after each of its regular updates.
        Raises :class:`OSError` if the scheduler does not answer.
        """
        identity = self.client.sync(self.client.scheduler.identity, n_workers=-1)
        found: Mapping[str, Any] = identity["workers"]
        return found


@contextmanager
def local_cluster(workers: int, memory_limit: str) -> Iterator[Cluster]:
    """Start worker processes on this machine; they end with the context, or with this process.

    Each has one processing thread; one that uses more than ``memory_limit`` is restarted.
    """
    distributed = require_dask()
    import dask  # noqa: PLC0415

    with (
        # Dask's statistical profiler looks at each thread a hundred times a second.
        dask.config.set({"distributed.worker.profile.enabled": False}),
        _quiet(),
        distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            memory_limit=memory_limit,
            dashboard_address="127.0.0.1:0",
            resources={CARD: 1},
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield Cluster(client, str(client.dashboard_link) if find_spec("bokeh") else "")


@contextmanager
def existing_cluster(address: str) -> Iterator[Cluster]:
    """Connect to a scheduler; its workers continue after the context.

    Raises :class:`LinkError` if it does not answer or has no worker, and :class:`UsageError` that
    names workers that do not fit.
    """
    distributed = require_dask()
    try:
        client = distributed.Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError) as error:
        cause = f"does not answer within {_CONNECT_SECONDS:.0f} s"
        cure = "Start the scheduler, and give its address as in tcp://HOST:8786"
        raise LinkError(f"the scheduler at {address}", cause, cure) from error
    except ValueError as error:
        cure = "Give its address as in tcp://HOST:8786"
        raise LinkError(
            f"the scheduler at {address}", f"has no such address ({error})", cure
        ) from error
    with client, _quiet():
        try:
            client.wait_for_workers(1, timeout=_WORKERS_SECONDS)
        except TimeoutError as error:
            cause = f"has no worker after {_WORKERS_SECONDS:.0f} s"
            raise LinkError(f"the scheduler at {address}", cause, _CURE) from error
        cluster = Cluster(client, str(client.dashboard_link))
        _refuse_unfit_workers(cluster)
        yield cluster


def require_dask() -> Any:
    """The library ``distributed``; :class:`UsageError` without the extra."""
    try:
        import distributed  # noqa: PLC0415
    except ImportError as error:
        cause = "needs Dask, which is not installed"
        raise UsageError("reprocess", cause, "Install flightsw[archive]") from error
    return distributed


def _refuse_unfit_workers(cluster: Cluster) -> None:
    """Raise :class:`UsageError` that names the workers with other threads, cards or software."""
    found = cluster.client.run(pkgutil.resolve_name, _VERSION, on_error="return")
    for address, worker in cluster.workers().items():
        version = found.get(address, __version__)  # of one that came later, its first answer shows
        threads, cards = worker["nthreads"], worker["resources"].get(CARD, 0)
        subject = f"worker {address}"
        if isinstance(version, BaseException):
            cause = f"has no flightsw ({version})"
            raise UsageError(subject, cause, f"Install flightsw {__version__} on its machine")
        if version != __version__:
            cause = f"runs flightsw {version}, the driver {__version__}"
            raise UsageError(subject, cause, "Install one version on all machines")
        if threads != 1:
            raise UsageError(subject, f"has {threads} threads, not one", _CURE)
        if cards != 1:
            raise UsageError(subject, f"offers {cards:g} of the resource card, not one", _CURE)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask's log of lost workers off the terminal: the run reports what matters."""
    import logging  # noqa: PLC0415

    logger = logging.getLogger("distributed")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def end_workers(client: Any, addresses: list[str]) -> None:
    """Take workers out of the cluster; those that are gone already do not matter."""
    with suppress(OSError, TimeoutError):
        client.retire_workers(workers=addresses, close_workers=True)


def default_worker_count() -> int:
    """As many workers as this process may use cores."""
    return len(os.sched_getaffinity(0))
