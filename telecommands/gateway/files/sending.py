"""The source of a transaction of class 2: one file at a time, by the rules of CFDP alone.

No socket, thread or clock: PDUs come in by :meth:`FileSender.take` and go out by
:meth:`FileSender.emit`; ``now`` is monotonic seconds.
"""

from __future__ import annotations

import copy
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from cfdppy import PutRequest
from cfdppy.exceptions import InvalidTransactionSeqNum, PduIgnoredForSource
from cfdppy.handler.source import SourceHandler, TransactionStep
from spacepackets.cfdp import ConditionCode, Direction, TransmissionMode
from spacepackets.cfdp.pdu import (
    AckPdu,
    DeliveryCode,
    DirectiveType,
    FileStatus,
    NakPdu,
    TransactionStatus,
)
from spacepackets.seqcount import ProvidesSeqCount
from spacepackets.util import ByteFieldU16

from telecommands.gateway.files.filestore import SourceFile
from telecommands.gateway.files.library import (
    CheckTimers,
    DefaultCfdpUser,
    local_config,
    remote_configs,
    transaction_of,
)
from telecommands.gateway.files.settings import CfdpSettings
from telecommands.ground.errors import GroundError

_MOST_GAPS: Final = 10_000
_REMEMBERED: Final = 1024  # transactions that the peer reported complete
_BITS: Final = 32  # of the number of a transaction
_KEPT: Final = (FileStatus.FILE_RETAINED, FileStatus.FILE_STATUS_UNREPORTED)
_WAITING: Final = (TransactionStep.WAITING_FOR_EOF_ACK, TransactionStep.WAITING_FOR_FINISHED)


class FileSender:
    """Sends files to the peer.

    After the end of a transaction :attr:`outcome` is "" if the peer reported that the file is
    complete and its checksum right, else why not.  ``completed`` is called with the number of a
    transaction that the peer reports complete, and keeps it before the report is acknowledged: the
    peer repeats its report until then, also to a gateway that was killed.  If it raises a
    :class:`~telecommands.ground.errors.GroundError`, the report is not acknowledged.
    """

    def __init__(
        self, settings: CfdpSettings, counts: Counter[str], completed: Callable[[int], None]
    ) -> None:
        self._settings, self._counts, self._completed = settings, counts, completed
        self._file: SourceFile | None = None
        self._handler: Any = None
        self._gaps: deque[tuple[int, int]] = deque()
        self._heard_at = 0.0
        self._reported: deque[int] = deque(maxlen=_REMEMBERED)
        self.outcome: str | None = None

    @property
    def busy(self) -> bool:
        """Whether a file is being sent."""
        return self._file is not None

    def begin(
        self, path: Path, name: str, number: int, now: float, *, resumed: bool = False
    ) -> None:
        """Send a file in the transaction with this number; it gets ``name`` at the peer.

        ``resumed``: the transaction began before; only its end is sent, and what the peer asks for,
        and nothing if its report has arrived since: the peer has forgotten the transaction then,
        and would ask for all of it.
        Raises :class:`~telecommands.ground.errors.ProductError` if it cannot be read.
        """
        if number in self._reported:
            self.outcome = ""
            return
        self._file, self.outcome, self._heard_at = SourceFile(path), None, now
        self._gaps.clear()
        self._handler = SourceHandler(
            local_config(self._settings),
            _User(self),
            remote_configs(self._settings),
            CheckTimers(),
            _Number(number),
        )
        self._handler.user.vfs = self._file
        self._handler.put_request(
            PutRequest(
                destination_id=ByteFieldU16(self._settings.peer),
                source_file=Path(name),
                dest_file=Path(name),
                trans_mode=TransmissionMode.ACKNOWLEDGED,
                closure_requested=True,
            )
        )
        if resumed:
            self._skip_to_the_end()

    def take(self, pdu: Any, now: float) -> list[bytes]:
        """A PDU of the peer for this role; what is to be answered now."""
        if _is_complete(pdu) and not self._keep(pdu):
            return []
        if not self._concerns(pdu):
            if pdu.directive_type == DirectiveType.FINISHED_PDU:
                self._counts["of an ended transaction"] += 1
                return [_acknowledged(pdu, TransactionStatus.TERMINATED)]
            self._counts["of an unknown transaction"] += 1
            return []
        self._heard_at = now
        if pdu.directive_type == DirectiveType.NAK_PDU:
            self._add_gaps(pdu)
            return []
        if pdu.directive_type == DirectiveType.FINISHED_PDU:
            if pdu.condition_code != ConditionCode.NO_ERROR:
                # cfdp-py overlooks it while it sends.
                self._end(f"the peer ended it with {_name(pdu.condition_code)}")
                return [_acknowledged(pdu, TransactionStatus.ACTIVE)]
            if self._handler.step == TransactionStep.WAITING_FOR_EOF_ACK:
                self._insert(_eof_acknowledged(pdu))  # whose loss the Finished PDU shows
        self._insert(pdu)
        return self._packed()

    def emit(self, most: int, now: float) -> list[bytes]:
        """The next PDUs, at most about ``most`` bytes; none while the peer has the turn.

        A transaction whose peer is silent for too long ends here, so it is to be called often.
        """
        pdus: list[bytes] = []
        while self.busy and sum(map(len, pdus)) < most:
            if self._gaps:
                self._insert(self._gap_request(most))
            else:
                self._advance()
            more = self._packed()
            if not more:
                break
            pdus += more
        if self.busy and pdus and self._handler.step not in _WAITING:
            self._heard_at = now  # it is our turn
        elif self.busy and now - self._heard_at > self._settings.silence_s:
            self._end(f"the peer was silent for {self._settings.silence_s:g} s")
        return pdus

    def abandon(self, why: str) -> None:
        """End the transaction here."""
        if self.busy:
            self._end(why)

    def finished(self, params: Any) -> None:
        """The peer's report, by cfdp-py."""
        found = params.finished_params
        if found.condition_code != ConditionCode.NO_ERROR:
            self._end(f"it ended with {_name(found.condition_code)}")
        elif found.delivery_code != DeliveryCode.DATA_COMPLETE or found.file_status not in _KEPT:
            self._end(f"the peer has {_name(found.delivery_code)}, {_name(found.file_status)}")
        else:
            self._end("")

    def _skip_to_the_end(self) -> None:
        """As if metadata and file had been sent: the peer asks for what it has not."""
        self._handler.state_machine()
        self._packed()
        self._handler._params.fp.progress = self._handler.file_size  # there is no other way

    def _keep(self, finished: Any) -> bool:
        """Whether it is kept that the peer has the file."""
        source, number = transaction_of(finished)
        if source != self._settings.local:
            return True
        try:
            self._completed(number)
        except GroundError as error:
            self._counts[f"not acknowledged: {error.code}"] += 1
            return False
        self._reported.append(number)
        return True

    def _concerns(self, pdu: Any) -> bool:
        if not self.busy or self._handler.transaction_id is None:
            return False
        return transaction_of(pdu) == (
            self._settings.local,
            self._handler.transaction_id.seq_num.value,
        )

    def _add_gaps(self, nak: Any) -> None:
        """Keep what is to be sent again, in order; cfdp-py would read all of it into memory."""
        sent = self._handler.progress
        for start, end in nak.segment_requests:
            gap = (start, min(end, sent))
            if (start < gap[1] or gap == (0, 0)) and gap not in self._gaps:
                if len(self._gaps) >= _MOST_GAPS:
                    self._counts["NAK beyond the limit"] += 1
                    return
                self._gaps.append(gap)

    def _gap_request(self, most: int) -> Any:
        """A NAK PDU for the next part of the gaps."""
        start, end = self._gaps.popleft()
        cut = max(most, self._settings.pdu_bytes)
        if end - start > cut:
            self._gaps.appendleft((start + cut, end))
            end = start + cut
        config = copy.copy(self._handler.pdu_conf)
        config.direction = Direction.TOWARDS_SENDER
        return NakPdu(config, start, end, [(start, end)])

    def _insert(self, pdu: Any) -> None:
        try:
            self._handler.state_machine(pdu)
        except PduIgnoredForSource:
            self._counts["ignored in this step"] += 1
        except InvalidTransactionSeqNum:
            self._counts["of an unknown transaction"] += 1
        except OSError as error:
            self._end(f"the file cannot be read ({error.strerror})")
        except Exception as error:  # noqa: BLE001 - a peer's PDU must not end the gateway
            self._counts[f"refused: {type(error).__name__}"] += 1

    def _advance(self) -> None:
        try:
            self._handler.state_machine()
        except OSError as error:
            self._end(f"the file cannot be read ({error.strerror})")
        except Exception as error:  # noqa: BLE001 - the next file may be sent
            self._end(f"it failed ({error})")

    def _packed(self) -> list[bytes]:
        pdus = []
        while (holder := self._handler.get_next_packet()) is not None:
            pdus.append(bytes(holder.pdu.pack()))
        return pdus

    def _end(self, outcome: str) -> None:
        if self.outcome is None:
            self.outcome = outcome
        if self._file is not None:
            self._file.close()
            self._file = None


