"""The destination of transactions of class 2, by the rules of CFDP alone.

No socket, thread or clock: PDUs come in by :meth:`FileReceiver.take` and go out by its answer and
by :meth:`FileReceiver.emit`; ``now`` is monotonic seconds.
"""

from __future__ import annotations

import copy
import os
import re
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from cfdppy.exceptions import PduIgnoredForDest
from cfdppy.handler.dest import DestHandler, LostSegmentTracker, TransactionStep
from spacepackets.cfdp import ConditionCode, Direction, PduType, TransmissionMode
from spacepackets.cfdp.pdu import (
    AckPdu,
    DeliveryCode,
    DirectiveType,
    FileStatus,
    NakPdu,
    TransactionStatus,
)
from spacepackets.cfdp.pdu.nak import get_max_seg_reqs_for_max_packet_size_and_pdu_cfg

from telecommands.gateway.files.checksum import SUPPORTED
from telecommands.gateway.files.filestore import ReceivedFile
from telecommands.gateway.files.library import (
    CheckTimers,
    DefaultCfdpUser,
    local_config,
    remote_configs,
    transaction_of,
)
from telecommands.gateway.files.settings import CfdpSettings
from telecommands.whole_file import sync_folder

PART: Final = ".part"

_MOST_OPEN: Final = 4
_MOST_REQUESTS: Final = 10_000  # of one NAK sequence; the rest is asked for by the next one
_LEAST_SEGMENT: Final = 512
_REMEMBERED: Final = 1024  # ended transactions
_BEGINS: Final = (DirectiveType.METADATA_PDU, DirectiveType.EOF_PDU)
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,67}\Z")


class FileReceiver:
    """Receives files of the peer into ``folder``, each as ``NAME.SOURCE-NUMBER``.

    A file appears there whole, with the right checksum and on the disk, before the peer learns that
    it arrived; ``settled`` is called with its path, or with None and the reason.  ``admits`` says
    whether a file of this name and size is wanted.
    """

    def __init__(
        self,
        settings: CfdpSettings,
        folder: Path,
        admits: Callable[[str, int], bool],
        settled: Callable[[Path | None, str], None],
        counts: Counter[str],
    ) -> None:
        self._settings, self._folder = settings, folder
        self._admits, self._settled, self._counts = admits, settled, counts
        self._open: dict[tuple[int, int], _Reception] = {}
        self._ended: OrderedDict[tuple[int, int], None] = OrderedDict()
        for remains in folder.glob(f".*{PART}"):
            remains.unlink(missing_ok=True)

    def take(self, pdu: Any, now: float) -> list[bytes]:
        """A PDU of the peer for this role; what is to be answered now."""
        transaction = transaction_of(pdu)
        if transaction in self._ended:
            self._counts["of an ended transaction"] += 1
            return [_eof_acknowledged(pdu, TransactionStatus.TERMINATED)] if _is_eof(pdu) else []
        if pdu.transmission_mode != TransmissionMode.ACKNOWLEDGED:
            self._counts["not of class 2"] += 1
            return []
        reception = self._open.get(transaction)
        if reception is None:
            reception = self._begin(pdu, transaction)
        return [] if reception is None else reception.take(pdu, now)

    def emit(self, now: float) -> list[bytes]:
        """PDUs that are due, of all transactions; ends those whose peer was silent too long."""
        pdus = []
        for transaction, reception in list(self._open.items()):
            pdus += reception.emit(now)
            if reception.ended or now - reception.heard_at > self._settings.silence_s:
                reception.end(f"the peer was silent for {self._settings.silence_s:g} s")
                del self._open[transaction]
                self._remember(transaction)
        return pdus

    def close(self) -> None:
        """Give up what is not complete."""
        for reception in self._open.values():
            reception.end("the gateway ended")
        self._open.clear()

    def _begin(self, pdu: Any, transaction: tuple[int, int]) -> _Reception | None:
        source, number = transaction
        if source != self._settings.peer or pdu.dest_entity_id.value != self._settings.local:
            self._counts["of a different entity"] += 1
            return None
        if not (pdu.pdu_type == PduType.FILE_DATA or pdu.directive_type in _BEGINS):
            self._counts["of an unknown transaction"] += 1
            return None
        if len(self._open) >= _MOST_OPEN:
            self._counts["beyond the limit of open files"] += 1
            return None
        label = f"{source}-{number}"
        part = ReceivedFile(self._folder / f".{label}{PART}", self._settings.largest_file)
        reception = _Reception(self._settings, part, label, self)
        self._open[transaction] = reception
        return reception

    def _remember(self, transaction: tuple[int, int]) -> None:
        self._ended[transaction] = None
        if len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)


