"""Tests that pages name: which are named, and which there are."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_TEST = re.compile(r"`(tests/[\w/]+\.py)((?:::\w+)+)`")


def named_in(text: str) -> list[tuple[str, str]]:
    """Path and name of each test that the text names as ``tests/a.py::test_b``."""
    return [(path, name.removeprefix("::")) for path, name in _TEST.findall(text)]


def require_defined(path: str, name: str) -> None:
    """Fail unless the file has the test."""
    assert (ROOT / path).is_file(), path
    assert name in _defined(ROOT / path), f"{path} has no {name}"


@cache
def _defined(path: Path) -> frozenset[str]:
    """Names of the tests in a file, ``Class::method`` too, without importing it."""
    found: set[str] = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = (one.name for one in node.body if isinstance(one, ast.FunctionDef))
            found |= {f"{node.name}::{method}" for method in methods}
        if isinstance(node, ast.Assign):  # Test... = SomeMachine.TestCase
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return frozenset(name for name in found if name.lower().startswith("test"))
