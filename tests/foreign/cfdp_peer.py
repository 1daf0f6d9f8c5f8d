"""A CFDP entity of another make (``cfdp`` from the package index) in a process of its own.

    python -m tests.foreign.cfdp_peer FOLDER LISTEN PEER LOSS SEED

Files arrive in FOLDER.  A line ``put NAME`` on its input sends FOLDER/NAME.  It prints a line for
each end of a transaction.  LOSS of the PDUs are lost, both ways.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

from cfdp import CfdpEntity
from cfdp.constants import TransmissionMode
from cfdp.filestore import NativeFileStore
from cfdp.transport.udp import UdpTransport

LOCAL, PEER = 2, 1


class LossyUdp(UdpTransport):  # type: ignore[misc] # cfdp has no types
    def __init__(self, peer: int, loss: float, seed: int) -> None:
        super().__init__({"*": [("127.0.0.1", peer)]}, 6500)
        self._loss, self._random = loss, random.Random(seed)
        self._deliver: Any = None

    def request(self, data: bytes) -> None:
        if self._random.random() >= self._loss:
            super().request(data)

    @property
    def indication(self) -> Any:
        return self._incoming

    @indication.setter
    def indication(self, deliver: Any) -> None:
        self._deliver = deliver

    def _incoming(self, pdu: bytes) -> None:
        if self._random.random() >= self._loss:
            self._deliver(pdu)


class Peer(CfdpEntity):  # type: ignore[misc]
    def transaction_finished_indication(
        self, transaction_id: Any, condition_code: Any, *_: Any, **__: Any
    ) -> None:
        print(f"ended {transaction_id[0]} {transaction_id[1]} {condition_code}", flush=True)


def main() -> None:
    folder, listen, peer, loss, seed = sys.argv[1:]
    transport = LossyUdp(int(peer), float(loss), int(seed))
    entity = Peer(
        LOCAL,
        NativeFileStore(Path(folder)),
        transport,
        transaction_finished_indication_required=True,
        positive_ack_timer_interval=0.4,
        positive_ack_timer_expiration_limit=50,
        nak_timer_interval=0.4,
        nak_timer_expiration_limit=50,
    )
    transport.bind("127.0.0.1", int(listen))
    print("ready", flush=True)
    for line in sys.stdin:
        word, _, name = line.strip().partition(" ")
        if word == "put":
            entity.put(
                PEER, f"/{name}", name, transmission_mode=TransmissionMode.ACKNOWLEDGED
            )
    transport.unbind()
    entity.shutdown()


if __name__ == "__main__":
    main()