class _Reception(DefaultCfdpUser):
    """One transaction."""

    def __init__(
        self, settings: CfdpSettings, part: ReceivedFile, label: str, owner: FileReceiver
    ) -> None:
        super().__init__(part)
        self._part, self._label, self._owner = part, label, owner
        self._name, self._metadata, self._eof = "", None, None
        self._handler = _Destination(
            local_config(settings), self, remote_configs(settings), CheckTimers()
        )
        self._resend_s, self._nak_bytes = settings.resend_s, settings.pdu_bytes
        self._asked_at = -settings.resend_s
        self._longest = _LEAST_SEGMENT
        self._first: Any = None
        self._is_settled = False
        self.ended = False
        self.heard_at = 0.0

    def take(self, pdu: Any, now: float) -> list[bytes]:
        self.heard_at = now
        if self.ended:
            return []
        if self._metadata is None and (
            pdu.pdu_type == PduType.FILE_DATA or pdu.directive_type != DirectiveType.METADATA_PDU
        ):
            self._first = self._first or pdu
            return self._ask_for_metadata(now)
        if _is_eof(pdu):
            if self._eof is not None and pdu.condition_code == ConditionCode.NO_ERROR:
                return [_eof_acknowledged(pdu, TransactionStatus.ACTIVE)]  # cfdp-py would not
            self._eof = pdu
        elif pdu.pdu_type == PduType.FILE_DATA:
            if pdu.offset + len(pdu.file_data) > self._part.largest:
                self._owner._counts["beyond the largest file"] += 1
                return []
            self._longest = max(self._longest, len(pdu.file_data))
        elif pdu.directive_type == DirectiveType.METADATA_PDU:
            if self._metadata is not None:
                self._owner._counts["repeated metadata"] += 1
                return []
            self._admit(pdu)
        self._run(pdu)
        return self._packed()

    def emit(self, now: float) -> list[bytes]:
        if self._metadata is None:
            return self._ask_for_metadata(now)
        self._run(None)
        return self._packed()

    def end(self, why: str) -> None:
        """Forget the transaction; a file that is not complete is removed."""
        self.ended = True
        self._settle(None, why)
        self._part.remove()

    def transaction_finished_indication(self, params: Any) -> None:
        """Judge the file before the Finished PDU is made of ``params``."""
        finished = params.finished_params
        if finished.condition_code != ConditionCode.NO_ERROR:
            name = str(finished.condition_code.name).lower().replace("_", " ")
            self._settle(None, f"it ended with {name}")
            return
        why = self._fault()
        if why:
            finished.condition_code = ConditionCode.FILE_CHECKSUM_FAILURE
            finished.delivery_code = DeliveryCode.DATA_INCOMPLETE
            finished.file_status = FileStatus.DISCARDED_DELIBERATELY
            self._settle(None, why)
            return
        try:
            self._settle(self._published(), "")
        except OSError as error:
            finished.condition_code = ConditionCode.FILESTORE_REJECTION
            finished.delivery_code = DeliveryCode.DATA_INCOMPLETE
            finished.file_status = FileStatus.DISCARDED_FILESTORE_REJECTION
            self._settle(None, f"it cannot be stored ({error.strerror})")

    def _admit(self, metadata: Any) -> None:
        self._metadata = metadata
        self._name = metadata.dest_file_name or ""
        fits = metadata.file_size <= self._part.largest
        self._part.largest = min(self._part.largest, metadata.file_size)
        self._part.permitted = (
            fits
            and bool(_NAME.match(self._name))
            and metadata.checksum_type in SUPPORTED
            and self._owner._admits(self._name, metadata.file_size)
        )

    def _ask_for_metadata(self, now: float) -> list[bytes]:
        """Before it nothing can be kept; cfdp-py would ask for everything with each PDU."""
        if now < self._asked_at + self._resend_s:
            return []
        self._asked_at = now
        config = copy.copy(self._first.pdu_header.pdu_conf)
        config.direction = Direction.TOWARDS_SENDER
        return [bytes(NakPdu(config, 0, 0, [(0, 0)]).pack())]

    def _fault(self) -> str:
        """Why the file is not what the peer sent; empty if it is."""
        if self._metadata is None or self._eof is None or self._part.handle < 0:
            return "it has no content"
        size = self._part.file_size(self._part.path)
        if size != self._eof.file_size:
            return f"it has {size} bytes, not {self._eof.file_size}"
        kind = self._metadata.checksum_type
        if self._part.calculate_checksum(kind, self._part.path, size) != self._eof.file_checksum:
            return "its checksum is wrong"
        return ""

    def _published(self) -> Path:
        os.fsync(self._part.handle)
        place = self._part.path.with_name(f"{self._name}.{self._label}")
        self._part.path.replace(place)
        sync_folder(place.parent)
        self._part.close()
        return place

    def _settle(self, place: Path | None, why: str) -> None:
        if not self._is_settled:
            self._is_settled = True
            self._owner._settled(place, f"{self._name or self._label}: {why}" if why else "")

    def _run(self, pdu: Any) -> None:
        counts = self._owner._counts
        try:
            self._handler.state_machine(pdu)
        except PduIgnoredForDest:
            counts["ignored in this step"] += 1
        except OSError as error:
            self.end(f"it cannot be stored ({error.strerror})")
        except ValueError:
            counts["overlaps what was received"] += 1  # it is stored, and asked for once more
        except Exception as error:  # noqa: BLE001 - a peer's PDU must not end the gateway
            counts[f"refused: {type(error).__name__}"] += 1
        if self._is_settled and self._handler.step == TransactionStep.IDLE:
            self.ended = True

    def _packed(self) -> list[bytes]:
        pdus = []
        while (holder := self._handler.get_next_packet()) is not None:
            parts = self._divided(holder.pdu) if isinstance(holder.pdu, NakPdu) else [holder.pdu]
            pdus += [bytes(part.pack()) for part in parts]
        return pdus

    def _divided(self, nak: Any) -> list[Any]:
        """Ask for segments of the length that the peer sends: some peers send each as one PDU."""
        step = self._longest
        requests = [
            (at, min(at + step, end))
            for start, end in nak.segment_requests
            for at in range(start, end, step)
        ][:_MOST_REQUESTS]
        config = nak.pdu_header.pdu_conf
        most = get_max_seg_reqs_for_max_packet_size_and_pdu_cfg(self._nak_bytes, config)
        batches = [requests[at : at + most] for at in range(0, len(requests), most)]
        return [NakPdu(config, batch[0][0], batch[-1][1], batch) for batch in batches]


class _Destination(DestHandler):  # type: ignore[misc] # cfdp-py has no types
    """cfdp-py 0.7 shares one list of gaps between all transactions."""

    def _common_first_packet_handler(self, pdu: Any) -> Any:
        self._params.acked_params.lost_seg_tracker = LostSegmentTracker()
        return super()._common_first_packet_handler(pdu)


def _is_eof(pdu: Any) -> bool:
    return bool(
        pdu.pdu_type == PduType.FILE_DIRECTIVE and pdu.directive_type == DirectiveType.EOF_PDU
    )


def _eof_acknowledged(eof: Any, status: TransactionStatus) -> bytes:
    config = copy.copy(eof.pdu_header.pdu_conf)
    config.direction = Direction.TOWARDS_SENDER
    return bytes(AckPdu(config, DirectiveType.EOF_PDU, eof.condition_code, status).pack())
