"""Every relative link of a page leads to a file, and its anchor to a heading of that file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

_ROOT: Final = Path(__file__).resolve().parents[2]
_FENCED: Final = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)
_LINK: Final = re.compile(r"\]\((?!\w+:)(?P<path>[^)#\s]*)(?:#(?P<anchor>[^)\s]+))?\)")


def _pages() -> Iterator[Path]:
    """All pages; what a template says is on the page that is made of it."""
    yield from _ROOT.glob("*.md")
    for folder in ("docs", "deploy"):
        for page in (_ROOT / folder).rglob("*.md"):
            if not page.stem.endswith("_template"):
                yield page


def _prose(page: Path) -> str:
    return _FENCED.sub("", page.read_text("utf-8"))


def _anchors(page: Path) -> set[str]:
    """The anchors of its headings, as GitHub and MkDocs make them of plain words."""
    headings = re.findall(r"^#+ (.*)$", _prose(page), re.MULTILINE)
    texts = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading) for heading in headings)
    return {re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-") for text in texts}


@pytest.mark.parametrize("page", sorted(_pages()), ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    lost = []
    for link in _LINK.finditer(_prose(page)):
        target = (page.parent / link["path"]).resolve() if link["path"] else page
        if not target.exists() or not target.is_relative_to(_ROOT):
            lost.append(link["path"])
        elif link["anchor"] and link["anchor"] not in _anchors(target):
            lost.append(f"{link['path']}#{link['anchor']}")
    assert not lost
