"""Opens the card if there is one, else its simulator.

The vendor's library has no types: its objects are typed as the simulator's, which has its API.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

from flightsw.config import DimcSettings
from flightsw.dimc import errors
from flightsw.dimc.injection import FaultyContext, injector_of
from flightsw.dimc.simulator import runtime as simulator
from flightsw.errors import EngineUnavailable


@dataclass(frozen=True)
class Runtime:
    """An open context on one device.  ``faults`` are the exceptions that its calls may raise.

    ``injected_celsius`` gives a temperature that is injected now, else None.
    """

    context: simulator.Context
    device: simulator.DeviceInfo
    simulated: bool
    faults: tuple[type[Exception], ...]
    injected_celsius: Callable[[], float | None] = lambda: None


def open_runtime(settings: DimcSettings) -> Runtime:
    """Open the first card of ``axelera.runtime``, or the simulator.

    ``settings.card``: ``auto`` takes the simulator if the library or the
    card is missing, ``card`` raises :class:`~flightsw.errors.EngineUnavailable` then.
    The twin's settings matter to the simulator only; ``settings.faults`` are injected into both.
    """
    runtime = _open(settings)
    if settings.faults is None:
        return runtime
    injector = injector_of(settings.faults)
    context = FaultyContext(runtime.context, injector, runtime.faults)
    return replace(
        runtime,
        context=cast(simulator.Context, context),
        injected_celsius=lambda: injector.celsius,
    )


def _open(settings: DimcSettings) -> Runtime:
    if settings.card != "simulator":
        try:
            return _open_card()
        except EngineUnavailable:
            if settings.card == "card":
                raise
    context = simulator.Context(settings.twin, settings.threads)
    return Runtime(context, context.list_devices()[0], True, (errors.RuntimeFault,))


def _open_card() -> Runtime:
    try:
        from axelera import runtime as library  # noqa: PLC0415
    except (ImportError, OSError) as error:
        raise EngineUnavailable(
            "axelera.runtime", f"cannot be imported ({error})", "Install the Voyager SDK"
        ) from error
    faults = _faults_of(library)
    try:
        context = library.Context()
    except faults as error:
        raise _no_card(f"cannot open a context ({error})") from error
    try:
        devices = context.list_devices()
    except faults as error:
        context.release()
        raise _no_card(f"cannot list the devices ({error})") from error
    if not devices:
        context.release()
        raise _no_card("found no device")
    return Runtime(context, devices[0], False, faults)


def _faults_of(library: Any) -> tuple[type[Exception], ...]:
    """The library's exceptions, and what a native extension raises besides."""
    named = (getattr(library, name, None) for name in errors.NAMES)
    return (
        *(fault for fault in named if isinstance(fault, type) and issubclass(fault, Exception)),
        RuntimeError,
        OSError,
    )


def _no_card(cause: str) -> EngineUnavailable:
    return EngineUnavailable(
        "axelera.runtime",
        cause,
        "Refresh the card (axdevice --refresh), rescan the PCIe bus, or use the simulator",
    )
