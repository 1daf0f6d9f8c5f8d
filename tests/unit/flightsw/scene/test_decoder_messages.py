"""Messages between the service and decoders: what is not one is refused by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightsw.errors import CorruptImage, MissingBand, SceneNotFound
from flightsw.scene.ahead import SceneRecipe
from flightsw.scene.area import area_within
from flightsw.scene.decoder_messages import (
    Answer,
    ErrorReport,
    InvalidMessage,
    OpenedScene,
    SceneOrder,
    decoded,
    encoded,
    error_of,
    order_of,
    recipe_of,
    report_of,
)
from tests.unit.flightsw.small_parts import scene_metadata


def test_a_recipe_arrives_as_it_was_sent() -> None:
    recipe = SceneRecipe(
        Path("/scenes/a"),
        ("B02", "B08"),
        20,
        -0.5,
        "auto",
        3,
        panels=True,
        scale=2.75e-5,
        nodata=-9999,
        file_bands=("B02",),
        within=Path("/scenes"),
        reflectance_step=0.01,
        area=area_within((1.0, 2.0, 3.0, 4.0)),
        unchecked=True,
    )
    order = decoded(encoded(order_of(recipe, Path("/other"))), SceneOrder)
    assert recipe_of(order) == replace(recipe, path=Path("/other"), decoder="cpu")


@given(st.binary(max_size=200))
def test_any_bytes_are_an_answer_or_refused(data: bytes) -> None:
    with pytest.raises(InvalidMessage):
        decoded(data, OpenedScene)


@given(st.data())
def test_a_damaged_answer_is_an_answer_or_refused(data: st.DataObject) -> None:
    sound = bytearray(encoded(OpenedScene(scene_metadata(900, 900), 64, 900)))
    for _ in range(data.draw(st.integers(1, 4))):
        sound[data.draw(st.integers(0, len(sound) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert isinstance(decoded(bytes(sound), Answer), Answer)
    except InvalidMessage:
        return


@pytest.mark.parametrize(
    "error",
    [
        CorruptImage("a.jp2", "is damaged", "Fetch it", row=3, column=None),
        MissingBand("a", "lacks B02", "", band="B02"),
        SceneNotFound("a\udcff", "does not exist"),
    ],
)
def test_an_error_arrives_as_it_was(error: Exception) -> None:
    found = error_of(decoded(encoded(report_of(error)), ErrorReport))
    assert type(found) is type(error)
    assert str(found).replace("?", "") == str(error).replace("\udcff", "")


@pytest.mark.parametrize(
    "name", ["SystemExit", "Failure", "", "x" * 9999, "Interrupted", "StateUnavailable", "DiskFull"]
)
def test_an_error_that_is_not_of_a_scene_is_a_fault(name: str) -> None:
    error = error_of(ErrorReport(name, "s", "c", "", {"self": 1, "cause": 2}))
    assert type(error) is RuntimeError
    assert len(str(error)) < 9000
    named = error_of(ErrorReport("CorruptImage", "s", "c", "", {"self": 1, "cause": 2, "row": 3}))
    assert isinstance(named, CorruptImage)
    assert named.fields == {"row": 3}
