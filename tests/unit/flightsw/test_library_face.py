"""``import flightsw``: what programs may build on, and what it costs to import."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import flightsw
from flightsw import errors

_LIBRARIES = ("torch", "numpy", "cv2", "rasterio", "msgspec", "openvino")


def _loaded_after(program: str) -> set[str]:
    """Names of the top-level packages that a program has loaded."""
    shown = f"{program}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", shown], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.splitlines()[-1].split())


def test_all_is_sorted_and_names_everything_that_is_offered() -> None:
    offered = [name for names in flightsw._HOMES.values() for name in names]
    assert flightsw.__all__ == sorted([*offered, "__version__"])


@pytest.mark.parametrize("name", flightsw.__all__)
def test_every_exported_member_exists_and_has_a_docstring(name: str) -> None:
    member = getattr(flightsw, name)
    assert name in dir(flightsw)
    if name != "__version__":
        assert inspect.getdoc(member)
        assert member.__name__ == name


def test_type_checkers_see_the_names_that_are_loaded_on_first_use() -> None:
    tree = ast.parse(Path(flightsw.__file__).read_text("utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {
        str(node.module): tuple(alias.name for alias in node.names)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
    }
    assert seen == {f"flightsw.{module}": names for module, names in flightsw._HOMES.items()}


def test_every_error_that_a_library_call_can_raise_belongs_to_an_exported_family() -> None:
    families = {
        kind.__name__
        for kind in errors.FlightError.__subclasses__()
        if kind.__module__ == "flightsw.errors"
    }
    assert families - {*flightsw.__all__} == {"StateError", "LinkError"}  # of the service alone


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'flightsw' has no attribute 'masks'"):
        flightsw.masks  # noqa: B018
    assert not hasattr(flightsw, "masks")


def test_importing_the_package_loads_no_library() -> None:
    assert _loaded_after("import flightsw; dir(flightsw)").isdisjoint(_LIBRARIES)


def test_an_error_or_the_settings_load_no_array_library() -> None:
    loaded = _loaded_after("import flightsw; flightsw.FlightError; flightsw.Settings()")
    assert loaded.isdisjoint({*_LIBRARIES} - {"msgspec"})


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_the_command_line_answers_without_loading_an_array_library(option: str) -> None:
    program = (
        "import contextlib\nfrom flightsw.cli import main\n"
        f"with contextlib.suppress(SystemExit):\n    main([{option!r}])"
    )
    assert _loaded_after(program).isdisjoint({*_LIBRARIES, "structlog", "tqdm"} - {"msgspec"})
