from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from flightsw.commanding.context import Completed, TelecommandContext
from flightsw.model.uplink import ModelUplink
from flightsw.model.uplink_handlers import uplink_handlers
from telecommands.codec import convert_arguments
from telecommands.dictionary import Code, Record, Stage, Verification
from telecommands.ground.commanding import TelecommandClient
from telecommands.ground.errors import TransferFailed
from telecommands.ground.package_archive import PackageArchive, open_package
from telecommands.ground.uplink import uplink
from telecommands.refusal import Refusal


class Link:
    """A telecommand client whose service is the uplink's own handlers; some chunks are lost."""

    def __init__(self, inbox: Path, quota: int = 10**7) -> None:
        self.board = ModelUplink(inbox, lambda: quota, lambda: 0)
        self.done: list[Record] = []
        self.events: list[str] = []
        self.handlers = uplink_handlers(
            self.board, lambda _, work: self.done.append(work()), self._event
        )
        self.chunks = 0
        self.lost: set[int] = set()
        self.limited: set[int] = set()
        self._closed: dict[str, Verification] = {}

    def _event(self, event: str, _message: str, /, **_: Any) -> None:
        self.events.append(event)

    def execute(self, name: str, args: Mapping[str, Any], _timeout_s: float) -> Verification:
        closing = {"id": "i", "name": name, "at": 1, "key_id": "alice"}
        try:
            request = convert_arguments(name, args)
            outcome = self.handlers[name](request, TelecommandContext("i", "alice", 1, name))
        except Refusal as refusal:
            return Verification(
                **closing,
                stage=Stage.REJECTED,
                code=refusal.code,
                cause=refusal.cause,
                cure=refusal.cure,
                data=refusal.data,
            )
        result = outcome.data if isinstance(outcome, Completed) else self.done[-1]
        data = (
            {}
            if result is None
            else {key: getattr(result, key) for key in result.__struct_fields__}
        )  # type: ignore[union-attr]
        return Verification(**closing, stage=Stage.COMPLETED, data=data)

    def send(self, name: str, args: Mapping[str, Any]) -> str:
        self.chunks += 1
        label = str(self.chunks)
        if self.chunks in self.limited:
            answer = Verification(
                id=label, name=name, at=1, key_id="alice",
                stage=Stage.REJECTED, code=Code.RATE_LIMITED, cause="too fast", data={},
            )  # fmt: skip
        elif self.chunks in self.lost:
            answer = self.execute(name, {**args, "offset": args["offset"] + 1}, 1)
        else:
            answer = self.execute(name, args, 1)
        self._closed[label] = answer
        return label

    def stages(self, id: str, _timeout_s: float) -> Iterator[Verification]:  # noqa: A002
        yield self._closed.pop(id)

    def forget(self, id: str) -> None:  # noqa: A002
        self._closed.pop(id, None)

    @property
    def client(self) -> TelecommandClient:
        return cast(TelecommandClient, self)


@pytest.fixture
def package(tmp_path: Path) -> Iterator[PackageArchive]:
    folder = tmp_path / "tiny-1.0"
    folder.mkdir()
    (folder / "SHA256SUMS").write_text("list\n")
    (folder / "network.npz").write_bytes(bytes(range(256)) * 100)
    with open_package(folder) as archive:
        yield archive


def test_a_package_is_carried_into_the_inbox_and_reported(
    tmp_path: Path, package: PackageArchive
) -> None:
    link, shown = Link(tmp_path / "inbox"), []
    assert uplink(link.client, package, lambda stored, _: shown.append(stored), chunk_bytes=1000)
    assert (tmp_path / "inbox" / "tiny-1.0" / "network.npz").stat().st_size == 25_600
    assert link.events == ["UPLINK_RECEIVED"]
    assert shown == sorted(shown)
    assert shown[-1] == package.size
    assert not uplink(link.client, package)


def test_only_what_is_missing_on_board_is_sent(tmp_path: Path, package: PackageArchive) -> None:
    link = Link(tmp_path / "inbox")
    link.board.begin(package.name, package.size, package.sha256)
    link.board.store(package.name, 0, package.read(0, package.size - 1500))
    uplink(link.client, package, chunk_bytes=1000)
    assert link.chunks == 2


def test_chunks_that_were_lost_or_too_fast_are_sent_again(
    tmp_path: Path, package: PackageArchive
) -> None:
    link = Link(tmp_path / "inbox")
    link.lost, link.limited = {3, 9}, {20}
    uplink(link.client, package, chunk_bytes=1000)
    assert (tmp_path / "inbox" / "tiny-1.0" / "SHA256SUMS").read_text() == "list\n"


def test_a_refusal_has_the_code_and_the_cure_of_the_service(
    tmp_path: Path, package: PackageArchive
) -> None:
    link = Link(tmp_path / "inbox", quota=10)
    with pytest.raises(TransferFailed, match=r"UPLINK_QUOTA.*DELETE_UPLINK") as refused:
        uplink(link.client, package)
    assert refused.value.fields["refused_with"] == "UPLINK_QUOTA"
