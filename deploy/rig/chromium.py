"""The distribution's Chromium, driven by Playwright: for tests and measurements of the page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
_FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_chromium() -> str | None:
    """Its path if it is installed (``deploy/browser.sh`` installs it)."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


@contextmanager
def launched_chromium() -> Iterator[Browser]:
    """A browser without a window.  Raises RuntimeError if none is installed."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - of the tests' dependencies

    path = find_chromium()
    if path is None:
        raise RuntimeError("Chromium is not installed; run deploy/browser.sh")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()
