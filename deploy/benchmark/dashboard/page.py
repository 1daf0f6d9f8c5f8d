"""The page with the recorder in it, in a browser context of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_RECORDER: Final = Path(__file__).with_name("recorder.js")
_TIMEOUT_MS: Final = 30_000


@contextmanager
def recorded_page(browser: Browser, scripts: Sequence[str] = ()) -> Iterator[Page]:
    """A blank page in a fresh context; ``scripts`` run before the dashboard's own.

    An error that the dashboard does not catch is raised at the end.
    """
    context = browser.new_context(viewport={"width": 1600, "height": 900})
    errors: list[str] = []
    try:
        context.set_default_timeout(_TIMEOUT_MS)
        for script in (_RECORDER.read_text(), *scripts):
            context.add_init_script(script)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        yield page
    finally:
        context.close()
    if errors:
        raise RuntimeError(f"the page failed: {errors[:5]}")


def recorder(page: Page, call: str, *arguments: Any) -> Any:
    """The recorder's answer to a call."""
    return page.evaluate(f"(all) => recorder.{call}(...all)", list(arguments))


def watched(page: Page) -> dict[str, float]:
    """When what the recorder watches for was shown.

    ``at`` in UTC seconds, ``now`` in seconds since the navigation.
    """
    told: dict[str, float] | None = recorder(page, "watched")
    if told is None:
        raise RuntimeError("the page does not show what was sent")
    return {name: value / 1000 for name, value in told.items()}
