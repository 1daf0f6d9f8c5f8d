from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flightsw.errors import LinkError
from flightsw.fdir.notify import ServiceNotifier


@pytest.fixture(params=["file", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A service manager's socket, and its address as NOTIFY_SOCKET gives it."""
    if request.param == "file":
        name = str(tmp_path / "notify")
        address = name
    else:
        name = f"@flightsw-{secrets.token_hex(8)}"
        address = "\0" + name[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(10)
        yield listener, name


@pytest.mark.parametrize(
    ("notify", "message"),
    [
        (ServiceNotifier.ready, b"READY=1"),
        (ServiceNotifier.stopping, b"STOPPING=1"),
        (ServiceNotifier.watchdog, b"WATCHDOG=1"),
        (lambda one: one.extend_timeout(2.5), b"EXTEND_TIMEOUT_USEC=2500000"),
        (lambda one: one.status("job 3 of 5,\n12 °C\udcff"), "STATUS=job 3 of 5, 12 °C?".encode()),
        (lambda one: one.status("x" * 10_000), b"STATUS=" + b"x" * 500),
    ],
)
def test_the_manager_hears_what_systemd_lays_down(
    manager: tuple[socket.socket, str], notify: Callable[[ServiceNotifier], bool], message: bytes
) -> None:
    listener, name = manager
    notifier = ServiceNotifier.from_environment({"NOTIFY_SOCKET": name}, process=1)
    assert notify(notifier)
    assert listener.recv(4096) == message


def test_without_a_manager_nothing_is_sent() -> None:
    notifier = ServiceNotifier.from_environment({"WATCHDOG_USEC": "1000000"}, process=1)
    assert not notifier.ready()
    assert notifier.feed_every(20.0) == 20.0


def test_a_manager_that_is_gone_is_not_a_fault(tmp_path: Path) -> None:
    assert not ServiceNotifier(str(tmp_path / "gone")).watchdog()
    assert not ServiceNotifier("/" + "x" * 200).watchdog()


def test_a_manager_that_does_not_read_holds_nobody_up(
    manager: tuple[socket.socket, str],
) -> None:
    notifier = ServiceNotifier(manager[1])
    while notifier.watchdog():
        pass
    assert not notifier.status("x")


@pytest.mark.parametrize(("process", "period"), [("700", 15.0), ("701", 20.0), (None, 15.0)])
def test_the_watchdog_is_fed_at_half_its_time_by_the_process_it_is_meant_for(
    process: str | None, period: float
) -> None:
    environ = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "30000000"}
    if process is not None:
        environ["WATCHDOG_PID"] = process
    notifier = ServiceNotifier.from_environment(environ, process=700)
    assert notifier.feed_every(20.0) == period
    assert notifier.feed_every(1.0) == 1.0


@pytest.mark.parametrize(
    "environ",
    [
        {"NOTIFY_SOCKET": "vsock:2:1234"},
        {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "soon"},
        {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "0"},
        {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "-5"},
    ],
)
def test_an_environment_that_makes_no_sense_is_refused(environ: dict[str, str]) -> None:
    with pytest.raises(LinkError):
        ServiceNotifier.from_environment(environ, process=1)
