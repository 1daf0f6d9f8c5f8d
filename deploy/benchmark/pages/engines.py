"""The engines by the reference protocol."""

from __future__ import annotations

from typing import Any


def engines_section(results: dict[str, Any]) -> str:
    """The report of ``flightsw bench``, one level of headings down."""
    _title, _, report = str(results["markdown"]).partition("\n")
    return (
        "## The engines, by the reference protocol\n\n"
        + report.strip().replace("\n## ", "\n### ")
        + "\n\n"
    )
