from __future__ import annotations

import os
import zlib
from pathlib import Path

import pytest
from cfdppy.crc import calc_modular_checksum
from hypothesis import given
from hypothesis import strategies as st
from spacepackets.cfdp import ChecksumType

from telecommands.gateway.files.checksum import checksum_of


@given(content=st.binary(max_size=300))
def test_the_checksums_are_those_of_the_library(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("files") / "file"
    path.write_bytes(content)
    handle = os.open(path, os.O_RDONLY)
    try:
        size = len(content)
        assert checksum_of(ChecksumType.MODULAR, handle, size) == calc_modular_checksum(path)
        crc = zlib.crc32(content).to_bytes(4, "big")
        assert checksum_of(ChecksumType.CRC_32, handle, size) == crc
        assert checksum_of(ChecksumType.NULL_CHECKSUM, handle, size) == bytes(4)
    finally:
        os.close(handle)


def test_crc32c_has_the_value_of_its_definition(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"123456789")
    with path.open("rb") as file:
        found = checksum_of(ChecksumType.CRC_32C, file.fileno(), 9)
    assert found.hex() == "e3069283"
