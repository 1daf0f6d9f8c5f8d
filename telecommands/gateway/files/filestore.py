"""What cfdp-py may do with files: read one, or write one.  Everything else is denied."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, NoReturn

from cfdppy.filestore import VirtualFilestore
from spacepackets.cfdp import ChecksumType, FilestoreResponseStatusCode

from telecommands.gateway.files.checksum import checksum_of
from telecommands.ground.errors import product_error

_DENIED: Final = FilestoreResponseStatusCode.NOT_PERFORMED


class OneFile(VirtualFilestore):  # type: ignore[misc] # cfdp-py has no types
    """One open file, whatever name a PDU gives."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self._checksums: dict[tuple[ChecksumType, int], bytes] = {}

    def close(self) -> None:
        """Close the file."""
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1

    def calculate_checksum(  # noqa: D102
        self,
        checksum_type: ChecksumType,
        file_path: Path,  # noqa: ARG002
        size_to_verify: int,
        segment_len: int = 0,  # noqa: ARG002
    ) -> bytes:
        return checksum_of(checksum_type, self.handle, size_to_verify)

    def file_size(self, file: Path) -> int:  # noqa: ARG002, D102
        return os.fstat(self.handle).st_size

    def filename_from_full_path(self, path: Path) -> str:  # noqa: D102
        return path.name

    def is_directory(self, path: Path) -> bool:  # noqa: ARG002, D102
        return False

    def file_exists(self, path: Path) -> bool:  # noqa: ARG002, D102
        return True

    def read_data(self, file: Path, offset: int | None, read_len: int) -> bytes:  # noqa: D102
        _deny(file, offset, read_len)

    def read_from_opened_file(self, bytes_io: Any, offset: int, read_len: int) -> bytes:  # noqa: D102
        _deny(bytes_io, offset, read_len)

    def truncate_file(self, file: Path) -> None:  # noqa: D102
        _deny(file)

    def write_data(self, file: Path, data: bytes, offset: int | None) -> None:  # noqa: D102
        _deny(file, data, offset)

    def create_file(self, file: Path) -> FilestoreResponseStatusCode:  # noqa: D102
        _deny(file)

    def delete_file(self, file: Path) -> FilestoreResponseStatusCode:  # noqa: ARG002, D102
        return _DENIED

    def rename_file(self, *_: Path) -> FilestoreResponseStatusCode:  # noqa: D102
        return _DENIED

    def replace_file(self, *_: Path) -> FilestoreResponseStatusCode:  # noqa: D102
        return _DENIED

    def create_directory(self, *_: Path) -> FilestoreResponseStatusCode:  # noqa: D102
        return _DENIED

    def remove_directory(self, *_: object) -> FilestoreResponseStatusCode:  # noqa: D102
        return _DENIED

    def list_directory(self, *_: object) -> FilestoreResponseStatusCode:  # noqa: D102
        return _DENIED


class SourceFile(OneFile):
    """A file that is sent; it must not change meanwhile."""

    def __init__(self, path: Path) -> None:
        try:
            super().__init__(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            raise product_error(path, error) from error

    def read_data(self, file: Path, offset: int | None, read_len: int) -> bytes:  # noqa: ARG002, D102
        return os.pread(self.handle, read_len, offset or 0)

    def calculate_checksum(  # noqa: D102
        self,
        checksum_type: ChecksumType,
        file_path: Path,
        size_to_verify: int,
        segment_len: int = 0,
    ) -> bytes:
        key = (checksum_type, size_to_verify)  # each EOF that is sent again asks for it
        if key not in self._checksums:
            self._checksums[key] = super().calculate_checksum(
                checksum_type, file_path, size_to_verify, segment_len
            )
        return self._checksums[key]


class ReceivedFile(OneFile):
    """A file that is received, of at most ``largest`` bytes; created when it is needed.

    ``permitted`` says whether the name that the metadata gives may be received.
    """

    def __init__(self, path: Path, largest: int) -> None:
        super().__init__(-1)
        self.path, self.largest = path, largest
        self.permitted = False

    def file_exists(self, path: Path) -> bool:  # noqa: ARG002, D102
        return False

    def create_file(self, file: Path) -> FilestoreResponseStatusCode:  # noqa: D102
        if not self.permitted:
            raise PermissionError(file)
        if self.handle < 0:
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            self.handle = os.open(self.path, flags, 0o600)
        return FilestoreResponseStatusCode.CREATE_SUCCESS

    def write_data(self, file: Path, data: bytes, offset: int | None) -> None:  # noqa: D102
        start = offset or 0
        if self.handle < 0 or start + len(data) > self.largest:
            raise PermissionError(file)
        view = memoryview(data)
        while view:
            written = os.pwrite(self.handle, view, start)
            start, view = start + written, view[written:]

    def remove(self) -> None:
        """Close and delete it."""
        self.close()
        self.path.unlink(missing_ok=True)


def _deny(*_: object) -> NoReturn:
    raise PermissionError("not a file of this transaction")
