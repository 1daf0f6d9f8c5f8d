"""Products down and packages up by CFDP, from a station and two addresses."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from telecommands.gateway.files.entity import CfdpEntity
from telecommands.gateway.files.link import Address, UdpLink
from telecommands.gateway.files.packages import PackageRelay
from telecommands.gateway.files.products import ProductHandOver, ProductRelay
from telecommands.gateway.files.receiving import FileReceiver
from telecommands.gateway.files.settings import CfdpSettings
from telecommands.gateway.files.stream_link import StreamLink
from telecommands.ground.errors import GroundError, product_error
from telecommands.ground.sequence import SequenceFile
from telecommands.ground.station import Station
from telecommands.units import size

_ENDING_S: Final = 10.0


class FileGateway:
    """Runs until :meth:`close`; one gateway for a folder.

    Below ``folder`` are the received products and, in ``.cfdp``, what has to survive a restart: the
    transaction number, what is handed over, and archives that wait for the uplink.  ``peer`` is
    its UDP address; None: the peer connects by TCP.  ``said`` gets a line for each file, ``failed``
    each new error.
    """

    def __init__(
        self,
        station: Station,
        folder: Path,
        settings: CfdpSettings,
        listen: Address,
        peer: Address | None,
        *,
        said: Callable[[str], None],
        failed: Callable[[GroundError | str], None],
        down: bool = True,
        up: bool = True,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        state = folder / ".cfdp"
        handed, waiting = state / "handed", state / "up"
        try:
            for path in (handed, waiting):
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise product_error(state, error) from error
        packages = PackageRelay(station, waiting, lambda what: said(f"up    {what}"), failed)

        def settled(path: Path | None, why: str) -> None:
            if path is None:
                failed(f"a file of the CFDP peer was not received: {why}")
            packages.wake()

        admits = packages.admits if up else lambda _name, _size: False
        receiver = FileReceiver(settings, waiting, admits, settled, self.counts)
        numbers = SequenceFile(state / "transactions", block=1)
        with ExitStack() as opened:
            link: UdpLink | StreamLink
            if peer is None:
                link = opened.enter_context(StreamLink(listen, self.counts))
            else:
                link = opened.enter_context(UdpLink(listen, peer, self.counts))
            self.address = link.address
            opened.callback(self._join, packages.wake)  # after the entity, for which they wait
            hand_over = ProductHandOver(handed, self._send, numbers.next)
            self._entity = opened.enter_context(
                CfdpEntity(settings, link, receiver, self.counts, hand_over.completed)
            )
            products = ProductRelay(
                station,
                folder,
                hand_over,
                lambda one: said(f"down  {one.path.name}  {size(one.size)}  {one.sha256}"),
                failed,
            )
            for wanted, relay in ((down, products.run), (up, packages.run)):
                if wanted:
                    self._begin(relay)
            self._opened = opened.pop_all()

    @property
    def alive(self) -> bool:
        """Whether it works; after an internal error it does not."""
        return self._entity.alive

    def close(self) -> None:
        """End; what is under way is resumed, or begun again, by the next gateway."""
        self._stop.set()
        self._opened.close()

    def _send(self, path: Path, name: str, number: int, *, resumed: bool) -> None:
        self._entity.send(path, name, number, resumed=resumed)

    def _begin(self, relay: Callable[[threading.Event], None]) -> None:
        thread = threading.Thread(target=relay, args=(self._stop,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _join(self, wake: Callable[[], None]) -> None:
        self._stop.set()
        wake()
        for thread in self._threads:
            thread.join(_ENDING_S)
