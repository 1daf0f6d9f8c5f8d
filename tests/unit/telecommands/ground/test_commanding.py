from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq

from telecommands.auth import AHEAD, SequenceWindow
from telecommands.codec import encode
from telecommands.dictionary import Code, Stage, Verification
from telecommands.ground.commanding import TelecommandClient
from telecommands.ground.connection import GroundKeys
from telecommands.ground.errors import LinkError, NoAnswer, UnusableKey, UsageError
from telecommands.ground.sequence import SequenceFile
from telecommands.keys import CurvePair
from tests.unit.telecommands.flight_stand_in import FlightStandIn
from tests.unit.telecommands.simulated_links import AnsweringSocket, SimulatedCommanding

_LONG_S = 20.0
_SHORT_S = 0.05


@pytest.fixture
def sequence(tmp_path: Path) -> SequenceFile:
    return SequenceFile(tmp_path / "alice.sequence")


@pytest.fixture
def commanding(plain: GroundKeys) -> SimulatedCommanding:
    assert plain.telecommand is not None
    return SimulatedCommanding([plain.telecommand])


@contextmanager
def _client(answer: Any, keys: GroundKeys, sequence: SequenceFile) -> Iterator[TelecommandClient]:
    with (
        AnsweringSocket(answer) as service,
        TelecommandClient(
            service.endpoint, keys, sequence, resend_s=_SHORT_S, ask_again_s=_SHORT_S
        ) as client,
    ):
        yield client


