"""What an operator does on the page, as steps of several tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

COMMANDING: Final = "flightsw:payload/flightsw:commanding"

Screenshot: TypeAlias = Callable[[str], None]


class Bridge(Protocol):
    """What serves the page."""

    @property
    def address(self) -> str: ...


_IMAGES: Final = Path(__file__).parents[2] / "docs" / "images"


def photograph(page: Any, name: str) -> None:
    """Take a picture for the manual if FLIGHTSW_SCREENSHOTS is set."""
    if os.environ.get("FLIGHTSW_SCREENSHOTS"):
        # Playwright would write the file on a thread that stays.
        (_IMAGES / f"dashboard-{name}.png").write_bytes(page.screenshot())


# Like Open MCT's links: keep the time settings in the address, so that it is not rewritten later.
_FOLLOW = """(path) => {
    const settings = new URLSearchParams(location.hash.split('?')[1]);
    settings.delete('view');
    location.hash = `#/browse/${path}?${settings}`;
}"""


def browse(page: Any, bridge: Bridge, path: str) -> None:
    if not page.url.startswith(bridge.address):
        page.goto(bridge.address)
    page.wait_for_function("() => location.hash.includes('tc.mode=')")
    page.evaluate(_FOLLOW, path)


def indicator(page: Any, text: str) -> None:
    page.locator("[data-indicator='flightsw.link']", has_text=text).wait_for()


def open_form(page: Any, bridge: Bridge, name: str) -> Any:
    browse(page, bridge, COMMANDING)
    page.get_by_label("Telecommand", exact=True).select_option(name)
    return page.get_by_role("form", name=name, exact=True)


def newest_sent(page: Any, name: str) -> Any:
    return page.locator(f".sent__telecommand[data-name={name}]").first
