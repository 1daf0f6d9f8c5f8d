"""``groundsim metrics``: the HTTP addresses."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.unit.telecommands.flight_stand_in import FlightStandIn

SECONDS = 30


@pytest.fixture
def served(flight: FlightStandIn, options: list[str]) -> Iterator[str]:
    """Host and port of the command."""
    command = [sys.executable, "-m", "telecommands.groundsim", "metrics", "--listen", "127.0.0.1:0"]
    command += options
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield urlsplit(process.stdout.readline()).netloc
            process.send_signal(2)
            assert process.wait(SECONDS) == 0
        finally:
            process.kill()


def _get(served: str, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(served, timeout=SECONDS)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_prometheus_and_health_are_served(served: str) -> None:
    status = 503
    for _ in range(10_000):  # until the first packet has arrived: each request takes a while
        status, text = _get(served, "/health")
        if status == 200:
            break
    assert json.loads(text)["mode"] == "OPERATIONAL"
    assert _get(served, "/ready")[0] == 200
    status, text = _get(served, "/metrics")
    assert status == 200
    assert re.search(r"^flightsw_link_up 1\.0$", text, re.MULTILINE)


def test_another_path_names_the_pages(served: str) -> None:
    status, text = _get(served, "/")
    assert status == 404
    assert "/metrics" in text


def test_a_port_in_use_is_named(served: str, options: list[str]) -> None:
    command = [sys.executable, "-m", "telecommands.groundsim", "metrics", "--listen", served]
    command += options
    ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert ended.returncode == 1
    assert f"{served} cannot be listened on" in ended.stderr
    assert "--listen" in ended.stderr
