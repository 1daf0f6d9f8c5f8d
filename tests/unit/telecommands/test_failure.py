"""Every error of either side survives pickling: archives and process pools pass errors on."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

from flightsw.errors import FlightError
from telecommands.dictionary import Code
from telecommands.failure import Failure
from telecommands.ground.errors import GroundError
from telecommands.refusal import Refusal


def _kinds(kind: type[Failure]) -> Iterator[type[Failure]]:
    yield kind
    for derived in kind.__subclasses__():
        yield from _kinds(derived)


@pytest.mark.parametrize("kind", [*_kinds(FlightError), *_kinds(GroundError)])
def test_an_error_survives_pickling_with_all_its_fields(kind: type[Failure]) -> None:
    error = kind("B02.jp2", "is damaged", "Download it again", band="B02", found=3)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert str(copy) == "B02.jp2 is damaged. Download it again"
    assert copy.as_record() == error.as_record()


def test_a_refusal_survives_pickling_with_all_its_fields() -> None:
    refusal = Refusal(Code.UNKNOWN_JOB, "there is no job-7", "Ask LIST_JOBS", job="job-7")
    copy = pickle.loads(pickle.dumps(refusal))
    assert vars(copy) == vars(refusal)
    assert str(copy) == str(refusal)
