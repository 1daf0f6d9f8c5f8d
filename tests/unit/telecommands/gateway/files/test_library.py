from __future__ import annotations

import pytest
from spacepackets.cfdp import ConditionCode, PduConfig
from spacepackets.cfdp.pdu import EofPdu
from spacepackets.util import ByteFieldU16

from telecommands.gateway.files.library import read_pdu

_CODE = 11  # place of the condition code: after the header of 10 bytes, and the directive's


def _end_of_file(code: int) -> bytes:
    config = PduConfig.default()
    config.source_entity_id, config.dest_entity_id = ByteFieldU16(1), ByteFieldU16(2)
    config.transaction_seq_num = ByteFieldU16(3)
    pdu = bytearray(EofPdu(config, bytes(4), 10).pack())
    assert pdu[_CODE] == ConditionCode.NO_ERROR << 4
    pdu[_CODE] = code << 4
    return bytes(pdu)


def test_a_peer_that_cancels_is_understood() -> None:
    code = ConditionCode.CANCEL_REQUEST_RECEIVED
    assert read_pdu(_end_of_file(code)).condition_code == code


def test_a_condition_that_does_not_exist_is_not_a_pdu() -> None:
    with pytest.raises(ValueError, match="12 is not a valid ConditionCode"):
        read_pdu(_end_of_file(12))
