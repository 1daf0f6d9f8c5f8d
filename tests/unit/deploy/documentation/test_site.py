from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

_ROOT = Path(__file__).resolve().parents[4]


def _paths(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    else:
        for part in entry.values() if isinstance(entry, dict) else entry:
            yield from _paths(part)


def test_every_page_but_the_decisions_is_in_the_navigation_of_the_site() -> None:
    settings = yaml.safe_load((_ROOT / "deploy/documentation/mkdocs.yml").read_text("utf-8"))
    listed = set(_paths(settings["nav"]))
    pages = {path.relative_to(_ROOT).as_posix() for path in (_ROOT / "docs").glob("*.md")}
    assert pages - listed == {"docs/index.md"}  # Home is README.md
    assert all((_ROOT / path).exists() for path in listed)
