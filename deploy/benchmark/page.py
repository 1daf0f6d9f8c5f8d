"""Renders the measured figures as ``docs/benchmarks.md``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from deploy.benchmark.pages.accuracy import accuracy_section
from deploy.benchmark.pages.card import card_section
from deploy.benchmark.pages.chain import chain_section
from deploy.benchmark.pages.dashboard import dashboard_section
from deploy.benchmark.pages.engines import engines_section
from deploy.benchmark.pages.peers import peers_section
from deploy.benchmark.pages.pipe import pipe_section
from deploy.benchmark.pages.scaling import scaling_section
from deploy.benchmark.pages.service import service_section

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
"""What it shows lies beside it as JSON."""

_INTRODUCTION: Final = """\
# Benchmarks

Written by `make bench` (`python -m deploy.benchmark`) from [the figures](benchmarks.json) that it
measured. The machines were shared with other work: the ratios are taken within one run and are
what counts; absolute times drift. [What remains between us and the limit](what-remains.md) is a
page of its own.

"""


def render(results: dict[str, Any]) -> str:
    """The page; a part that was not measured is left out and said."""
    page = _INTRODUCTION
    for part, section in _SECTIONS.items():
        if part not in results:
            page += f"## {part}\n\nNot measured.\n\n"
            continue
        page += section(results[part])
        run = results[part]
        page += f"Measured by `{run['command']}` on {run['date']}, on {run['machine']}.\n\n"
    return page.rstrip() + "\n"


_SECTIONS: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "chain": chain_section,
    "scaling": scaling_section,
    "pipe": pipe_section,
    "peers": peers_section,
    "engines": engines_section,
    "card": card_section,
    "accuracy": accuracy_section,
    "service": service_section,
    "dashboard": dashboard_section,
}
