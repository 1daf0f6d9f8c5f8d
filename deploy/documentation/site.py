"""``python -m deploy.documentation.site``: the pages as a site with search, in ``build/site``.

It needs the extra ``docs``.  A link that leads nowhere ends it with an error.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mkdocs.commands.build import build
from mkdocs.config import load_config

_ROOT: Final = Path(__file__).resolve().parents[2]
_SETTINGS: Final = Path(__file__).with_name("mkdocs.yml")
_LINKED: Final = (
    "CITATION.cff",
    "docs/examples/*",
    "docs/scenarios/*",
    "docs/*.json",
    "docs/images/*",
)


def main() -> None:
    """Copy the pages as they lie in the checkout, so that their links hold, and build the site."""
    pages = _ROOT / "build" / "pages"
    shutil.rmtree(pages, ignore_errors=True)
    for path in _files():
        target = pages / path.relative_to(_ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    logging.basicConfig(format="%(message)s")  # the broken links
    config = load_config(str(_SETTINGS), strict=True)
    config.nav = [*(config.nav or ()), {"Decisions": _decisions()}]
    build(config)
    print(f"{config.site_dir}/index.html; with search: python3 -m http.server -d build/site")


def _files() -> Iterator[Path]:
    yield from _ROOT.glob("*.md")
    yield from (_ROOT / "docs").rglob("*.md")
    yield _ROOT / "deploy" / "model" / "README.md"
    for pattern in _LINKED:
        yield from _ROOT.glob(pattern)


def _decisions() -> list[str]:
    return sorted(str(path.relative_to(_ROOT)) for path in _ROOT.glob("docs/decisions/*.md"))


if __name__ == "__main__":
    main()
