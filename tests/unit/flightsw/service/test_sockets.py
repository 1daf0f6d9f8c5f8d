"""The endpoints of the service."""

from __future__ import annotations

from pathlib import Path

import pytest

from flightsw.config import ServiceSettings
from flightsw.errors import LinkError
from flightsw.keys import KeyFolder
from flightsw.service.sockets import open_sockets


def _open(host: str, *, curve: bool, unprotected_network: bool, folder: Path) -> bool:
    keys = KeyFolder(folder)
    keys.generate("sat-a")
    settings = ServiceSettings(
        state_dir=folder,
        host=host,
        telecommand_port=0,
        telemetry_port=0,
        downlink_port=0,
        curve=curve,
        unprotected_network=unprotected_network,
    )
    with open_sockets(settings, "sat-a", keys, lambda _public, _role: True) as sockets:
        for link in (sockets.telecommand, sockets.telemetry, sockets.downlink):
            link.socket.close()
        return True


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "ground.example"])
def test_links_without_curve_stay_on_the_loopback(host: str, tmp_path: Path) -> None:
    with pytest.raises(LinkError, match=r"service\.unprotected_network"):
        _open(host, curve=False, unprotected_network=False, folder=tmp_path)


def test_who_insists_has_links_without_curve_on_a_network(tmp_path: Path) -> None:
    assert _open("0.0.0.0", curve=False, unprotected_network=True, folder=tmp_path)


def test_links_without_curve_are_possible_on_the_loopback(tmp_path: Path) -> None:
    assert _open("127.0.0.1", curve=False, unprotected_network=False, folder=tmp_path)


def test_links_with_curve_are_possible_on_a_network(tmp_path: Path) -> None:
    assert _open("0.0.0.0", curve=True, unprotected_network=False, folder=tmp_path)
