from __future__ import annotations

import hashlib
import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from telecommands.dictionary import DownlinkClass, ProductOffer
from telecommands.gateway.files.products import ProductHandOver, ProductRelay
from telecommands.ground.connection import GroundKeys
from telecommands.ground.downlink import ReceivedProduct
from telecommands.ground.errors import GroundError, TransferFailed
from telecommands.ground.station import Station, StationEndpoints
from tests.unit.telecommands.simulated_links import AnsweringSocket, SimulatedDownlink

CONTENT = b"mask" * 1000


def offer(product: str = "p1") -> ProductOffer:
    return ProductOffer(
        unit="sat-a",
        product=product,
        job="job1",
        kind="mask",
        downlink_class=DownlinkClass.MASK,
        name=f"{product}.npy",
        size=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        chunk_bytes=1000,
        confirmed=0,
    )


class Peer:
    """The CFDP peer, which may be down; ``confirmed`` is what the service knew at each file."""

    def __init__(self, downlink: SimulatedDownlink | None = None) -> None:
        self.files: list[str] = []
        self.tries = 0
        self.down = self.kill = False
        self.transactions: list[tuple[int, bool]] = []
        self.hand_over: ProductHandOver | None = None
        self._numbers = itertools.count(1)
        self.confirmed: list[list[str]] = []
        self._downlink = downlink

    def gateway(
        self, folder: Path, monotonic: Callable[[], float] = time.monotonic
    ) -> ProductHandOver:
        """The part of a gateway that has just been started."""
        folder.mkdir(exist_ok=True)
        self.hand_over = ProductHandOver(folder, self.send, self._numbers.__next__, monotonic)
        return self.hand_over

    def send(self, path: Path, name: str, number: int, *, resumed: bool) -> None:
        self.tries += 1
        self.transactions.append((number, resumed))
        if self.kill:
            raise KeyboardInterrupt
        if self.down:
            raise TransferFailed(name, "did not reach the CFDP peer", "Start it")
        assert path.read_bytes() == CONTENT
        self.files.append(name)
        assert self.hand_over is not None
        self.hand_over.completed(number)
        if self._downlink:
            self.confirmed.append(list(self._downlink.delivered))


def test_a_product_is_handed_over_once_although_the_gateway_restarts(tmp_path: Path) -> None:
    path, peer = tmp_path / "p1.npy", Peer()
    path.write_bytes(CONTENT)
    handed = tmp_path / "handed"
    peer.gateway(handed).hand_on(offer(), path)
    peer.gateway(handed).hand_on(offer(), path)
    assert peer.files == ["sat-a_job1_p1.npy"]
    received = ReceivedProduct("sat-a", "p1", "job1", "mask", path, len(CONTENT), offer().sha256, 0)
    again = peer.gateway(handed)
    again.confirmed(received)
    assert list(handed.iterdir()) == []
    again.hand_on(offer(), path)  # RELEASE_PRODUCT: wanted once more
    assert peer.files == ["sat-a_job1_p1.npy"] * 2


def test_a_gateway_that_is_killed_while_it_sends_resumes_the_transaction(tmp_path: Path) -> None:
    path, peer = tmp_path / "p1.npy", Peer()
    path.write_bytes(CONTENT)
    peer.kill = True
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            peer.gateway(tmp_path / "handed").hand_on(offer(), path)
    peer.kill = False
    peer.gateway(tmp_path / "handed").hand_on(offer(), path)
    assert peer.transactions == [(1, False), (1, True), (1, True)]


def test_a_report_that_arrives_after_a_kill_hands_the_product_over(tmp_path: Path) -> None:
    path, peer = tmp_path / "p1.npy", Peer()
    path.write_bytes(CONTENT)
    peer.kill = True
    with pytest.raises(KeyboardInterrupt):
        peer.gateway(tmp_path / "handed").hand_on(offer(), path)
    again = peer.gateway(tmp_path / "handed")
    again.completed(7)  # of a product that the service knows to be delivered
    again.completed(1)
    again.hand_on(offer(), path)
    assert peer.transactions == [(1, False)]


def test_a_report_that_arrives_after_the_transaction_was_given_up_counts(tmp_path: Path) -> None:
    path, peer = tmp_path / "p1.npy", Peer()
    path.write_bytes(CONTENT)
    hand_over = peer.gateway(tmp_path / "handed")

    def send(_path: Path, name: str, number: int, *, resumed: bool) -> None:
        hand_over.completed(number)
        raise TransferFailed(name, f"the peer was silent ({resumed})")

    peer.send = send  # type: ignore[method-assign]
    hand_over = peer.gateway(tmp_path / "handed")
    hand_over.hand_on(offer(), path)
    hand_over.hand_on(offer(), path)


def test_a_transaction_that_failed_begins_again_under_a_new_number(tmp_path: Path) -> None:
    path, peer = tmp_path / "p1.npy", Peer()
    path.write_bytes(CONTENT)
    peer.down = True
    for _ in range(2):
        with pytest.raises(TransferFailed):
            peer.gateway(tmp_path / "handed").hand_on(offer(), path)
    assert peer.transactions == [(1, False), (2, False)]


def test_a_peer_that_failed_costs_no_contact_time_for_a_minute(tmp_path: Path) -> None:
    now, peer = 1000.0, Peer()
    peer.down = True
    hand_over = peer.gateway(tmp_path / "handed", lambda: now)
    (tmp_path / "p1.npy").write_bytes(CONTENT)
    for product in ("p1", "p2", "p3"):
        with pytest.raises(TransferFailed):
            hand_over.hand_on(offer(product), tmp_path / "p1.npy")
    assert peer.tries == 1
    now, peer.down = 1061.0, False
    hand_over.hand_on(offer(), tmp_path / "p1.npy")
    assert peer.files == ["sat-a_job1_p1.npy"]


def test_the_service_learns_of_a_product_after_the_peer_has_it(tmp_path: Path) -> None:
    downlink = SimulatedDownlink([(offer("p1"), CONTENT), (offer("p2"), CONTENT)])
    peer, stop, failures = Peer(downlink), threading.Event(), list[GroundError]()
    done: list[str] = []

    def finished(product: ReceivedProduct) -> None:
        done.append(product.product)
        if len(done) == 2:
            stop.set()

    def failed(error: GroundError) -> None:
        failures.append(error)
        stop.set()

    with AnsweringSocket(downlink) as service:
        station = Station(
            StationEndpoints("", "", service.endpoint), GroundKeys(), tmp_path / "sequence"
        )
        hand_over = peer.gateway(tmp_path / "handed")
        ProductRelay(station, tmp_path / "received", hand_over, finished, failed).run(stop)
        assert done == downlink.delivered == ["p1", "p2"]
        assert peer.confirmed == [[], ["p1"]]

        stop.clear()
        downlink.delivered.clear()
        peer.down = True
        ProductRelay(station, tmp_path / "received", hand_over, finished, failed).run(stop)
    assert downlink.delivered == []
    assert [error.code for error in failures] == ["TRANSFER_FAILED"]
