from __future__ import annotations

from deploy.documentation import settings_page


def test_the_settings_page_is_what_the_code_says() -> None:
    assert settings_page.PAGE.read_text() == settings_page.render()


def test_every_setting_is_on_the_page() -> None:
    page = settings_page.render()
    for key in ("arrangement", "queue_depth", "latency_ms", "stall_seconds", "model", "fusion"):
        assert f"| `{key}` |" in page
