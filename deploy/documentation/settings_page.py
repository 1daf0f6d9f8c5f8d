"""``python -m deploy.documentation.settings_page``: write ``docs/settings.md``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import inspect

from deploy.documentation.interface_types import doc_of, options_of, plain, ranges, record_of, value
from flightsw.config import Settings

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "settings.md"

_INTRODUCTION: Final = """\
# Settings

`flightsw … --settings FILE` reads a TOML file.
Every key has a default.
An unknown key, a value of the wrong type and a value out of range are errors that name the key and\
 what is valid.
This page is generated from `flightsw/config` by `python -m deploy.documentation.settings_page`.
"""
_PLAIN: Final = {
    inspect.BoolType: "true or false",
    inspect.IntType: "integer",
    inspect.FloatType: "number",
    inspect.StrType: "text",
    inspect.CustomType: "path",
}


def render() -> str:
    """The page."""
    return _INTRODUCTION + "".join(_sections(Settings(), ""))


def _sections(settings: msgspec.Struct, table: str) -> Iterator[str]:
    yield f"\n## {f'[{table}]' if table else 'Top level'}\n\n{doc_of(type(settings))}\n"
    hints = get_type_hints(type(settings), include_extras=True)
    rows = []
    tables: dict[str, msgspec.Struct] = {}
    for field in record_of(type(settings)).fields:
        # TOML has no word for nil: the key is left out.
        [kind] = [one for one in options_of(field.type) if not isinstance(one, inspect.NoneType)]
        if isinstance(kind, inspect.StructType):
            tables[field.name] = kind.cls()
            continue
        default = getattr(settings, field.name)
        shown = "—" if default is None else value(default)
        cells = (f"`{field.name}`", _described(kind, _choices(hints[field.name])), shown)
        rows.append(f"| {' | '.join(cells)} |\n")
    if rows:
        yield "\n| key | value | default |\n| --- | --- | --- |\n"
        yield from rows
    for name, nested in tables.items():
        yield from _sections(nested, f"{table}.{name}".lstrip("."))


def _described(kind: inspect.Type, choices: tuple[Any, ...]) -> str:
    if isinstance(kind, inspect.VarTupleType):
        items = ", ".join(f"`{one}`" for one in choices) or _PLAIN[type(plain(kind.item_type))]
        return f"list of {items}" + ("; at least one" if kind.min_length else "")
    return " or ".join(map(value, choices)) or ", ".join((_PLAIN[type(kind)], *ranges(kind)))


def _choices(hint: Any) -> tuple[Any, ...]:
    """The values of a Literal, anywhere in the hint, in the order in which they are declared."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    return next(filter(None, map(_choices, get_args(hint))), ())


if __name__ == "__main__":
    PAGE.write_text(render())
