"""``python -m deploy.documentation.settings_page``: write ``docs/settings.md``."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, Literal

import msgspec

from flightsw.config import Settings

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "settings.md"

_INTRODUCTION: Final = """\
# Settings

`flightsw … --settings FILE` reads a TOML file. Every key has a default; an unknown key, a wrong
type or a value out of range is an error that names it. This page is generated from
`flightsw/config.py` by `python -m deploy.documentation.settings_page`.
"""


def render() -> str:
    """The page."""
    return _INTRODUCTION + "".join(_sections(Settings, ""))


def _sections(structure: type[msgspec.Struct], table: str) -> Iterator[str]:
    hints = typing.get_type_hints(structure, include_extras=True)
    plain = [name for name in hints if _nested(hints[name]) is None]
    yield f"\n## {f'[{table}]' if table else 'Top level'}\n"
    yield f"\n{inspect.cleandoc(structure.__doc__ or '')}\n"
    if plain:
        yield "\n| key | value | default |\n| --- | --- | --- |\n"
    defaults = structure()
    for name in plain:
        default = getattr(defaults, name)
        shown = (
            "—" if default is None else f"`{msgspec.json.encode(default, enc_hook=str).decode()}`"
        )
        yield f"| `{name}` | {_described(hints[name])} | {shown} |\n"
    for name in hints:
        nested = _nested(hints[name])
        if nested is not None:
            yield from _sections(nested, f"{table}.{name}".lstrip("."))


def _nested(hint: Any) -> type[msgspec.Struct] | None:
    options = typing.get_args(hint) if isinstance(hint, UnionType) else (hint,)
    for option in options:
        if inspect.isclass(option) and issubclass(option, msgspec.Struct):
            return option
    return None


def _described(hint: Any) -> str:
    origin = typing.get_origin(hint)
    if origin is Annotated:
        base, meta = typing.get_args(hint)
        bounds = [
            f"{sign} {getattr(meta, key)}"
            for key, sign in (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"))
            if getattr(meta, key) is not None
        ]
        return f"{base.__name__}, {', '.join(bounds)}"
    if origin is Literal:
        return " or ".join(f'`"{value}"`' for value in typing.get_args(hint))
    if isinstance(hint, UnionType):
        return " or ".join(
            option.__name__.lower() for option in typing.get_args(hint) if option is not type(None)
        )
    return str(hint.__name__)


if __name__ == "__main__":
    PAGE.write_text(render())
