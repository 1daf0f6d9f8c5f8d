"""Files by CFDP class 2 with a Yamcs server: a product in its bucket, a package from its bucket."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from spacepackets.cfdp.pdu import FileDataPdu, FinishedPdu

from deploy.rig.flight_unit import wait_until
from deploy.rig.ports import free_tcp_ports, free_udp_ports
from deploy.yamcs.server import INSTALLED, command
from telecommands.gateway.files.entity import CfdpEntity
from telecommands.gateway.files.library import read_pdu
from telecommands.gateway.files.link import UdpLink
from telecommands.gateway.files.receiving import FileReceiver
from telecommands.gateway.files.sending import FileSender
from telecommands.gateway.files.settings import CfdpSettings

pytestmark = pytest.mark.skipif(
    not (INSTALLED / "bin" / "python").exists(), reason="Yamcs is not installed: run make foreign"
)

_CONTENT = random.Random(1).randbytes(200_001)
_SERVER = """
services:
  - class: org.yamcs.http.HttpServer
    args: {{port: {port}, address: 127.0.0.1}}
instances: [test]
secretKey: test
"""
_INSTANCE = """
services:
  - class: org.yamcs.cfdp.CfdpService
    name: cfdp
    args:
      inStream: cfdp_in
      outStream: cfdp_out
      incomingBucket: products
      allowDownloadOverwrites: true
      sequenceNrLength: 4
      entityIdLength: 2
      maxPduSize: 4096
      localEntities: [{{name: ground, id: 2}}]
      remoteEntities: [{{name: unit, id: 1}}]
dataLinks:
  - name: pdus-in
    class: org.yamcs.tctm.UdpTmDataLink
    stream: pdus_in
    port: {listen}
    maxLength: 65507
    packetPreprocessorClassName: org.yamcs.tctm.GenericPacketPreprocessor
    packetPreprocessorArgs: {{timestampOffset: -1, seqCountOffset: -1}}
  - name: pdus-out
    class: org.yamcs.tctm.UdpTcDataLink
    stream: pdus_out
    host: 127.0.0.1
    port: {peer}
    commandPostprocessorClassName: org.yamcs.tctm.GenericCommandPostprocessor
mdb: [{{type: emptyNode, spec: nothing}}]
streamConfig:
  cmdHist: [cmdhist_realtime]
  event: [events_realtime]
  tm: [pdus_in]
  tc: [pdus_out]
  sqlFile: etc/cfdp.sql
"""
_STREAMS = """
create stream cfdp_in as select substring(packet, 0) as pdu from pdus_in
create stream cfdp_out (gentime TIMESTAMP, entityId long, seqNum int, pdu binary)
create stream cfdp_tc as select gentime, 'cfdp' as origin, seqNum, '/nothing/pdu' as cmdName, pdu as binary from cfdp_out
insert into pdus_out select * from cfdp_tc
"""  # noqa: E501 - one statement a line


class LossyLink:
    """Five percent of the PDUs are lost, both ways."""

    ready = True

    def __init__(self, link: UdpLink) -> None:
        self._link, self._random = link, random.Random(4)

    def send(self, pdu: bytes) -> None:
        if self._random.random() >= 0.05:
            self._link.send(pdu)

    def receive(self, timeout_s: float) -> bytes | None:
        pdu = self._link.receive(timeout_s)
        return None if self._random.random() < 0.05 else pdu


class WatchedLink:
    """Counts the bytes of the file; ``deaf`` to the peer's report, as a killed gateway is."""

    def __init__(self, link: UdpLink, *, deaf: bool = False) -> None:
        self._link, self._deaf = link, deaf
        self.reported = False
        self.file_bytes = 0

    def carry(self, sender: FileSender, ended: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not ended():
            assert time.monotonic() < deadline
            pdus = sender.emit(20_000, time.monotonic())
            raw = self._link.receive(0.01)
            if raw is not None and isinstance(read_pdu(raw), FinishedPdu):
                self.reported = True
            if raw is not None and not (self._deaf and self.reported):
                pdus += sender.take(read_pdu(raw), time.monotonic())
            for pdu in pdus:
                found = read_pdu(pdu)
                self.file_bytes += len(found.file_data) if isinstance(found, FileDataPdu) else 0
                self._link.send(pdu)


class Yamcs:
    def __init__(self, port: int) -> None:
        self._api = f"http://127.0.0.1:{port}/api"

    def call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(self._api + path, data=body, method=method)
        request.add_header("Content-Type", "application/octet-stream")
        with urllib.request.urlopen(request, timeout=30) as answer:
            content: bytes = answer.read()
        return content

    def command(self, path: str, **fields: Any) -> None:
        self.call("POST", path, json.dumps(fields).encode())

    def products(self) -> list[str]:
        listed = json.loads(self.call("GET", "/storage/buckets/products/objects"))
        return [one["name"] for one in listed.get("objects", ())]

    def runs(self) -> bool:
        try:
            return b"cfdp" in self.call("GET", "/filetransfer/test/services")
        except (urllib.error.URLError, ConnectionError):
            return False


@contextmanager
def yamcs(folder: Path, listen: int, peer: int) -> Iterator[Yamcs]:
    """A server with a CFDP service whose links lead to us."""
    (folder / "etc").mkdir(parents=True)
    (port,) = free_tcp_ports(1)
    for name, text in (
        ("yamcs.yaml", _SERVER.format(port=port)),
        ("yamcs.test.yaml", _INSTANCE.format(listen=listen, peer=peer)),
        ("cfdp.sql", _STREAMS),
    ):
        (folder / "etc" / name).write_text(text)
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command(folder), cwd=folder, stdout=output, stderr=output)
    try:
        server = Yamcs(port)
        wait_until(lambda: process.poll() is not None or server.runs(), 180)
        assert process.poll() is None, log.read_text()[-3000:]
        yield server
    finally:
        process.terminate()
        process.wait(60)