class _Deaf:
    """Answers the telecommand only when it has come so many times."""

    def __init__(self, answer: SimulatedCommanding, times: int) -> None:
        self.answer = answer
        self.times = times

    def __call__(self, frames: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
        self.times -= 1
        return iter(()) if self.times > 0 else self.answer(frames)


def test_a_telecommand_is_executed_over_an_encrypted_link(
    keys: GroundKeys, service_pair: CurvePair, sequence: SequenceFile
) -> None:
    assert keys.curve is not None
    assert keys.telecommand is not None
    commanding = SimulatedCommanding([keys.telecommand])
    with (
        AnsweringSocket(commanding, pair=service_pair, authorised=[keys.curve.public]) as service,
        TelecommandClient(service.endpoint, keys, sequence) as client,
    ):
        last = client.execute("PING", timeout_s=_LONG_S)
    assert last.stage is Stage.COMPLETED
    assert [body.name for body in commanding.ran] == ["PING"]


def test_stages_come_in_order_and_end_with_the_closing_one(
    plain: GroundKeys, sequence: SequenceFile
) -> None:
    assert plain.telecommand is not None
    later = [Stage.STARTED, Stage.PROGRESS, Stage.PROGRESS, Stage.FAILED]
    commanding = SimulatedCommanding([plain.telecommand], {"SELF_TEST": later})
    with _client(commanding, plain, sequence) as client:
        stages = list(client.stages(client.send("SELF_TEST"), _LONG_S))
    assert [stage.stage for stage in stages] == [Stage.ACCEPTED, *later]


def test_several_telecommands_may_be_open_together(
    commanding: SimulatedCommanding, plain: GroundKeys, sequence: SequenceFile
) -> None:
    with _client(commanding, plain, sequence) as client:
        ids = [client.send("PING") for _ in range(50)]
        for one in reversed(ids):
            stages = list(client.stages(one, _LONG_S))
            assert {stage.id for stage in stages} == {one}
            assert stages[-1].stage is Stage.COMPLETED


def test_a_lost_telecommand_goes_out_again_under_its_id(
    commanding: SimulatedCommanding, plain: GroundKeys, sequence: SequenceFile
) -> None:
    with _client(_Deaf(commanding, times=4), plain, sequence) as client:
        assert client.execute("PING", timeout_s=_LONG_S, id="same").stage is Stage.COMPLETED
    assert [body.id for body in commanding.ran] == ["same"]


def test_each_stage_is_given_once_however_often_it_arrives(
    plain: GroundKeys, sequence: SequenceFile
) -> None:
    assert plain.telecommand is not None
    commanding = SimulatedCommanding([plain.telecommand], {"SELF_TEST": [Stage.STARTED]})
    asked = 0

    def ends_when_asked_again(frames: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
        nonlocal asked
        asked += 1
        yield from commanding(frames)
        if asked == 3:
            body = commanding.ran[0]
            yield [encode(Verification(id=body.id, name=body.name, stage=Stage.COMPLETED, at=9))]

    with _client(ends_when_asked_again, plain, sequence) as client:
        stages = [one.stage for one in client.stages(client.send("SELF_TEST"), _LONG_S)]
    assert stages == [Stage.ACCEPTED, Stage.STARTED, Stage.COMPLETED]


def test_a_rejected_repeat_does_not_close_what_was_accepted(
    plain: GroundKeys, sequence: SequenceFile
) -> None:
    def answer(frames: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
        stages = [Stage.ACCEPTED, Stage.REJECTED, Stage.COMPLETED]
        for number, stage in enumerate(stages):
            yield [encode(Verification(id="one", name="PING", stage=stage, at=number))]

    with _client(answer, plain, sequence) as client:
        assert client.execute("PING", timeout_s=_LONG_S, id="one").stage is Stage.COMPLETED


@pytest.mark.parametrize("highest", [5000, AHEAD + 5000])
def test_a_sequence_behind_the_services_is_brought_up_to_it(
    commanding: SimulatedCommanding, plain: GroundKeys, sequence: SequenceFile, highest: int
) -> None:
    commanding.windows["alice"] = SequenceWindow(highest, 1)
    with _client(commanding, plain, sequence) as client:
        assert client.execute("PING", timeout_s=_LONG_S).stage is Stage.COMPLETED
        assert client.execute("PING", timeout_s=_LONG_S).stage is Stage.COMPLETED
    assert len(commanding.ran) == 2


def test_a_sequence_that_never_fits_is_rejected_rather_than_tried_endlessly(
    plain: GroundKeys, sequence: SequenceFile
) -> None:
    def always(frames: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
        rejected = Verification(
            id="one",
            name="PING",
            stage=Stage.REJECTED,
            at=0,
            code=Code.REPLAYED,
            data={"highest": 7},
        )
        yield [encode(rejected)]

    with _client(always, plain, sequence) as client:
        assert client.execute("PING", timeout_s=_LONG_S, id="one").code is Code.REPLAYED


def test_an_answer_without_id_belongs_to_the_oldest_unanswered(
    plain: GroundKeys, sequence: SequenceFile
) -> None:
    def answer(frames: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
        rejected = Verification(
            id="", name="", stage=Stage.REJECTED, at=0, code=Code.UNKNOWN_KEY, cause="no such key"
        )
        yield [encode(rejected)]

    with _client(answer, plain, sequence) as client:
        assert client.execute("PING", timeout_s=_LONG_S).code is Code.UNKNOWN_KEY


def test_a_refused_key_of_the_telecommand_is_reported(
    plain: GroundKeys, sequence: SequenceFile
) -> None:
    with _client(SimulatedCommanding([]), plain, sequence) as client:
        assert client.execute("PING", timeout_s=_LONG_S).code is Code.UNKNOWN_KEY


@pytest.mark.parametrize(
    ("name", "args", "cause"),
    [
        ("PONG", {}, "is not a telecommand"),
        ("OPEN_CONTACT", {"bytes": 0, "seconds": 1}, "bytes"),
        ("OPEN_CONTACT", {"bytes": 1}, "seconds"),
        ("PING", {"surplus": 1}, "surplus"),
        ("SET_MODE", {"mode": "BOOT"}, "mode"),
        ("SCHEDULE", {"at": 1, "telecommand": {"name": "SET_MODE"}}, "mode"),
        ("SCHEDULE", {"at": 1, "telecommand": {"name": "PONG"}}, "is not a telecommand"),
    ],
)
def test_arguments_are_checked_before_anything_is_sent(
    commanding: SimulatedCommanding,
    plain: GroundKeys,
    sequence: SequenceFile,
    name: str,
    args: dict[str, Any],
    cause: str,
) -> None:
    with _client(commanding, plain, sequence) as client:
        with pytest.raises(UsageError, match=cause):
            client.send(name, args)
        last = client.execute(name, args, _LONG_S, check=False)
        if name != "SCHEDULE":  # whose inner telecommand the simulated service takes as it is
            assert last.stage is Stage.REJECTED


@pytest.mark.parametrize(
    ("args", "cause"),
    [
        ({"name": "x" * 70_000}, "bytes"),
        ({"name": object()}, "object"),
        ({"name": 2**70}, "big|range|int"),
    ],
)
def test_what_cannot_be_sent_is_reported_even_unchecked(
    commanding: SimulatedCommanding,
    plain: GroundKeys,
    sequence: SequenceFile,
    args: dict[str, Any],
    cause: str,
) -> None:
    with (
        _client(commanding, plain, sequence) as client,
        pytest.raises(UsageError, match=cause),
    ):
        client.send("GET_PARAMETER", args, check=False)


def test_without_telecommand_key_no_client_is_made(sequence: SequenceFile) -> None:
    with pytest.raises(UnusableKey, match="groundsim keys generate"):
        TelecommandClient("tcp://127.0.0.1:1", GroundKeys(), sequence)


def test_a_pair_without_the_services_key_is_reported(
    keys: GroundKeys, sequence: SequenceFile
) -> None:
    half = GroundKeys(curve=keys.curve, telecommand=keys.telecommand, unit=keys.unit)
    with pytest.raises(UnusableKey, match=r"service\.key"):
        TelecommandClient("tcp://127.0.0.1:1", half, sequence)


@pytest.mark.parametrize("endpoint", ["", "nonsense", "tcp://127.0.0.1", "tcp://127.0.0.1:x"])
def test_an_invalid_endpoint_is_reported(
    plain: GroundKeys, sequence: SequenceFile, endpoint: str
) -> None:
    with pytest.raises(LinkError, match="Give an endpoint"):
        TelecommandClient(endpoint, plain, sequence)


def test_silence_names_the_endpoint_and_that_nothing_listens(
    plain: GroundKeys, sequence: SequenceFile
) -> None:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
        port = socket.bind_to_random_port("tcp://127.0.0.1")
    with (
        TelecommandClient(f"tcp://127.0.0.1:{port}", plain, sequence) as client,
        pytest.raises(NoAnswer, match=rf"{port} did not close PING.*nothing listens there"),
    ):
        client.execute("PING", timeout_s=0.1)


def test_silence_of_a_service_that_is_there_leaves_the_telecommand_open(
    commanding: SimulatedCommanding, plain: GroundKeys, sequence: SequenceFile
) -> None:
    deaf = _Deaf(commanding, times=1_000_000)
    with _client(deaf, plain, sequence) as client:
        one = client.send("PING")
        with pytest.raises(NoAnswer, match="connected, but the service does not answer"):
            list(client.stages(one, 0.1))
        deaf.times = 0
        assert [*client.stages(one, _LONG_S)][-1].stage is Stage.COMPLETED
        with pytest.raises(UsageError, match="is not the id of an open telecommand"):
            list(client.stages(one, _LONG_S))


def test_silence_says_when_the_service_refuses_the_clients_key(
    keys: GroundKeys, service_pair: CurvePair, sequence: SequenceFile
) -> None:
    assert keys.telecommand is not None
    commanding = SimulatedCommanding([keys.telecommand])
    with (
        AnsweringSocket(commanding, pair=service_pair, authorised=[]) as service,
        TelecommandClient(service.endpoint, keys, sequence) as client,
        pytest.raises(NoAnswer, match="flightsw keys authorise"),
    ):
        client.execute("PING", timeout_s=0.2)
    assert commanding.ran == []


def test_silence_says_when_the_service_key_is_another(
    keys: GroundKeys, service_pair: CurvePair, sequence: SequenceFile
) -> None:
    assert keys.curve is not None
    stranger = CurvePair(*zmq.curve_keypair())
    with (
        AnsweringSocket(lambda frames: (), pair=stranger) as service,
        TelecommandClient(service.endpoint, keys, sequence) as client,
        pytest.raises(NoAnswer, match="CURVE keys do not match"),
    ):
        client.execute("PING", timeout_s=0.2)


def test_an_answer_of_another_interface_is_reported(
    plain: GroundKeys, sequence: SequenceFile
) -> None:
    with (
        _client(lambda frames: [[msgspec.msgpack.encode({"hello": 1})]], plain, sequence) as client,
        pytest.raises(LinkError, match="client of the service's version"),
    ):
        client.execute("PING", timeout_s=_LONG_S)


def test_no_secret_shows_in_what_a_client_says(keys: GroundKeys) -> None:
    assert keys.curve is not None
    assert keys.telecommand is not None
    for secret in (keys.curve.secret.decode(), repr(keys.telecommand.secret)):
        assert secret not in repr(keys)


@contextmanager
def _standing_in(
    keys: GroundKeys, folder: Path
) -> Iterator[tuple[FlightStandIn, TelecommandClient]]:
    assert keys.telecommand is not None
    with FlightStandIn(keys.telecommand) as flight:
        links = msgspec.json.decode(flight.endpoints(folder).read_bytes())
        sequence = SequenceFile(folder / "alice.sequence")
        with TelecommandClient(links["telecommand"], keys, sequence) as client:
            yield flight, client


def test_a_hazardous_telecommand_is_armed_and_sent_in_one_step(
    plain: GroundKeys, tmp_path: Path
) -> None:
    with _standing_in(plain, tmp_path) as (flight, client):
        sent = client.send("SET_MODE", {"mode": "SAFE"})
        stages = list(client.stages(sent, _LONG_S))
        assert {(one.id, one.name) for one in stages} == {(sent, "SET_MODE")}
        assert stages[-1].stage is Stage.COMPLETED
        arm, fire = flight.ran
        assert (arm.name, fire.name) == ("ARM", "SET_MODE")
        assert arm.args == {"telecommand": {"name": "SET_MODE", "args": {"mode": "SAFE"}}}
        assert fire.arm == f"arm-{arm.id}"
        # Two at the same time do not take each other's arm.
        both = [client.send("SET_MODE", {"mode": mode}) for mode in ("SAFE", "STANDBY")]
        ends = [list(client.stages(one, _LONG_S))[-1] for one in both]
    assert [(one.id, one.stage) for one in ends] == [(one, Stage.COMPLETED) for one in both]


def test_a_telecommand_that_cannot_be_armed_closes_with_the_reason(
    plain: GroundKeys, tmp_path: Path
) -> None:
    with _standing_in(plain, tmp_path) as (flight, client):
        flight.rejects = True
        sent = client.send("SHUT_DOWN")
        (stage,) = client.stages(sent, _LONG_S)
        assert (stage.id, stage.name, stage.code) == (sent, "SHUT_DOWN", Code.NOT_IN_THIS_MODE)
        assert flight.ran == []
        assert client.execute("PING", {}, _LONG_S).stage is Stage.REJECTED  # the client lives


def test_a_telecommand_for_another_unit_is_rejected_and_an_unknown_unit_not_commanded(
    plain: GroundKeys, tmp_path: Path
) -> None:
    elsewhere = msgspec.structs.replace(plain, unit="sat-b")
    with _standing_in(elsewhere, tmp_path) as (_, client):
        assert client.execute("PING", {}, _LONG_S).code is Code.WRONG_UNIT
    unknown = msgspec.structs.replace(plain, unit="")
    with pytest.raises(UnusableKey, match="--unit NAME"):
        TelecommandClient("tcp://127.0.0.1:1", unknown, SequenceFile(tmp_path / "s"))
