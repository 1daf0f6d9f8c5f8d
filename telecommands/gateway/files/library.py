"""What both roles give to cfdp-py."""

from __future__ import annotations

from typing import Any, Final

from cfdppy import CfdpUserBase, IndicationConfig, LocalEntityConfig, RemoteEntityConfig
from cfdppy.mib import CheckTimerProvider, DefaultFaultHandlerBase, RemoteEntityConfigTable
from spacepackets.cfdp import ConditionCode, TransmissionMode
from spacepackets.cfdp.pdu import EofPdu, PduFactory
from spacepackets.countdown import Countdown
from spacepackets.util import ByteFieldU16

from telecommands.gateway.files.checksum import TYPES
from telecommands.gateway.files.settings import CfdpSettings

NEVER: Final = 1_000_000
"""Repetitions after which cfdp-py would give up; the deadlines of this room come first."""

_MOST_CODE: Final = 15


def read_pdu(raw: bytes) -> Any:
    """The PDU in these bytes; :class:`ValueError` for whatever is not one."""
    try:
        pdu = PduFactory.from_raw(raw)
    except Exception as error:  # the library raises many kinds on bytes of others
        raise ValueError(f"not a PDU ({type(error).__name__})") from error
    if pdu is None:
        raise ValueError("not a PDU of a known kind")
    if isinstance(pdu, EofPdu) and pdu.condition_code > _MOST_CODE:
        # spacepackets 0.32 leaves the code in the upper half of its byte.
        pdu.condition_code = ConditionCode(pdu.condition_code >> 4)
    return pdu


def transaction_of(pdu: Any) -> tuple[int, int]:
    """Source entity and number of the PDU's transaction."""
    return pdu.source_entity_id.value, pdu.transaction_seq_num.value


def local_config(settings: CfdpSettings) -> LocalEntityConfig:
    """This entity; only the end of a transaction is indicated."""
    indications = IndicationConfig(
        eof_sent_indication_required=False,
        eof_recv_indication_required=False,
        file_segment_recvd_indication_required=False,
        transaction_finished_indication_required=True,
        suspended_indication_required=False,
        resumed_indication_required=False,
    )
    return LocalEntityConfig(ByteFieldU16(settings.local), indications, _Faults())


def remote_configs(settings: CfdpSettings) -> RemoteEntityConfigTable:
    """The peer."""
    peer = RemoteEntityConfig(
        entity_id=ByteFieldU16(settings.peer),
        max_file_segment_len=None,
        max_packet_len=settings.pdu_bytes,
        closure_requested=True,
        crc_on_transmission=False,
        default_transmission_mode=TransmissionMode.ACKNOWLEDGED,
        crc_type=TYPES[settings.checksum],
        positive_ack_timer_interval_seconds=settings.resend_s,
        positive_ack_timer_expiration_limit=NEVER,
        nak_timer_interval_seconds=settings.resend_s,
        nak_timer_expiration_limit=NEVER,
        check_limit=NEVER,
        immediate_nak_mode=True,
    )
    return RemoteEntityConfigTable([peer])


class CheckTimers(CheckTimerProvider):  # type: ignore[misc] # cfdp-py has no types
    """Needed for class 1 only."""

    def provide_check_timer(self, *_: object, **__: object) -> Countdown:  # noqa: D102
        return Countdown.from_seconds(1.0)


class DefaultCfdpUser(CfdpUserBase):  # type: ignore[misc]
    """Indications that need no action."""

    def transaction_indication(self, _: Any) -> None:  # noqa: D102
        return

    def eof_sent_indication(self, _: Any) -> None:  # noqa: D102
        return

    def transaction_finished_indication(self, _: Any) -> None:  # noqa: D102
        return

    def metadata_recv_indication(self, _: Any) -> None:  # noqa: D102
        return

    def file_segment_recv_indication(self, _: Any) -> None:  # noqa: D102
        return

    def report_indication(self, *_: Any) -> None:  # noqa: D102
        return

    def suspended_indication(self, *_: Any) -> None:  # noqa: D102
        return

    def resumed_indication(self, *_: Any) -> None:  # noqa: D102
        return

    def fault_indication(self, *_: Any) -> None:  # noqa: D102
        return

    def abandoned_indication(self, *_: Any) -> None:  # noqa: D102
        return

    def eof_recv_indication(self, _: Any) -> None:  # noqa: D102
        return


class _Faults(DefaultFaultHandlerBase):  # type: ignore[misc]
    """A fault ends the transaction, which the roles see; nothing else has to be done."""

    def notice_of_suspension_cb(self, *_: object) -> None:
        return

    def notice_of_cancellation_cb(self, *_: object) -> None:
        return

    def abandoned_cb(self, *_: object) -> None:
        return

    def ignore_cb(self, *_: object) -> None:
        return
