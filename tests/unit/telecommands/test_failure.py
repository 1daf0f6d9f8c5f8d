"""Every error of either side survives pickling, and says why in words without paths."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from flightsw.errors import FlightError, PackageInvalid
from flightsw.model.package import load_package
from telecommands.dictionary import Code
from telecommands.failure import Failure, reason_of
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


def test_the_reason_of_an_error_of_the_system_has_no_number_and_no_path(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Errno 2") as missing:
        (tmp_path / "a.toml").read_text()
    assert reason_of(missing.value) == "no such file or directory"
    assert reason_of(OSError("without a number")) == "without a number"
    assert reason_of(ValueError("not a date")) == "not a date"


def test_a_package_that_does_not_exist_is_named_once(tmp_path: Path) -> None:
    with pytest.raises(PackageInvalid) as raised:
        load_package(tmp_path)
    path = tmp_path / "SHA256SUMS"
    assert raised.value.sentence == f"{path} cannot be read (no such file or directory)"
