"""What both commands do alike: help that names the pages, types of arguments, completion."""

from __future__ import annotations

import argparse
import math
import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

Completer = Callable[..., Iterable[str]]
"""Words for an argument; takes keywords, ``prefix`` (text) and ``parsed_args`` among them."""

_PAGES: Final = "share/doc/flightsw"
_LAST_PORT: Final = 65_535
_LONGEST_S: Final = 10**9  # 32 years
_DIGITS: Final = re.compile(r"[0-9]{1,20}\Z")
_CHECKOUT: Final = Path(__file__).resolve().parents[1] / "docs"


class CommandParser(argparse.ArgumentParser):
    """A parser whose help, and that of its commands, ends with the place of the pages."""

    def format_help(self) -> str:
        """The help, and where the pages are that it names."""
        return f"{super().format_help()}\nDocumentation (docs/): {pages()}\n"


def pages() -> Path:
    """Folder of the project's pages: installed with the package, or in the checkout."""
    from importlib.metadata import PackageNotFoundError, files  # noqa: PLC0415 - takes 30 ms

    with suppress(PackageNotFoundError):
        for file in files("flightsw") or ():
            if file.match(f"{_PAGES}/index.md"):
                return Path(str(file.locate())).resolve().parent
    return _CHECKOUT


def whole_number(lowest: int, highest: int, what: str) -> Callable[[str], int]:
    """The type of an argument that is a whole number in a range, in ASCII digits.

    ``what`` names it in the error, as in ``an APID``.
    """

    def read(text: str) -> int:
        number = _in_range(text, lowest, highest)
        if number is None:
            cause = f"is not {what} from {lowest} to {highest}"
            raise argparse.ArgumentTypeError(f"{text!r:.40} {cause}")
        return number

    return read


def real_number(lowest: float, highest: float, what: str) -> Callable[[str], float]:
    """The type of an argument that is a number in a range; NaN is in none.

    ``what`` names it in the error, as in ``a number of seconds``.
    """

    def read(text: str) -> float:
        value = math.nan
        with suppress(ValueError):
            value = float(text)
        if not lowest <= value <= highest:
            cause = f"is not {what} from {lowest} to {highest}"
            raise argparse.ArgumentTypeError(f"{text!r:.40} {cause}")
        return value

    return read


waiting_time: Final = real_number(0, _LONGEST_S, "a number of seconds")
"""The type of an argument that is a time to wait, in seconds."""

port_number: Final = whole_number(0, _LAST_PORT, "a port")
"""The type of an argument that is a port to listen on; 0 is any free port."""


def address(text: str) -> tuple[str, int]:
    """A host and a port from ``HOST:PORT``, as the type of an argument."""
    host, _, port = text.rpartition(":")
    number = _in_range(port, 0, _LAST_PORT)
    if not host or number is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not an address and a port (0 to 65535)")
    return host, number


def set_completer(action: argparse.Action, completer: Completer) -> None:
    """Let the shell complete an argument with these words."""
    action.completer = completer  # type: ignore[attr-defined]  # argcomplete looks for it


def run_completion(parser: argparse.ArgumentParser) -> None:
    """Print the words that fit and end, if it is the shell that asks (extra ``completion``)."""
    if "_ARGCOMPLETE" in os.environ:
        with suppress(ImportError):
            import argcomplete  # noqa: PLC0415 - optional

            argcomplete.autocomplete(parser)


def forget_interrupt() -> None:
    """Let the process end with its exit status after an interrupt that it handled.

    If KeyboardInterrupt passes through code that a library runs from a string, as dataclasses do,
    CPython ends itself by SIGINT although it was caught, unless another string runs afterwards
    (``run_eval_code_obj`` in CPython's ``pythonrun.c``).
    """
    exec("")  # noqa: S102 - nothing is executed


def listed(names: Iterable[str]) -> Completer:
    """A completer of a comma-separated list of these names."""
    known = tuple(names)

    def words(prefix: str, **_: Any) -> list[str]:
        head, comma, _last = prefix.rpartition(",")
        return [f"{head}{comma}{name}" for name in known]

    return words


def _in_range(text: str, lowest: int, highest: int) -> int | None:
    """The whole number; None if the text is not one of the range."""
    if _DIGITS.match(text) is None or not lowest <= int(text) <= highest:
        return None
    return int(text)
