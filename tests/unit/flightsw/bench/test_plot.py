from __future__ import annotations

import sys

import cv2
import numpy as np
import pytest

from flightsw.bench.plot import HEIGHT, WIDTH, draw_latencies
from flightsw.bench.results import EngineResult
from flightsw.errors import UsageError

_MEASURED = EngineResult(
    title="the card",
    engine="dimc",
    settings="as set",
    samples_ns={"accelerator": [900_000, 950_000, 2_040_000]},
)
_ABSENT = EngineResult(title="tensorrt", engine="tensorrt", settings="as set", absent="why")


def _picture(*engines: EngineResult) -> np.ndarray:
    content = draw_latencies(engines)
    assert content.startswith(b"\x89PNG")
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return np.asarray(picture)


def test_the_picture_is_a_png_of_its_size() -> None:
    assert _picture(_MEASURED, _ABSENT).shape == (HEIGHT, WIDTH, 3)


def test_measured_latencies_leave_ink() -> None:
    assert (_picture(_MEASURED) != _picture()).any()


def test_engines_without_samples_are_left_out() -> None:
    np.testing.assert_array_equal(_picture(_ABSENT), _picture())


def test_without_matplotlib_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match=r"matplotlib is not installed.*flightsw\[bench\]"):
        draw_latencies([_MEASURED])
