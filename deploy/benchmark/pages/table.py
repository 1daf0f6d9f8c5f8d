"""Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence

from flightsw.bench.report import table


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table that ends with a line break."""
    return table(header, rows) + "\n"