def test_files_are_equal_in_a_bucket_and_from_it_while_five_percent_of_the_pdus_are_lost(
    tmp_path: Path,
) -> None:
    own, other = free_udp_ports(2)
    counts: Counter[str] = Counter()
    arrived: list[Path | None] = []
    settings = CfdpSettings(pdu_bytes=4096, resend_s=0.5, bytes_per_second=5e6)
    receiver = FileReceiver(
        settings, tmp_path, lambda *_: True, lambda path, _: arrived.append(path), counts
    )
    (tmp_path / "file").write_bytes(_CONTENT)
    with (
        yamcs(tmp_path / "yamcs", other, own) as server,
        UdpLink(("127.0.0.1", own), ("127.0.0.1", other), counts) as link,
        CfdpEntity(settings, LossyLink(link), receiver, counts) as entity,
    ):
        entity.send(tmp_path / "file", "unit_job_mask.npy", 1)
        stored = server.call("GET", "/storage/buckets/products/objects/unit_job_mask.npy")
        assert hashlib.sha256(stored).digest() == hashlib.sha256(_CONTENT).digest()
        server.command("/storage/buckets", name="packages")
        server.call("POST", "/storage/buckets/packages/objects/m.tar", _CONTENT)
        server.command(
            "/filetransfer/test/cfdp/transfers",
            direction="UPLOAD",
            bucket="packages",
            objectName="m.tar",
            remotePath="m.tar",
            source="ground",
            destination="unit",
            options={"reliable": True},
        )
        wait_until(lambda: arrived)
    (path,) = arrived
    assert path is not None
    assert path.read_bytes() == _CONTENT


def test_a_product_is_in_the_bucket_once_after_kills_in_mid_file_and_before_the_report(
    tmp_path: Path,
) -> None:
    own, other = free_udp_ports(2)
    counts: Counter[str] = Counter()
    settings = CfdpSettings(pdu_bytes=4096, resend_s=0.5)
    path, name = tmp_path / "file", "unit_job_mask.npy"
    path.write_bytes(_CONTENT)
    completed: list[int] = []
    with (
        yamcs(tmp_path / "yamcs", other, own) as server,
        UdpLink(("127.0.0.1", own), ("127.0.0.1", other), counts) as link,
    ):
        half, sender = WatchedLink(link), FileSender(settings, counts, completed.append)
        sender.begin(path, name, 1, time.monotonic())
        half.carry(sender, lambda: half.file_bytes > len(_CONTENT) // 2)

        killed, sender = WatchedLink(link, deaf=True), FileSender(settings, counts, print)
        sender.begin(path, name, 1, time.monotonic(), resumed=True)
        killed.carry(sender, lambda: killed.reported)
        assert half.file_bytes + killed.file_bytes == len(_CONTENT)
        assert server.products() == [name]

        resumed, sender = WatchedLink(link), FileSender(settings, counts, completed.append)
        sender.begin(path, name, 1, time.monotonic(), resumed=True)
        resumed.carry(sender, lambda: not sender.busy)
        assert (sender.outcome, completed, resumed.file_bytes) == ("", [1], 0)

        forgotten = WatchedLink(link)  # a gateway that lost its disk sends the file again
        sender.begin(path, name, 2, time.monotonic())
        forgotten.carry(sender, lambda: not sender.busy)
        assert (sender.outcome, forgotten.file_bytes) == ("", len(_CONTENT))
        assert server.products() == [name]
        assert server.call("GET", f"/storage/buckets/products/objects/{name}") == _CONTENT
