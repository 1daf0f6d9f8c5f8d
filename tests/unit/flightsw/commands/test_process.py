from __future__ import annotations

from types import SimpleNamespace

import pytest

from flightsw.commands.process import _as_text
from flightsw.products.contents import Experience, SceneSummary


@pytest.mark.parametrize("outside", [True, False])
def test_a_scene_outside_the_models_experience_has_a_note(outside: bool) -> None:
    summary = SceneSummary(
        valid_pixels=100,
        no_data_pixels=0,
        pixels_by_class={"clear": 60, "contaminated": 40},
        tiles=1,
        tiles_without_data=0,
        fusion="or",
        seconds=1.0,
        inference_seconds=0.5,
        stages={},
        remarks=("an offset is in doubt",),
        experience=Experience(1.5 if outside else 0.5, outside, "sea ice", 9000),
    )
    scene = SimpleNamespace(name="X", ground_sample_distance=10, remarks=())
    products = SimpleNamespace(files=(), report=SimpleNamespace(notes=()))
    processed = SimpleNamespace(scene=scene, summary=summary, products=products, stopped_at=None)
    text = _as_text(processed)  # type: ignore[arg-type]
    assert "note: an offset is in doubt" in text
    assert ("note: the scene is outside the model's experience" in text) == outside