class _User(DefaultCfdpUser):
    def __init__(self, sender: FileSender) -> None:
        super().__init__()
        self._sender = sender

    def transaction_finished_indication(self, params: Any) -> None:
        self._sender.finished(params)


class _Number(ProvidesSeqCount):  # type: ignore[misc] # spacepackets has no types
    def __init__(self, number: int) -> None:
        self._number = number

    @property
    def max_bit_width(self) -> int:
        return _BITS

    @max_bit_width.setter
    def max_bit_width(self, width: int) -> None:
        raise NotImplementedError(width)

    def get_and_increment(self) -> int:
        return self._number


def _is_complete(pdu: Any) -> bool:
    """Whether it is the peer's report that it has the whole file."""
    return (
        pdu.directive_type == DirectiveType.FINISHED_PDU
        and pdu.condition_code == ConditionCode.NO_ERROR
        and pdu.delivery_code == DeliveryCode.DATA_COMPLETE
        and pdu.file_status in _KEPT
    )


def _acknowledged(finished: Any, status: TransactionStatus) -> bytes:
    config = copy.copy(finished.pdu_header.pdu_conf)
    config.direction = Direction.TOWARDS_RECEIVER
    pdu = AckPdu(config, DirectiveType.FINISHED_PDU, finished.condition_code, status)
    return bytes(pdu.pack())


def _eof_acknowledged(finished: Any) -> Any:
    config = copy.copy(finished.pdu_header.pdu_conf)
    return AckPdu(config, DirectiveType.EOF_PDU, ConditionCode.NO_ERROR, TransactionStatus.ACTIVE)


def _name(code: Any) -> str:
    return str(code.name).lower().replace("_", " ")
