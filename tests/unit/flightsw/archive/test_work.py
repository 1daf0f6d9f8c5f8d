"""One worker's scenes, without Dask."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from flightsw.archive.outcome import RECORD, read_outcome
from flightsw.archive.run_order import RunOrder
from flightsw.archive.work import one_thread, open_real_chain
from flightsw.errors import CorruptImage, DiskFull, FlightError, InferenceFailed, UsageError
from tests.unit.flightsw.archive.conftest import CountingChain

SCENE = "s3://stub/scene_0000007.json"


def _record(order: RunOrder) -> Path:
    (record,) = order.out.glob(f"scenes/*/*/{RECORD}")
    return record


def test_a_scene_is_computed_once(order: RunOrder, chain: CountingChain) -> None:
    first = chain.station(order).answer(SCENE)
    again = chain.station(order).answer(SCENE)
    assert (first.kind, again.kind) == ("computed", "recorded")
    assert first.outcome == again.outcome == read_outcome(_record(order))
    assert len(chain.requests) == 1
    assert (first.outcome.tile, first.outcome.contaminated) != ("", None)


def test_another_model_or_other_settings_compute_the_scene_again(
    order: RunOrder, chain: CountingChain
) -> None:
    chain.station(order).answer(SCENE)
    for other in (replace(order, model_id="other-1+abcd"), replace(order, products=("cog",))):
        assert chain.station(other).answer(SCENE).kind == "computed"


def test_a_failure_of_the_scene_is_an_answer_that_is_recorded(order: RunOrder) -> None:
    chain = CountingChain(CorruptImage("B02.jp2", "is damaged", "Fetch it again"))
    answers = [chain.station(order).answer(SCENE) for _ in range(2)]
    assert [answer.kind for answer in answers] == ["computed", "recorded"]
    outcome = answers[1].outcome
    assert (outcome.code, outcome.cause) == ("CORRUPT_IMAGE", "B02.jp2 is damaged")
    assert (outcome.cure, outcome.contaminated) == ("Fetch it again", None)
    assert len(chain.requests) == 1


def test_a_recorded_failure_is_computed_again_if_that_is_asked_for(order: RunOrder) -> None:
    chain = CountingChain(CorruptImage("B02.jp2", "is damaged"))
    chain.station(order).answer(SCENE)
    chain.error = None
    answer = chain.station(replace(order, retry_failed=True)).answer(SCENE)
    assert (answer.kind, answer.outcome.failed) == ("computed", False)


@pytest.mark.parametrize(
    "error", [DiskFull("/out", "is full"), InferenceFailed("the card", "does not answer")]
)
def test_a_failure_of_the_machine_is_not_recorded(order: RunOrder, error: FlightError) -> None:
    chain = CountingChain(error)
    answer = chain.station(order).answer(SCENE)
    assert (answer.kind, answer.outcome.code) == ("unfit", error.code)
    chain.error = None
    assert chain.station(order).answer(SCENE).kind == "computed"


def test_an_absent_scene_is_computed_as_soon_as_it_is_there(
    order: RunOrder, chain: CountingChain, tmp_path: Path
) -> None:
    scene = tmp_path / "scene_0000001.tif"
    absent = [chain.station(order).answer(str(scene)) for _ in range(2)]
    assert [answer.kind for answer in absent] == ["computed", "recorded"]
    assert absent[0].outcome.code == "SCENE_NOT_FOUND"
    scene.write_bytes(b"pixels")
    assert not chain.station(order).answer(str(scene)).outcome.failed


def test_a_damaged_record_counts_as_none(order: RunOrder, chain: CountingChain) -> None:
    chain.station(order).answer(SCENE)
    _record(order).write_bytes(_record(order).read_bytes()[:-9])
    assert chain.station(order).answer(SCENE).kind == "computed"


def test_a_worker_with_another_version_is_unfit_by_name(
    order: RunOrder, chain: CountingChain
) -> None:
    answer = chain.station(replace(order, software_version="9.9")).answer(SCENE)
    assert (answer.kind, chain.requests) == ("unfit", [])
    assert "tcp://here:1" in answer.outcome.cause
    assert "the driver 9.9" in answer.outcome.cause


def test_a_worker_with_another_model_is_unfit_by_name(order: RunOrder) -> None:
    from contextlib import ExitStack  # noqa: PLC0415

    with ExitStack() as held, pytest.raises(UsageError, match=r"the driver has other-1"):
        open_real_chain(replace(order, model_id="other-1"), held)


def test_a_worker_has_one_thread_for_each_part(order: RunOrder) -> None:
    settings = one_thread(order)
    assert (settings.dimc.threads, settings.pipeline.decode_workers) == (1, 1)
    assert settings.model == order.model


def test_the_secret_of_an_address_is_not_recorded(order: RunOrder, chain: CountingChain) -> None:
    chain.station(order).answer(SCENE + "?sig=secret")
    assert "secret" not in json.dumps(_record(order).read_text())
    assert chain.requests[0].scene == SCENE + "?sig=secret"
