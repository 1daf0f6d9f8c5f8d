"""Files by CFDP class 2 with an entity of another make: the package ``cfdp``."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
from collections import Counter
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

pytest.importorskip("cfdp", reason="the foreign CFDP entity is not installed (extra dev)")
pytest.importorskip("cfdppy", reason="cfdp-py is not installed (extra gateway)")

from deploy.faults.gateway_kills import OfferedFile, file_gateway, kill_in_mid_file
from deploy.rig.cfdp_peer import cfdp_peer
from deploy.rig.flight_unit import wait_until
from deploy.rig.ports import free_udp_ports
from telecommands.dictionary import DownlinkClass, ProductOffer
from telecommands.gateway.files.entity import CfdpEntity
from telecommands.gateway.files.link import UdpLink
from telecommands.gateway.files.receiving import FileReceiver
from telecommands.gateway.files.settings import CfdpSettings
from tests.unit.telecommands.simulated_links import AnsweringSocket, SimulatedDownlink

_CONTENT = random.Random(1).randbytes(250_001)
_SHA256 = hashlib.sha256(_CONTENT).hexdigest()


@pytest.fixture
def ports() -> tuple[int, int]:
    own, other = free_udp_ports(2)
    return own, other


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_files_are_equal_both_ways_while_five_percent_of_the_pdus_are_lost(
    tmp_path: Path, ports: tuple[int, int]
) -> None:
    own, other = ports
    arrived: list[Path | None] = []
    received, bucket = tmp_path / "received", tmp_path / "bucket"
    received.mkdir()
    (tmp_path / "file").write_bytes(_CONTENT)
    settings = CfdpSettings(pdu_bytes=4096, resend_s=0.2)
    counts: Counter[str] = Counter()
    receiver = FileReceiver(
        settings, received, lambda *_: True, lambda path, _: arrived.append(path), counts
    )
    with (
        cfdp_peer(bucket, other, own, loss=0.05, seed=3) as peer,
        UdpLink(("127.0.0.1", own), ("127.0.0.1", other), counts) as link,
        CfdpEntity(settings, link, receiver, counts) as entity,
    ):
        entity.send(tmp_path / "file", "down.bin", 1)
        assert _sha256(bucket / "down.bin") == _SHA256
        (bucket / "up.tar").write_bytes(_CONTENT)
        peer.put("up.tar")
        wait_until(lambda: arrived)
    (path,) = arrived
    assert path is not None
    assert _sha256(path) == _SHA256


def test_a_gateway_that_is_killed_in_mid_file_hands_the_product_over_whole_and_once(
    tmp_path: Path, ports: tuple[int, int]
) -> None:
    offer = ProductOffer(
        unit="sat-a",
        product="p1",
        job="job1",
        kind="mask",
        downlink_class=DownlinkClass.MASK,
        name="mask.npy",
        size=len(_CONTENT),
        sha256=_SHA256,
        chunk_bytes=100_000,
        confirmed=0,
    )
    downlink = SimulatedDownlink([(offer, _CONTENT)])
    bucket, endpoints = tmp_path / "bucket", tmp_path / "endpoints.json"
    with AnsweringSocket(downlink) as service, cfdp_peer(bucket, ports[1], ports[0]) as peer:
        links = dict.fromkeys(("telecommand", "telemetry", "downlink"), service.endpoint)
        endpoints.write_text(json.dumps(links))
        options = ("--endpoints", str(endpoints), "--no-curve", "--only", "down")

        def gateway(rate: float) -> AbstractContextManager[subprocess.Popen[bytes]]:
            return file_gateway(tmp_path / "received", ports, rate, options)

        offered = OfferedFile(offer.size, offer.sha256, lambda: downlink.delivered == ["p1"])
        findings = kill_in_mid_file(gateway, offered, peer, bucket, 2, random.Random(1))
    assert findings == []
    assert [path.name for path in bucket.iterdir()] == ["sat-a_job1_mask.npy"]
